"""The procedural head: seeded, anatomically plausible, the same head at every voxel size."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from TomoRayCore.errors import InputError
from TomoRayCore.phantom import LABELS, PATHOLOGIES, Phantom, make_phantom


@lru_cache(maxsize=8)
def head(seed: int = 0, pathology: str | None = None, size: int = 64) -> Phantom:
    return make_phantom(seed, size, 256.0 / size, pathology, pose_deg=(0, 0, 0))


def share_of(phantom: Phantom, name: str) -> float:
    return float((phantom.labels == LABELS[name]).mean())


def test_the_same_seed_gives_the_same_bytes():
    first, second = make_phantom(7, 32, 8.0, "random"), make_phantom(7, 32, 8.0, "random")
    assert first.ct.array_hu.tobytes() == second.ct.array_hu.tobytes()
    assert first.labels.tobytes() == second.labels.tobytes()
    assert first.parameters == second.parameters


def test_another_seed_gives_another_head():
    difference = head(0).ct.array_hu.astype(float) - head(1).ct.array_hu
    assert np.abs(difference).mean() > 20


def test_the_grid_is_canonical_and_centred():
    ct = make_phantom(3, 40, 5.0).ct
    assert ct.shape == (40, 40, 40)
    assert ct.array_hu.dtype == np.int16
    assert np.allclose(ct.grid.direction, np.eye(3))
    assert np.allclose(ct.grid.centre_lps, 0, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_the_vertex_lies_near_ten_millimetres_under_the_top_and_the_neck_reaches_the_bottom(seed):
    body = head(seed).ct.array_hu > -300
    top = np.flatnonzero(body.any((1, 2))).max()
    assert 4 <= (63 - top) * 4 <= 18
    assert body[0].any()
    assert not body[-1].any()


@pytest.mark.parametrize("seed", range(4))
def test_it_has_an_adult_head_s_proportions(seed):
    skull = np.isin(head(seed).labels[36:], (LABELS["compact bone"], LABELS["spongy bone"]))
    width_mm = np.ptp(np.flatnonzero(skull.any((0, 1)))) * 4
    length_mm = np.ptp(np.flatnonzero(skull.any((0, 2)))) * 4
    assert 120 <= width_mm <= 165
    assert 160 <= length_mm <= 205
    assert length_mm > width_mm


def test_every_tissue_is_there_and_has_its_own_hu():
    phantom = head(0)
    missing = [
        name
        for name in LABELS
        if name not in ("haemorrhage", "shunt") and share_of(phantom, name) == 0
    ]
    assert not missing
    median = {
        name: np.median(phantom.ct.array_hu[phantom.labels == value])
        for name, value in LABELS.items()
        if (phantom.labels == value).any()
    }
    assert median["outside air"] == -1000
    assert median["air space"] < -700
    assert median["fat"] < -40 < 0 < median["ventricle"] < 20
    assert median["ventricle"] < median["white matter"] < median["grey matter"]
    assert 300 < median["spongy bone"] < median["compact bone"]


def test_left_and_right_differ():
    ct = head(2).ct.array_hu.astype(float)
    assert np.abs(ct - ct[:, :, ::-1]).mean() > 5


def test_air_lies_in_front_of_the_spine_and_the_face_is_anterior():
    labels = head(0).labels
    j = np.arange(64)[None, :, None]
    airway = labels[:24] == LABELS["air space"]
    cord = labels[:24] == LABELS["spinal cord"]
    assert (airway * j).sum() / airway.sum() < (cord * j).sum() / cord.sum()
    eyes = labels == LABELS["eye"]
    brain = labels == LABELS["white matter"]
    assert (eyes * j).sum() / eyes.sum() < (brain * j).sum() / brain.sum() - 10


def test_a_finer_grid_shows_the_same_head():
    coarse, fine = head(4), head(4, size=96)
    middle = fine.ct.array_hu.astype(float)
    for name in ("grey matter", "muscle", "compact bone", "air space"):
        assert share_of(fine, name) == pytest.approx(share_of(coarse, name), rel=0.35), name
    assert middle.mean() == pytest.approx(coarse.ct.array_hu.mean(), abs=8)


def test_pathology_changes_the_brain_and_nothing_else():
    normal = head(5)
    for name in PATHOLOGIES:
        sick = head(5, name)
        assert sick.parameters["shape"] == normal.parameters["shape"]
        changed = sick.labels != normal.labels
        assert changed.any(), name
        face = changed[10:28, :24]
        assert face.mean() < 0.002, name


def test_each_pathology_shows():
    assert share_of(head(5, "ventriculomegaly"), "ventricle") > 1.5 * share_of(head(5), "ventricle")
    assert share_of(head(5, "haemorrhage"), "haemorrhage") > 0
    shunt = head(5, "shunt", 96)
    tube = shunt.labels == LABELS["shunt"]
    assert tube.sum() > 20
    assert shunt.ct.array_hu[tube].max() > 400
    assert not (head(5).labels >= LABELS["haemorrhage"]).any()


def test_random_pathology_is_one_of_the_known_or_none():
    drawn = {make_phantom(seed, 16, 16.0, "random").parameters["pathology"] for seed in range(12)}
    assert drawn <= {None, *PATHOLOGIES}
    assert len(drawn) > 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"size": 8},
        {"spacing_mm": 0.0},
        {"spacing_mm": float("nan")},
        {"pathology": "flu"},
        {"noise_hu": -1.0},
    ],
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(InputError) as caught:
        make_phantom(**{"size": 16, "spacing_mm": 16.0, **wrong})
    assert caught.value.code == "BAD_PHANTOM"
