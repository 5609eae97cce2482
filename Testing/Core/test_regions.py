"""Skull, intracranial space and air, found in a phantom whose anatomy is known."""

from __future__ import annotations

import numpy as np
import pytest

from TomoRayCore.phantom import LABELS, make_phantom
from TomoRayCore.regions import head_regions

CONTENTS = (
    "ventricle",
    "white matter",
    "grey matter",
    "cerebellum and brain stem",
    "haemorrhage",
    "shunt",
)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(seed=4, size=64, spacing_mm=4.0)


def dice(one, other) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_the_intracranial_space_holds_the_brain(phantom):
    brain = np.isin(phantom.labels, [LABELS[name] for name in CONTENTS])
    found = head_regions(phantom.ct.array_hu, 4.0)["intracranial"]
    assert (found & brain).sum() > 0.95 * brain.sum()
    # Fluid around the brain and the canal below it belong to the space, not to the brain.
    assert dice(found, brain) > 0.88


def test_a_scan_that_ends_below_the_vertex_keeps_its_space(phantom):
    whole = head_regions(phantom.ct.array_hu, 4.0)["intracranial"]
    cut_hu = np.array(phantom.ct.array_hu)
    planes = np.arange(64)[:, None, None] + 0.4 * np.arange(64)[None, :, None]
    missing = np.broadcast_to(planes > 48, cut_hu.shape)
    cut_hu[missing] = -1000
    found = head_regions(cut_hu, 4.0)["intracranial"]
    assert not found[missing].any()
    assert dice(found, whole & ~missing) > 0.93


def test_skull_and_air_are_thresholds_and_regions_do_not_overlap(phantom):
    regions = head_regions(phantom.ct.array_hu, 4.0)
    assert (regions["skull"] == (phantom.ct.array_hu >= 300)).all()
    assert (regions["air"] == (phantom.ct.array_hu < -300)).all()
    assert np.sum(list(regions.values()), axis=0).max() == 1


def test_nothing_is_found_in_nothing():
    regions = head_regions(np.full((9, 10, 11), -1000), 2.0)
    assert regions["air"].all()
    assert not regions["skull"].any()
    assert not regions["intracranial"].any()
    soft = head_regions(np.zeros((9, 10, 11)), 2.0)
    assert not any(mask.any() for mask in soft.values())
