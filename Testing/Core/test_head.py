"""The head is found wherever it lies in the scan."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from TomoRayCore.coordinates import compose_affine
from TomoRayCore.head import (
    CENTRE_BEFORE_MIDDLE_MM,
    CENTRE_BELOW_TOP_MM,
    COARSE_MM,
    locate_head,
)
from TomoRayCore.phantom import Phantom, make_phantom
from TomoRayCore.resample import resample
from TomoRayCore.volume import Grid, Volume, canonical_grid


@pytest.fixture(scope="module")
def head() -> Phantom:
    return make_phantom(seed=5, size=64, spacing_mm=4.0)


def shell(size_mm: float = 140.0, top_mm: float = 60.0) -> Volume:
    """Return a hollow ball of bone whose top lies at a height, on a 4 mm grid."""
    grid = canonical_grid((0, 0, 0), 64, 4.0)
    z, y, x = np.meshgrid(*[np.arange(64) * 4.0 - 126] * 3, indexing="ij")
    radius = np.sqrt((x - 11) ** 2 + (y + 23) ** 2 + (z - (top_mm - size_mm / 2)) ** 2)
    values = np.where(radius < size_mm / 2, 40, -1000)
    values[(radius < size_mm / 2) & (radius > size_mm / 2 - 8)] = 1000
    return Volume(values.astype(np.int16), grid.ijk_to_lps)


def test_a_ball_of_bone_is_located_from_its_top_and_middle():
    location = locate_head(shell())
    expected = (11, -23 - CENTRE_BEFORE_MIDDLE_MM, 60 - CENTRE_BELOW_TOP_MM)
    assert location.found
    assert not location.reaches_top
    assert np.allclose(location.isocentre_lps, expected, atol=4.0)


def test_a_moved_head_is_found_as_far_away(head):
    here = locate_head(head.ct)
    shift = np.array((322.0, -78.0, 1500.0))  # whole steps of the search grid
    moved = head.ct.ijk_to_lps.copy()
    moved[:3, 3] += shift
    there = locate_head(Volume(head.ct.array_hu, moved))
    assert here.found
    assert np.allclose(there.isocentre_lps, here.isocentre_lps + shift, atol=1e-6)


@pytest.mark.parametrize(
    "angles", [(0, 0, 90), (180, 0, 0), (90, 0, 90)], ids=["turned", "upside_down", "sagittal"]
)
def test_storage_order_does_not_matter(head, angles):
    direction = np.rint(Rotation.from_euler("xyz", angles, degrees=True).as_matrix())
    size = np.array(head.ct.shape[::-1])
    middle = np.array(head.ct.grid.centre_lps)
    origin = middle - direction @ ((size - 1) / 2 * 4.0)
    stored = resample(head.ct, Grid(head.ct.shape, compose_affine(direction, (4, 4, 4), origin)))
    assert np.allclose(
        locate_head(stored).isocentre_lps, locate_head(head.ct).isocentre_lps, atol=0.1
    )


def test_voxel_size_matters_little(head):
    fine = make_phantom(seed=5, size=80, spacing_mm=3.2)
    difference = np.subtract(locate_head(fine.ct).isocentre_lps, locate_head(head.ct).isocentre_lps)
    assert np.abs(difference).max() <= 8.0


def test_the_isocentre_lies_in_the_brain(head):
    index = np.linalg.inv(head.ct.ijk_to_lps) @ [*locate_head(head.ct).isocentre_lps, 1]
    i, j, k = np.rint(index[:3]).astype(int)
    assert -100 < head.ct.array_hu[k, j, i] < 120


def test_a_skull_that_is_cut_off_above_says_so(head):
    whole = locate_head(head.ct)
    cut = Volume(head.ct.array_hu[:-10], head.ct.ijk_to_lps)
    assert not whole.reaches_top
    assert locate_head(cut).reaches_top


def test_without_a_skull_the_middle_of_the_volume_is_taken():
    grid = canonical_grid((10, 20, 30), (32, 33, 34), 4.0)
    water = Volume(np.zeros(grid.shape, np.int16), grid.ijk_to_lps)
    location = locate_head(water)
    assert not location.found
    assert location.isocentre_lps == pytest.approx((10, 20, 30))


def test_a_small_bone_is_no_skull():
    values = np.full((64, 64, 64), -1000, np.int16)
    values[:, 30:36, 30:36] = 800
    assert not locate_head(Volume(values, canonical_grid((0, 0, 0), 64, 4.0).ijk_to_lps)).found


def test_loose_bone_beside_the_skull_does_not_move_it():
    alone = shell()
    values = alone.array_hu.copy()
    values[-3:, 2:5, 2:5] = 2000
    assert locate_head(Volume(values, alone.ijk_to_lps)) == locate_head(alone)


def test_a_volume_thinner_than_the_search_grid_is_centred_on_itself():
    values = np.full((1, 100, 100), 500, np.int16)
    location = locate_head(Volume(values, np.diag([1.0, 1.0, 0.5, 1.0])))
    assert not location.found
    assert location.isocentre_lps == (49.5, 49.5, 0.0)


def test_copies_on_other_grids_have_the_same_isocentre(head):
    expected = locate_head(head.ct).isocentre_lps
    turn = Rotation.from_rotvec([4.0, -8.0, 12.0], degrees=True).as_matrix()
    origin = np.array(head.ct.grid.centre_lps) - turn @ np.full(3, 59.5 * 2.7)
    oblique = resample(head.ct, Grid((120, 120, 120), compose_affine(turn, [2.7] * 3, origin)))
    assert np.abs(np.subtract(locate_head(oblique).isocentre_lps, expected)).max() <= COARSE_MM
