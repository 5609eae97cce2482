"""One case, all numbers: stable names, None instead of inventions, no matter how it is stored."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

from TomoRayCore.errors import InputError
from TomoRayCore.phantom import make_phantom
from TomoRayCore.presets import from_preset
from TomoRayCore.resample import resample
from TomoRayCore.scores import DEFINITIONS, cards, score_case
from TomoRayCore.scores.projection import projection_scores
from TomoRayCore.volume import SYNTHETIC_KEY, Volume, canonical_grid

VIEWS = from_preset(size=32)


@pytest.fixture(scope="module")
def ct() -> Volume:
    return make_phantom(seed=2, size=48, spacing_mm=5.0, pathology="ventriculomegaly").ct


@pytest.fixture(scope="module")
def sct(ct: Volume) -> Volume:
    """The truth, blurred."""
    blurred = ndimage.gaussian_filter(np.asarray(ct.array_hu, np.float32), 0.8)
    return Volume(blurred, ct.ijk_to_lps, {SYNTHETIC_KEY: "true"})


@pytest.fixture(scope="module")
def scores(sct: Volume, ct: Volume) -> dict[str, float | None]:
    return score_case(sct, ct, views=VIEWS)


def test_names_are_those_of_the_cards_whatever_the_case(scores, ct):
    assert list(scores) == list(cards(VIEWS))
    air = Volume(np.full(ct.shape, -1000, np.int16), ct.ijk_to_lps)
    assert list(score_case(air, ct, views=VIEWS)) == list(scores)
    json.dumps(scores, allow_nan=False)
    for name in ("recommended.ssim_body", "tissue.dice_ventricles", "surface.bone.nsd"):
        assert 0 < scores[name] < 1
    assert scores["projection.unseen_30.ncc"] > 0.9
    assert {name.split(".")[0] for name in scores} == {
        *DEFINITIONS,
        "tissue",
        "surface",
        "projection",
    }


def test_every_card_says_what_where_and_how(scores):
    for name, card in cards(VIEWS).items():
        said = card.to_dict()
        assert all(isinstance(text, str) and text for text in said.values()), name
    assert "sinuses" in cards(VIEWS)["surface.inner_air.hd95_mm"].mask


def test_the_truth_itself_is_perfect_and_a_perfect_psnr_is_no_number(ct):
    found = score_case(ct, ct, views=VIEWS)
    for name, value in found.items():
        kind = name.rsplit(".", 1)[1]
        if kind.startswith(("ssim", "dice", "cosine", "nsd", "ncc")):
            assert value == pytest.approx(1), name
        elif kind.startswith(("mae", "rmse", "assd", "hd95")) or kind == "ventricle_error_ml":
            assert value == 0, name
    assert found["recommended.psnr"] is None
    assert found["x2ct.psnr"] == 100


def test_how_the_synthetic_ct_is_stored_does_not_matter(sct, ct, scores):
    turned = np.array(sct.ijk_to_lps)
    turned[:3, :3] = sct.ijk_to_lps[:3, [2, 0, 1]]
    array = np.array(sct.array_hu.transpose(1, 2, 0))
    turned[:3, 3] += turned[:3, 2] * (array.shape[0] - 1)
    turned[:3, 2] *= -1
    stored = Volume(array[::-1], turned)
    assert score_case(stored, ct, views=VIEWS) == pytest.approx(scores, rel=1e-5, nan_ok=False)


def test_the_truth_is_brought_onto_the_synthetic_ct_s_voxels(sct, ct, scores):
    fine = resample(ct, canonical_grid((0, 0, 0), (96, 96, 96), 2.5))
    found = score_case(sct, fine, views=VIEWS)
    assert found["recommended.ssim"] == pytest.approx(scores["recommended.ssim"], abs=0.1)
    assert found["projection.ap.ncc"] > 0.9


def test_only_what_the_mask_allows_counts(sct, ct):
    mask = np.zeros(ct.shape, bool)
    mask[20:] = True
    wrong = np.array(sct.array_hu)
    wrong[:20] = 1500
    broken = Volume(wrong, sct.ijk_to_lps)
    masked = score_case(broken, ct, views=VIEWS, mask=mask)
    assert masked == score_case(sct, ct, views=VIEWS, mask=mask)
    upper = canonical_grid((0, 0, 0), 48, 5.0).ijk_to_lps.copy()
    upper[:3, 3] += upper[:3, 2] * 20
    cut = Volume(np.array(ct.array_hu[20:]), upper)
    assert score_case(broken, cut, views=VIEWS) == pytest.approx(masked)


def test_a_volume_that_is_cut_keeps_its_place_before_the_source(sct, ct):
    mask = np.zeros(ct.shape, bool)
    mask[22:, 5:, :40] = True
    affine = np.array(ct.ijk_to_lps)
    affine[:3, 3] = (ct.ijk_to_lps @ [0, 5, 22, 1])[:3]
    alone = [Volume(one.array_hu[22:, 5:, :40], affine) for one in (sct, ct)]
    expected = projection_scores(*alone, VIEWS)
    found = score_case(sct, ct, views=VIEWS, mask=mask)
    for view, numbers in expected.items():
        for number, value in numbers.items():
            assert found[f"projection.{view}.{number}"] == pytest.approx(value, rel=1e-5)


def test_what_cannot_be_scored_is_refused(sct, ct):
    flat = np.array(ct.ijk_to_lps)
    flat[2, 2] *= 2
    elsewhere = np.array(ct.ijk_to_lps)
    elsewhere[0, 3] += 5000
    cases = (
        ("SYNTHETIC_INPUT", (ct, sct), None),
        ("VOXELS_NOT_CUBIC", (Volume(sct.array_hu, flat), ct), None),
        ("NO_OVERLAP", (Volume(sct.array_hu, elsewhere), ct), None),
        ("NO_OVERLAP", (sct, ct), np.zeros(ct.shape)),
        ("BAD_MASK", (sct, ct), np.ones((3, 4, 5))),
    )
    for code, pair, mask in cases:
        with pytest.raises(InputError) as caught:
            score_case(*pair, views=VIEWS, mask=mask)
        assert caught.value.code == code
