"""Other grids, same place: re-ordered exactly, interpolated within rounding."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from TomoRayCore.coordinates import compose_affine, transform_points
from TomoRayCore.resample import inside, reorient_to_lps, resample, to_sitk
from TomoRayCore.volume import AIR_HU, Grid, Volume, canonical_grid

ORIENTATIONS = [
    np.eye(3)[:, list(order)] * signs
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]
SPACING = (0.7, 1.1, 2.3)
ORIGIN = (-31.0, 7.5, 404.0)


def numbered(shape=(3, 4, 5)) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


def voxel_places(volume: Volume) -> dict[int, np.ndarray]:
    """Return the world position of every value; values are unique."""
    k, j, i = np.indices(volume.shape)
    places = transform_points(volume.ijk_to_lps, np.stack([i, j, k], axis=-1))
    return dict(zip(volume.array_hu.ravel().tolist(), places.reshape(-1, 3), strict=True))


# ------------------------------------------------------------------------------- re-ordering


def test_there_are_48_ways_to_store_a_volume():
    assert len({direction.tobytes() for direction in ORIENTATIONS}) == 48


@pytest.mark.parametrize("number", range(48))
def test_reordering_leaves_every_voxel_where_it_was(number):
    volume = Volume(numbered(), compose_affine(ORIENTATIONS[number], SPACING, ORIGIN), {"a": "b"})
    upright = reorient_to_lps(volume)
    assert np.array_equal(upright.grid.direction, np.eye(3))
    before, after = voxel_places(volume), voxel_places(upright)
    assert before.keys() == after.keys()
    assert all(np.allclose(before[value], after[value], atol=1e-9) for value in before)
    assert upright.metadata == {"a": "b"}
    assert upright.array_hu.dtype == np.int16


@pytest.mark.parametrize("number", range(48))
def test_an_oblique_volume_stays_oblique_by_what_is_left_over(number):
    tilt = Rotation.from_euler("xyz", (12, -17, 9), degrees=True).as_matrix()
    volume = Volume(numbered(), compose_affine(tilt @ ORIENTATIONS[number], SPACING, ORIGIN))
    upright = reorient_to_lps(volume)
    assert np.allclose(upright.grid.direction, tilt)
    before, after = voxel_places(volume), voxel_places(upright)
    assert all(np.allclose(before[value], after[value], atol=1e-9) for value in before)


def test_reordering_twice_changes_nothing():
    once = reorient_to_lps(Volume(numbered(), compose_affine(ORIENTATIONS[29], SPACING, ORIGIN)))
    twice = reorient_to_lps(once)
    assert np.array_equal(once.array_hu, twice.array_hu)
    assert np.allclose(once.ijk_to_lps, twice.ijk_to_lps)


def test_a_volume_turned_by_exactly_half_a_right_angle_keeps_three_different_axes():
    turn = Rotation.from_euler("z", 45, degrees=True).as_matrix()
    volume = Volume(numbered(), compose_affine(turn, SPACING, ORIGIN))
    upright = reorient_to_lps(volume)
    before, after = voxel_places(volume), voxel_places(upright)
    assert all(np.allclose(before[value], after[value]) for value in before)


# ------------------------------------------------------------------------------- interpolation


def marked_volume(direction: np.ndarray, at: tuple[float, float, float]) -> Volume:
    """Return air with a Gaussian blob of 4 mm about a world point."""
    spacing, shape = np.array((1.0, 1.25, 1.5)), (45, 55, 65)
    middle = (np.array(shape[::-1]) - 1) / 2
    affine = compose_affine(direction, spacing, -direction @ (spacing * middle))
    k, j, i = np.indices(shape)
    places = transform_points(affine, np.stack([i, j, k], axis=-1))
    distance2 = ((places - at) ** 2).sum(axis=-1)
    return Volume(-1000 + 2000 * np.exp(-distance2 / 32), affine)


def centre_of_mass_lps(volume: Volume) -> np.ndarray:
    weights = volume.array_hu.astype(float) - AIR_HU
    indices = np.stack(np.indices(volume.shape)[::-1], axis=-1)
    middle = (indices * weights[..., None]).sum(axis=(0, 1, 2)) / weights.sum()
    return transform_points(volume.ijk_to_lps, middle)


@pytest.mark.parametrize("number", [0, 13, 29, 47])
def test_resampling_keeps_the_place_of_a_marker(number):
    tilt = Rotation.from_euler("xyz", (12, -17, 9), degrees=True).as_matrix()
    at = (7.5, -4.25, 3.0)
    volume = marked_volume(tilt @ ORIENTATIONS[number], at)
    resampled = resample(volume, canonical_grid((2, 3, 4), (38, 39, 40), 1.3))
    assert np.allclose(centre_of_mass_lps(volume), at, atol=0.02)
    assert np.allclose(centre_of_mass_lps(resampled), at, atol=0.05)


def test_a_linear_ramp_is_interpolated_exactly():
    shape = (9, 11, 13)
    direction = Rotation.from_euler("xyz", (5, 3, -8), degrees=True).as_matrix()
    affine = compose_affine(direction, (2, 3, 4), (0, 0, 0))
    k, j, i = np.indices(shape)
    ramp = transform_points(affine, np.stack([i, j, k], axis=-1)) @ (3.0, -2.0, 5.0)
    grid = Grid((3, 3, 3), compose_affine(np.eye(3), (1, 1, 1), affine[:3, :3] @ (6, 5, 4)))
    k, j, i = np.indices(grid.shape)
    expected = transform_points(grid.ijk_to_lps, np.stack([i, j, k], axis=-1)) @ (3.0, -2.0, 5.0)
    assert np.allclose(resample(Volume(ramp, affine), grid).array_hu, expected, atol=1e-3)


def line(values: list[int], dtype=np.int16) -> Volume:
    return Volume(np.tile(np.array(values, dtype), (3, 3, 1)), np.eye(4))


def test_whole_numbers_are_rounded_and_not_cut_off():
    grid = Grid((3, 3, 3), compose_affine(np.eye(3), (1, 1, 1), (0.75, 0, 0)))
    resampled = resample(line([0, 100, 0, -100]), grid)
    assert resampled.array_hu.dtype == np.int16
    assert resampled.array_hu[1, 1].tolist() == [75, 25, -75]
    assert resample(line([0, 1, 0, -1]), grid).array_hu[1, 1].tolist() == [1, 0, -1]


def test_halving_the_voxels_leaves_the_mean_of_noise_alone():
    noise = np.random.default_rng(4).integers(-999, 0, (24, 24, 24)).astype(np.int16)
    volume = Volume(noise, np.eye(4))
    grid = Grid((23, 23, 23), compose_affine(np.eye(3), (1, 1, 1), (0.5, 0.5, 0.5)))
    exact = resample(Volume(noise.astype(np.float32), np.eye(4)), grid)
    whole = resample(volume, grid)
    assert abs(whole.array_hu.mean() - exact.array_hu.mean()) < 0.02


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_outside_the_volume_there_is_air(dtype):
    grid = Grid((3, 3, 10), compose_affine(np.eye(3), (1, 1, 1), (-3, 0, 0)))
    values = resample(line([5, 6, 7, 8], dtype), grid).array_hu[1, 1].tolist()
    assert values == [-1000] * 3 + [5, 6, 7, 8] + [-1000] * 3
    assert resample(line([5, 6, 7, 8], dtype), grid, 42).array_hu[0, 0, 0] == 42


def test_the_outer_half_of_border_voxels_belongs_to_the_volume():
    grid = Grid((6, 6, 8), compose_affine(np.eye(3), (0.5, 0.5, 0.5), (-0.25, -0.25, -0.25)))
    assert (resample(line([9, 9, 9, 9]), grid).array_hu == 9).all()


def test_the_same_grid_gives_the_same_volume():
    volume = line([1, 2, 3, 4])
    assert resample(volume, Grid(volume.shape, volume.ijk_to_lps.copy())) is volume


def test_metadata_travel_along():
    volume = Volume(numbered(), np.eye(4), {"patient": "nobody"})
    assert resample(volume, canonical_grid((1, 1, 1), 2, 1.0)).metadata == {"patient": "nobody"}


# ------------------------------------------------------------------------------- inside


@pytest.mark.parametrize("number", [0, 17, 41])
def test_inside_is_where_resampling_finds_voxels(number):
    tilt = Rotation.from_euler("xyz", (20, 10, -15), degrees=True).as_matrix()
    affine = compose_affine(tilt @ ORIENTATIONS[number], SPACING, (1.013, 2.017, 3.019))
    volume = Volume(np.full((5, 6, 7), 100, np.int16), affine)
    grid = canonical_grid(volume.grid.centre_lps, (19, 18, 17), 0.83)
    mask = inside(grid, volume.grid)
    assert 0 < mask.sum() < mask.size
    assert np.array_equal(mask, resample(volume, grid).array_hu == 100)


def test_a_grid_is_inside_itself_and_not_inside_a_smaller_one():
    grid = canonical_grid((3, 2, 1), (4, 5, 6), 1.5)
    assert inside(grid, grid).all()
    smaller = canonical_grid((3, 2, 1), (2, 3, 4), 1.5)
    assert inside(grid, smaller).sum() == 2 * 3 * 4
    assert inside(grid, smaller)[1:-1, 1:-1, 1:-1].all()


def test_an_itk_image_puts_its_voxels_where_the_affine_does():
    affine = compose_affine(ORIENTATIONS[29], SPACING, ORIGIN)
    image = to_sitk(numbered(), affine)
    assert image.GetSize() == (5, 4, 3)
    for index in [(0, 0, 0), (4, 0, 0), (1, 2, 2)]:
        place = image.TransformIndexToPhysicalPoint(index)
        assert np.allclose(place, transform_points(affine, index))
        assert image.GetPixel(index) == numbered()[index[::-1]]
