"""PSNR and SSIM by name agree with other people's code and with arithmetic done by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import signal
from skimage.metrics import structural_similarity

from TomoRayCore.errors import InputError
from TomoRayCore.metrics import body_mask
from TomoRayCore.phantom import make_phantom
from TomoRayCore.scores.legacy import DEFINITIONS, cranial, duolift, perx2ct, recommended, x2ct
from TomoRayCore.windows import BRAIN

SHAPE = (13, 19, 23)
AXES = (0, 1, 2)


def random_pair(seed: int = 0, shape: tuple[int, int, int] = SHAPE):
    """Two related volumes of whole HU that reach beyond every window."""
    rng = np.random.default_rng(seed)
    ct = rng.integers(-1400, 2200, shape).astype(float)
    return np.rint(ct + rng.normal(0, 250, shape)), ct


def unit(volume: np.ndarray, low: float = -1024, high: float = 1476) -> np.ndarray:
    return (np.clip(volume, low, high) - low) / (high - low)


def slices_of(volume: np.ndarray, axis: int) -> list[np.ndarray]:
    return [np.take(volume, n, axis) for n in range(volume.shape[axis])]


def sliced_ssim(first: np.ndarray, second: np.ndarray, **options) -> float:
    """Mean over slices, then over axes, one call of scikit-image for each slice."""
    return np.mean(
        [
            np.mean(
                [
                    structural_similarity(a, b, data_range=1, **options)
                    for a, b in zip(slices_of(first, axis), slices_of(second, axis), strict=True)
                ]
            )
            for axis in AXES
        ]
    )


def test_x2ct_ssim_is_scikit_image_s_called_slice_by_slice():
    sct, ct = random_pair()
    assert x2ct(sct, ct)["ssim"] == pytest.approx(sliced_ssim(unit(sct), unit(ct)), abs=1e-9)


def test_x2ct_psnr_is_the_mean_of_slices_of_whole_numbers_against_4095():
    sct, ct = random_pair(1)
    a, b = (np.clip(v + 1024, 0, 2500).astype(np.int32).astype(float) for v in (sct, ct))
    expected = [
        np.mean([20 * np.log10(4095 / np.sqrt(np.mean((p - q) ** 2))) for p, q in pairs])
        for pairs in (zip(slices_of(a, n), slices_of(b, n), strict=True) for n in AXES)
    ]
    assert x2ct(sct, ct)["psnr"] == pytest.approx(np.mean(expected), abs=1e-9)
    assert perx2ct(sct, ct)["psnr"] == x2ct(sct, ct)["psnr"]


def test_fractions_of_hu_are_cut_off_as_by_a_cast_to_integers():
    ct = np.full(SHAPE, 10.9)
    assert x2ct(np.full(SHAPE, 10.1), ct)["psnr_3d"] == 100
    assert x2ct(np.full(SHAPE, 9.9), ct)["psnr_3d"] == pytest.approx(20 * math.log10(4095))


def test_the_peak_of_4095_for_a_range_of_2500_adds_4_286_db():
    rng = np.random.default_rng(2)
    ct = rng.integers(-1000, 1400, SHAPE).astype(float)
    sct = ct + rng.integers(-20, 20, SHAPE)
    gained = x2ct(sct, ct)["psnr_3d"] - recommended(sct, ct)["psnr"]
    assert gained == pytest.approx(20 * math.log10(4095 / 2500), abs=1e-9)
    assert gained == pytest.approx(4.286, abs=1e-3)


def test_a_slice_without_error_counts_100_db():
    ct = np.full((10, 10, 10), 40.0)
    sct = ct.copy()
    sct[4] += 30
    wrong = 20 * math.log10(4095 / 30)
    across = (9 * 100 + wrong) / 10
    # Slices along the other axes each hold one wrong row of ten.
    along = 20 * math.log10(4095 / (30 / math.sqrt(10)))
    assert x2ct(sct, ct)["psnr"] == pytest.approx((across + 2 * along) / 3)
    assert x2ct(ct, ct) == {"psnr": 100, "psnr_3d": 100, "ssim": pytest.approx(1)}


def test_perx2ct_ssim_is_a_cube_of_seven_with_twice_the_range():
    sct, ct = random_pair(3)
    expected = structural_similarity(unit(sct), unit(ct), win_size=7, data_range=2)
    assert perx2ct(sct, ct)["ssim"] == pytest.approx(expected, abs=1e-9)
    assert perx2ct(sct, ct)["ssim"] > x2ct(sct, ct)["ssim"]


def padded_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """SSIM by plain convolution with an 11-wide Gaussian, zeros outside, every voxel counted."""
    line = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    kernel = np.ones((1,) * first.ndim)
    for axis in range(first.ndim):
        kernel = kernel * line.reshape([-1 if n == axis else 1 for n in range(first.ndim)])
    kernel /= kernel.sum()

    def blur(values):
        return signal.convolve(values, kernel, mode="same", method="direct")

    a, b = blur(first), blur(second)
    va, vb = blur(first**2) - a**2, blur(second**2) - b**2
    cov = blur(first * second) - a * b
    ratio = (2 * a * b + 1e-4) * (2 * cov + 9e-4) / ((a**2 + b**2 + 1e-4) * (va + vb + 9e-4))
    return float(ratio.mean())


def test_duolift_ssim_is_a_zero_padded_convolution_in_two_and_three_dimensions():
    sct, ct = random_pair(4, (11, 12, 13))
    found, a, b = duolift(sct, ct), unit(sct), unit(ct)
    assert found["ssim_3d"] == pytest.approx(padded_ssim(a, b), abs=1e-9)
    planes = [
        np.mean([padded_ssim(p, q) for p, q in zip(slices_of(a, n), slices_of(b, n), strict=True)])
        for n in AXES
    ]
    assert found["ssim_2d"] == pytest.approx(np.mean(planes), abs=1e-9)
    assert found["psnr_3d"] == pytest.approx(-10 * np.log10(np.mean((a - b) ** 2)))


def test_recommended_ssim_is_scikit_image_s_gaussian_one_whole_and_inside_the_body():
    sct, ct = random_pair(5, (17, 19, 23))
    body = ct > 300
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    mean, similarity = structural_similarity(
        unit(sct), unit(ct), data_range=1, full=True, **options
    )
    found = recommended(sct, ct, body)
    assert found["ssim"] == pytest.approx(mean, abs=1e-9)
    inner = (slice(5, -5),) * 3
    assert found["ssim_body"] == pytest.approx(similarity[inner][body[inner]].mean(), abs=1e-9)
    squared = (unit(sct) - unit(ct)) ** 2
    assert found["psnr_body"] == pytest.approx(-10 * np.log10(squared[body].mean()))
    assert found == recommended(sct, ct, body)
    assert recommended(sct, ct)["psnr_body"] == pytest.approx(
        -10 * np.log10(squared[body_mask(ct)].mean())
    )


@pytest.mark.parametrize(("name", "low", "high"), [("narrow", 20, 60), ("display", 0, 80)])
def test_cranial_readings_live_in_their_window(name, low, high):
    rng = np.random.default_rng(6)
    ct = rng.uniform(-50, 130, SHAPE)
    sct = ct + rng.normal(0, 12, SHAPE)
    found = DEFINITIONS[f"cranial_{name}"].measure(sct, ct)
    a, b = unit(sct, low, high), unit(ct, low, high)
    assert found["psnr"] == pytest.approx(-10 * np.log10(np.mean((a - b) ** 2)))
    assert found["ssim"] == pytest.approx(sliced_ssim(a, b), abs=1e-9)
    assert found["ssim_3d"] == pytest.approx(
        structural_similarity(a, b, win_size=7, data_range=1), abs=1e-9
    )
    flat = a.ravel() @ b.ravel() / np.sqrt((a**2).sum() * (b**2).sum())
    assert found["cosine"] == pytest.approx(flat)
    outside = np.where(ct > high, 3000, np.where(ct < low, -1000, ct))
    assert DEFINITIONS[f"cranial_{name}"].measure(sct, outside) == found


def test_an_empty_volume_scores_well_as_published_and_badly_inside_the_body():
    head = make_phantom(seed=1, size=48, spacing_mm=5.0).ct.array_hu
    ct = np.pad(head, 8, constant_values=-1000)  # as volumes are padded to a common size
    air = np.full(ct.shape, -1000)
    assert x2ct(air, ct)["psnr"] > recommended(air, ct)["psnr"] + 8
    assert x2ct(air, ct)["psnr"] > 35
    assert x2ct(air, ct)["ssim"] > 0.7
    assert recommended(air, ct)["ssim_body"] < 0.05
    assert recommended(air, ct)["psnr_body"] < 8


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_definition_is_blind_to_which_volume_comes_first_and_to_mirrors(name):
    measure = DEFINITIONS[name].measure
    sct, ct = random_pair(7, (15, 17, 19))
    found = measure(sct, ct)
    assert measure(sct[:, ::-1, ::-1], ct[:, ::-1, ::-1]) == pytest.approx(found)
    if name != "recommended":  # its body is the truth's, filled along one axis
        assert measure(ct, sct) == pytest.approx(found)
        turned = measure(sct.transpose(2, 0, 1), ct.transpose(2, 0, 1))
        assert turned == pytest.approx(found)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_worse_volume_scores_worse(name):
    rng = np.random.default_rng(8)
    ct = rng.uniform(-20, 90, (15, 17, 19))
    noise = rng.normal(0, 1, ct.shape)
    good, bad = (DEFINITIONS[name].measure(ct + a * noise, ct) for a in (10, 40))
    assert all(good[number] > bad[number] for number in good)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_number_has_a_card_with_range_clip_window_mask_averaging_and_versions(name):
    scores = DEFINITIONS[name].scores(*random_pair(9))
    assert set(scores) == set(DEFINITIONS[name].measure(*random_pair(9)))
    for number, score in scores.items():
        card = json.loads(json.dumps(score.card.to_dict()))
        assert all(card.values())
        assert "HU" in card["clip"]
        assert "numpy" in card["versions"]
        assert (card["window"] != "none") == ("ssim" in number)
        assert (card["data_range"] != "none") == ("cosine" not in number)
        assert ("body" in card["mask"]) == ("body" in number)
    assert "4095" in DEFINITIONS["x2ct"].cards["psnr"].data_range


@pytest.mark.parametrize("name", DEFINITIONS)
def test_what_cannot_be_compared_is_refused(name):
    sct, ct = random_pair()
    for bad in (math.nan, math.inf):
        broken = sct.copy()
        broken[3, 2, 1] = bad
        for pair in ((broken, ct), (ct, broken)):
            with pytest.raises(InputError) as caught:
                DEFINITIONS[name].measure(*pair)
            assert caught.value.code == "NON_FINITE"
    for pair in ((sct[1:], ct), (sct[0], ct[0]), (sct[:0], ct[:0])):
        with pytest.raises(InputError) as caught:
            DEFINITIONS[name].measure(*pair)
        assert caught.value.code == "BAD_SHAPE"


def test_what_has_no_finite_value_is_none():
    small = np.zeros((5, 6, 6))
    assert x2ct(small, small + 1)["ssim"] is None
    assert perx2ct(small, small + 1)["ssim"] is None
    equal = recommended(*2 * [np.full((12, 12, 12), 40.0)])
    assert equal["psnr"] is None
    assert equal["psnr_body"] is None
    assert equal["ssim"] == pytest.approx(1)
    air = np.full((12, 12, 12), -1000.0)
    assert recommended(air, air)["ssim_body"] is None
    assert cranial(air, air, BRAIN)["cosine"] is None
