"""Errors by tissue and overlaps of structures, on heads whose anatomy is known."""

from __future__ import annotations

import numpy as np
import pytest

from TomoRayCore.errors import InputError
from TomoRayCore.phantom import LABELS, make_phantom
from TomoRayCore.regions import head_regions
from TomoRayCore.scores.tissue import CARDS, TISSUES, dice, segment, tissue_scores
from TomoRayCore.scores.ventricles import segment_ventricles

SPACING = 3.5
SIZE = 64


def head(seed: int, pathology: str | None = None):
    return make_phantom(seed=seed, size=SIZE, spacing_mm=SPACING, pathology=pathology)


@pytest.fixture(scope="module")
def wide():
    return head(3, "ventriculomegaly")


@pytest.fixture(scope="module")
def wide_hu(wide) -> np.ndarray:
    return np.asarray(wide.ct.array_hu, float)


@pytest.fixture(scope="module")
def wide_space(wide_hu) -> np.ndarray:
    return head_regions(wide_hu, SPACING)["intracranial"]


def ventricles_of(phantom) -> np.ndarray:
    space = head_regions(phantom.ct.array_hu, SPACING)["intracranial"]
    return segment_ventricles(phantom.ct.array_hu, space, SPACING)


def labelled(phantom) -> np.ndarray:
    return phantom.labels == LABELS["ventricle"]


@pytest.mark.parametrize(
    ("seed", "pathology", "least", "error"),
    [
        (2, "ventriculomegaly", 0.93, 0.08),
        (4, "shunt", 0.85, 0.15),
        (1, None, 0.82, 0.2),
        (6, "haemorrhage", 0.8, 0.2),
    ],
)
def test_ventricles_are_the_phantom_s(seed, pathology, least, error):
    phantom = head(seed, pathology)
    found, truth = ventricles_of(phantom), labelled(phantom)
    assert dice(found, truth) > least
    assert found.sum() == pytest.approx(truth.sum(), rel=error)


def test_ventriculomegaly_is_seen_as_wider_ventricles_of_the_same_head(wide_hu, wide_space):
    straight = segment_ventricles(wide_hu, wide_space, SPACING)
    assert straight.sum() > 2 * ventricles_of(head(3)).sum()


@pytest.mark.parametrize("offset", [-14, 20])
def test_a_scanner_that_is_off_by_some_hu_has_the_same_ventricles(wide_hu, wide_space, offset):
    straight = segment_ventricles(wide_hu, wide_space, SPACING)
    assert dice(segment_ventricles(wide_hu + offset, wide_space, SPACING), straight) > 0.97


def test_a_brain_without_ventricles_has_none_and_is_found_out_by_them_alone(wide_hu, wide_space):
    flat = np.where(wide_space, 32.0, wide_hu)
    assert not segment_ventricles(flat, wide_space, SPACING).any()
    scores = tissue_scores(flat, wide_hu, SPACING)
    assert scores["dice_ventricles"] == 0
    assert scores["ventricle_error_ml"] == pytest.approx(-scores["ventricle_volume_ml"])
    assert scores["dice_bone"] == 1
    assert scores["mae_bone_hu"] == scores["mae_soft_tissue_hu"] == 0
    assert scores["mae_brain_hu"] < 15


def test_an_empty_head_has_no_ventricles_rather_than_no_score(wide_hu):
    scores = tissue_scores(np.full(wide_hu.shape, -1000.0), wide_hu, SPACING)
    assert scores["dice_ventricles"] == scores["dice_bone"] == scores["dice_intracranial"] == 0
    assert scores["ventricle_error_ml"] < -50


def test_a_broken_skull_does_not_cost_the_ventricles(wide_hu):
    soft = np.minimum(wide_hu, 250.0)
    scores = tissue_scores(soft, wide_hu, SPACING)
    assert scores["dice_bone"] == scores["dice_intracranial"] == 0
    assert scores["dice_ventricles"] == 1
    assert scores["ventricle_error_ml"] == 0


def test_tissues_are_where_the_labels_say(wide, wide_hu, wide_space):
    rng = np.random.default_rng(0)
    off = {name: float(rng.integers(5, 60)) for name in ("bone", "air", "rest")}
    sct = wide_hu + np.select([wide_hu > 300, wide_hu < -300], [off["bone"], off["air"]], 0)
    brain = np.isin(wide.labels, [LABELS["white matter"], LABELS["grey matter"]])
    sct[wide_space] += off["rest"]
    scores = tissue_scores(sct, wide_hu, SPACING)
    assert scores["mae_bone_hu"] == scores["rmse_bone_hu"] == pytest.approx(off["bone"])
    assert scores["mae_air_hu"] == pytest.approx(off["air"])
    assert scores["mae_soft_tissue_hu"] == 0
    assert scores["mae_brain_hu"] == scores["mae_csf_hu"] == pytest.approx(off["rest"])
    assert (wide_space & brain).sum() > 0.95 * brain.sum()


def test_mae_and_rmse_are_what_a_hand_calculates():
    ct = np.full((8, 9, 10), 500.0)
    sct = ct.copy()
    sct[0, 0, :4] += [10, -20, 30, -40]
    scores = tissue_scores(sct, ct, 2.0)
    assert scores["mae_bone_hu"] == pytest.approx(100 / ct.size)
    assert scores["rmse_bone_hu"] == pytest.approx(np.sqrt(3000 / ct.size))
    assert scores["dice_bone"] == 1


def test_what_the_truth_lacks_has_no_score():
    air = np.full((10, 11, 12), -1000.0)
    scores = tissue_scores(air, air, 2.0)
    assert scores["mae_air_hu"] == 0
    assert scores["dice_air"] == 1
    nothing = [name for name in TISSUES if name != "air"]
    assert all(scores[f"mae_{name}_hu"] is None for name in nothing)
    assert all(scores[f"rmse_{name}_hu"] is None for name in nothing)
    for name in ("bone", "intracranial", "ventricles", "inner_air"):
        assert scores[f"dice_{name}"] is None
    assert scores["ventricle_volume_ml"] is None
    assert scores["ventricle_error_ml"] is None


def test_inner_air_is_the_airway_and_the_sinuses(wide, wide_hu):
    found = segment(wide_hu, SPACING)["inner_air"]
    assert 0 < found.sum() < 0.1 * (wide_hu < -300).sum()
    spaces = wide.labels == LABELS["air space"]
    assert (found & spaces).sum() > 0.6 * found.sum()


def test_dice_is_twice_the_common_part_over_the_sum():
    one, other = np.zeros((2, 4, 5, 6), bool)
    one[0], other[:2, :, :3] = True, True
    assert dice(one, other) == pytest.approx(2 * 15 / (30 + 30))
    assert dice(one, one) == 1
    assert dice(one, ~one) == 0
    assert dice(one & ~one, one & ~one) is None
    with pytest.raises(InputError) as caught:
        dice(one, other[1:])
    assert caught.value.code == "BAD_SHAPE"


def test_every_number_has_a_card_and_nan_is_refused():
    plain = np.zeros((7, 8, 9))
    assert set(tissue_scores(plain, plain, SPACING)) == set(CARDS)
    broken = plain.copy()
    broken[1, 2, 3] = np.nan
    for pair in ((broken, plain), (plain, broken)):
        with pytest.raises(InputError) as caught:
            tissue_scores(*pair, SPACING)
        assert caught.value.code == "NON_FINITE"
