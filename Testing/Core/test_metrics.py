"""Metrics obey the algebra they are defined by, on any grid and orientation."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from TomoRayCore.coordinates import compose_affine
from TomoRayCore.errors import InputError
from TomoRayCore.metrics import DEFINITIONS, LABELS, Metrics, body_mask, compare
from TomoRayCore.volume import SYNTHETIC_KEY, Volume
from TomoRayCore.windows import BRAIN, FULL

SHAPE = (17, 23, 19)
AFFINE = compose_affine(np.eye(3), (1.5, 2.0, 3.0), (-10.0, 5.0, 40.0))


def box_head(noise_hu: float = 0.0, seed: int = 0) -> Volume:
    """A box of soft tissue with an off-centre bone in air."""
    rng = np.random.default_rng(seed)
    hu = np.full(SHAPE, -1000.0)
    hu[2:15, 3:20, 2:16] = 40
    hu[5:9, 6:12, 4:9] = 900
    return Volume((hu + noise_hu * rng.standard_normal(SHAPE)).astype(np.float32), AFFINE)


def test_equal_volumes_are_perfect_and_the_result_is_valid_json():
    metrics = compare(box_head(), box_head())
    assert metrics.mae_hu == metrics.mae_bone_hu == 0
    assert metrics.psnr_db == math.inf
    assert metrics.ssim == pytest.approx(1)
    assert metrics.cosine_similarity == pytest.approx(1)
    assert metrics.dice_bone == 1
    data = json.loads(json.dumps(metrics.to_dict(), allow_nan=False))
    assert data["psnr_db"] is None
    assert set(data["infinite"]) == {"psnr_db", "psnr_body_db", "psnr_axial_db"}
    assert data["undefined"] == []


def test_a_constant_offset_is_the_mae_and_gives_the_textbook_psnr():
    ct = box_head()
    shifted = Volume(np.asarray(ct.array_hu) + np.float32(20), AFFINE)
    metrics = compare(shifted, ct)
    for value in (metrics.mae_hu, metrics.mae_body_hu, metrics.mae_bone_hu, metrics.mae_window_hu):
        assert value == pytest.approx(20, rel=1e-4)
    assert metrics.psnr_db == pytest.approx(20 * math.log10(2000 / 20), abs=1e-3)


def test_only_the_windowed_error_is_blind_outside_the_window():
    ct = box_head()
    metal = np.array(ct.array_hu)
    metal[5:9, 6:12, 4:9] = 2900
    metrics = compare(Volume(metal, AFFINE), ct, FULL)
    share = (4 * 6 * 5) / ct.array_hu.size
    assert metrics.mae_hu == pytest.approx(2000 * share)
    assert metrics.mae_window_hu == pytest.approx(100 * share, rel=1e-4)
    assert metrics.mae_bone_hu == pytest.approx(2000)


def test_psnr_and_ssim_are_scikit_image_s_own():
    sct, ct = box_head(120, seed=1), box_head(30, seed=2)
    metrics = compare(sct, ct)
    x, y = FULL.normalise(ct.array_hu), FULL.normalise(sct.array_hu)
    assert metrics.psnr_db == pytest.approx(peak_signal_noise_ratio(x, y, data_range=1), abs=1e-4)
    assert metrics.ssim == pytest.approx(
        structural_similarity(x, y, win_size=7, data_range=1), abs=1e-5
    )
    gaussian = structural_similarity(
        x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1
    )
    assert metrics.ssim_gaussian == pytest.approx(gaussian, abs=1e-5)
    axial = [
        structural_similarity(a, b, win_size=7, data_range=1) for a, b in zip(x, y, strict=True)
    ]
    assert metrics.ssim_axial == pytest.approx(np.mean(axial), abs=1e-5)
    slices = [peak_signal_noise_ratio(a, b, data_range=1) for a, b in zip(x, y, strict=True)]
    assert metrics.psnr_axial_db == pytest.approx(np.mean(slices), abs=1e-3)


def test_another_window_gives_another_psnr_but_the_same_hu_error():
    sct, ct = box_head(15, seed=1), box_head()
    full, brain = compare(sct, ct, FULL), compare(sct, ct, BRAIN)
    assert full.psnr_db > brain.psnr_db + 10
    assert full.mae_hu == brain.mae_hu
    assert brain.to_dict()["window_high_hu"] == 80


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flip", [False, True])
def test_how_either_volume_is_stored_does_not_matter(order, flip):
    sct, ct = box_head(60, seed=3), box_head()
    stored = turned(ct, order, flip)
    straight = compare(sct, ct).values()
    assert compare(sct, stored).values() == pytest.approx(straight, rel=1e-4)
    assert compare(turned(sct, order, flip), ct).values() == pytest.approx(straight, rel=1e-4)


def turned(volume: Volume, order: tuple[int, int, int], flip: bool) -> Volume:
    """The same image in the same place with its axes permuted, and the first one reversed."""
    affine = np.eye(4)
    axes = [2 - a for a in order][::-1]
    affine[:3, :3] = volume.ijk_to_lps[:3, axes]
    affine[:3, 3] = volume.ijk_to_lps[:3, 3]
    array = volume.array_hu.transpose(order)
    if flip:
        affine[:3, 3] += affine[:3, 2] * (array.shape[0] - 1)
        affine[:3, 2] *= -1
        array = array[::-1]
    return Volume(array, affine)


def test_only_what_both_volumes_cover_counts():
    sct = box_head(10, seed=4)
    ct = box_head()
    upper = np.array(AFFINE)
    upper[:3, 3] += upper[:3, 2] * 8
    part = Volume(ct.array_hu[8:], upper)
    metrics = compare(sct, part)
    assert metrics.resampled
    assert metrics.evaluated_voxels == 9 * 23 * 19
    assert metrics.evaluated_share == pytest.approx(9 / 17)
    error = np.abs(sct.array_hu[8:] - part.array_hu).mean()
    assert metrics.mae_hu == pytest.approx(error, rel=1e-4)


def test_a_mask_narrows_the_comparison():
    sct, ct = box_head(50, seed=5), box_head()
    mask = np.zeros(SHAPE, bool)
    mask[4:16] = True
    metrics = compare(sct, ct, mask=mask)
    cropped = np.array(AFFINE)
    cropped[:3, 3] += cropped[:3, 2] * 4
    same = compare(Volume(sct.array_hu[4:16], cropped), Volume(ct.array_hu[4:16], cropped))
    assert metrics.masked
    assert metrics.values() == pytest.approx(same.values(), rel=1e-6)


def test_volumes_apart_are_refused():
    away = np.array(AFFINE)
    away[0, 3] += 500
    with pytest.raises(InputError) as caught:
        compare(box_head(), Volume(box_head().array_hu, away))
    assert caught.value.code == "NO_OVERLAP"


def test_a_synthetic_truth_is_refused():
    fake = Volume(box_head().array_hu, AFFINE, {SYNTHETIC_KEY: "true"})
    with pytest.raises(InputError) as caught:
        compare(box_head(), fake)
    assert caught.value.code == "SYNTHETIC_INPUT"
    assert compare(fake, box_head()).mae_hu == 0


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(InputError) as caught:
        compare(box_head(), box_head(), mask=np.ones((3, 3, 3)))
    assert caught.value.code == "BAD_MASK"


def test_what_has_no_meaning_is_undefined_and_not_a_number():
    soft = Volume(np.full((5, 9, 9), 40, np.int16), AFFINE)
    data = compare(Volume(np.full((5, 9, 9), 60, np.int16), AFFINE), soft).to_dict()
    assert {"mae_bone_hu", "dice_bone", "ssim", "ssim_gaussian"} <= set(data["undefined"])
    assert data["ssim"] is None
    json.dumps(data, allow_nan=False)


def test_the_body_has_no_holes():
    hu = np.full((3, 12, 12), -1000)
    hu[:, 2:10, 2:10] = 40
    hu[:, 5:7, 5:7] = -1000
    assert body_mask(hu)[:, 2:10, 2:10].all()
    assert not body_mask(hu)[:, :2].any()


def test_every_number_has_a_definition_and_a_label():
    numbers = {name for name, kind in Metrics.__annotations__.items() if kind == "float"}
    assert numbers - {"evaluated_share"} == set(DEFINITIONS) == set(LABELS)
    assert compare(box_head(5), box_head()).to_dict()["definitions"] == DEFINITIONS
