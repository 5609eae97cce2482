"""Surface distances agree with all pairs of points, and with distances known beforehand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from TomoRayCore.errors import InputError
from TomoRayCore.scores.surface import surface_distances, surface_scores

SPACING = (3.0, 1.5, 0.7)


def blob(seed: int, shape=(11, 14, 17)) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(noise, 2) > 0.03


def surface_points(mask: np.ndarray) -> np.ndarray:
    """Voxels with a neighbour inside the array that is not in the mask, found one by one."""
    points = []
    for voxel in np.argwhere(mask):
        for axis, step in itertools.product(range(mask.ndim), (-1, 1)):
            other = voxel.copy()
            other[axis] += step
            if 0 <= other[axis] < mask.shape[axis] and not mask[tuple(other)]:
                points.append(voxel)
                break
    return np.array(points)


@pytest.mark.parametrize("seeds", [(0, 1), (2, 3), (4, 5)])
def test_distances_are_those_of_all_pairs_of_surface_points(seeds):
    one, other = blob(seeds[0]), blob(seeds[1])
    table = cdist(surface_points(one) * SPACING, surface_points(other) * SPACING)
    forth, back = table.min(axis=1), table.min(axis=0)
    both = np.concatenate([forth, back])
    found = surface_scores(one, other, SPACING)
    assert found["assd_mm"] == pytest.approx(both.mean())
    assert found["hd95_mm"] == pytest.approx(max(np.percentile(forth, 95), np.percentile(back, 95)))
    assert found["nsd"] == pytest.approx((both <= 2).mean())
    assert surface_scores(other, one, SPACING) == pytest.approx(found)


def test_a_mask_is_no_distance_from_itself():
    assert surface_scores(blob(6), blob(6), SPACING) == {"assd_mm": 0, "hd95_mm": 0, "nsd": 1}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_are_as_far_apart_as_their_shift_in_mm(axis):
    one, other = np.zeros((2, 20, 20, 20), bool)
    one[tuple(slice(0, 5) if n == axis else slice(None) for n in range(3))] = True
    other[tuple(slice(0, 9) if n == axis else slice(None) for n in range(3))] = True
    found = surface_scores(one, other, SPACING)
    assert found["assd_mm"] == found["hd95_mm"] == pytest.approx(4 * SPACING[axis])


def test_two_millimetres_are_within_two_millimetres():
    one, other = np.zeros((2, 9, 9, 9), bool)
    one[:3], other[:5] = True, True
    assert surface_scores(one, other, (1, 1, 1))["nsd"] == 1
    assert surface_scores(one, other, (1.001, 1, 1))["nsd"] == 0
    distances = surface_distances(one, other, (1.5, 1, 1))
    assert distances.nsd(3) == 1
    assert distances.nsd(2.9) == 0


def test_where_masks_lie_in_the_array_does_not_matter():
    one, other = np.zeros((2, 30, 30, 30), bool)
    one[3:14, 4:18, 5:22], other[3:14, 4:18, 5:22] = blob(7), blob(8)
    one[[3, 13]], other[[3, 13]] = False, False
    found = surface_scores(one, other, SPACING)
    moved = [np.roll(mask, (9, 7, 5), axis=(0, 1, 2)) for mask in (one, other)]
    assert surface_scores(*moved, SPACING) == pytest.approx(found)


def test_where_a_scan_ends_there_is_no_surface():
    one, other = np.zeros((2, 12, 12, 12), bool)
    one[:, :6], other[:, :6] = True, True
    other[0, :6] = False
    # Only the layer that is missing in one of them has a surface near that border.
    assert surface_scores(one, one, (1, 1, 1))["assd_mm"] == 0
    assert len(surface_points(one)) == 12 * 12
    assert surface_scores(one, other, (1, 1, 1))["assd_mm"] > 0


def test_nothing_has_no_distance():
    empty, full = np.zeros((6, 6, 6), bool), np.ones((6, 6, 6), bool)
    nothing = {"assd_mm": None, "hd95_mm": None, "nsd": None}
    for one, other in ((empty, empty), (empty, blob(1, (6, 6, 6))), (full, full)):
        assert surface_scores(one, other, SPACING) == nothing
        assert surface_scores(other, one, SPACING) == nothing


def test_masks_and_spacings_that_do_not_fit_are_refused():
    with pytest.raises(InputError) as caught:
        surface_scores(blob(1), blob(1)[1:], SPACING)
    assert caught.value.code == "BAD_SHAPE"
    for spacing in ((1.0, 1.0), (1.0, 0.0, 1.0), (1.0, np.nan, 1.0), (1.0, np.inf, 1.0)):
        with pytest.raises(InputError) as caught:
            surface_scores(blob(1), blob(2), spacing)
        assert caught.value.code == "BAD_SPACING"
