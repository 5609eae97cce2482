"""Volumes and views at the edge of sense, and what a projection costs in memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from drr_poses import frontal, oblique_grid, smooth_mu, turned

from TomoRayCore.drr import PLASTIMATCH, project, project_mu
from TomoRayCore.drr.attenuation import WATER_60KEV
from TomoRayCore.drr.slabs import mu_slabs
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.presets import from_preset
from TomoRayCore.volume import Volume, canonical_grid

TILTED = turned(frontal(), (33.0, 10.0, 5.0))
POSES = {"parallel to a face": frontal(), "tilted": TILTED}


def one(view) -> AcquisitionGeometry:
    return AcquisitionGeometry("one", (0.0, 0.0, 0.0), (view,))


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("air_hu", [-1000, -1024, -3024])
def test_air_gives_zeros(engine: str, pose: str, air_hu: int) -> None:
    grid = oblique_grid((9, 8, 7))
    volume = Volume(np.full(grid.shape, air_hu, np.int16), grid.ijk_to_lps)
    (image,) = project(volume, one(POSES[pose]))
    assert image.shape == POSES[pose].size
    assert image.dtype == np.float32
    assert not image.any()


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("shape", [(1, 30, 28), (30, 1, 28), (30, 28, 1), (1, 1, 1)])
def test_a_volume_one_voxel_thick_is_projected(
    engine: str, pose: str, shape: tuple[int, int, int]
) -> None:
    grid = oblique_grid(shape, (2.0, 2.0, 2.0))
    image = project_mu(np.full(shape, 0.02, np.float32), grid, POSES[pose])
    assert np.isfinite(image).all()
    # Cubic interpolation undershoots beside an edge as hard as this one.
    assert image.min() >= (-0.1 if pose == "tilted" else 0) * image.max()
    assert image.max() > 0 or shape == (1, 1, 1)


@pytest.mark.parametrize("pose", POSES)
def test_any_layout_in_memory_gives_the_same_image(engine: str, pose: str) -> None:
    grid = oblique_grid((13, 17, 15), (3.0, 2.5, 3.5))
    mu = smooth_mu(grid)
    expected = project_mu(mu, grid, POSES[pose])
    doubled = np.repeat(np.repeat(mu, 2, axis=0), 2, axis=2)
    layouts = {
        "columns first": np.asfortranarray(mu),
        "every second": doubled[::2, :, ::2],
        "mirrored": mu[::-1, :, ::-1].copy()[::-1, :, ::-1],
        "big-endian": mu.astype(">f4"),
        "read-only": np.frombuffer(mu.tobytes(), np.float32).reshape(mu.shape),
        "double": mu.astype(np.float64),
    }
    for name, array in layouts.items():
        image = project_mu(array, grid, POSES[pose])
        np.testing.assert_allclose(image, expected, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_array_with_holes_is_refused(engine: str, bad: float) -> None:
    grid = oblique_grid((9, 8, 7), (6.0, 6.0, 6.0))
    mu = np.full(grid.shape, 0.02, np.float32)
    mu[4, 4, 3] = bad
    with pytest.raises(InputError) as caught:
        project_mu(mu, grid, frontal())
    assert caught.value.code == "NON_FINITE"


def test_an_array_of_another_shape_than_the_grid_is_refused() -> None:
    grid = oblique_grid((9, 8, 7))
    with pytest.raises(InputError) as caught:
        project_mu(np.zeros((9, 7, 8), np.float32), grid, frontal())
    assert caught.value.code == "BAD_SHAPE"


def test_one_pixel_sees_the_ray_through_its_middle(engine: str) -> None:
    grid = canonical_grid((0.0, 0.0, 0.0), 21, 4.0)
    block = Volume(np.zeros(grid.shape, np.int16), grid.ijk_to_lps)
    pixel = replace(frontal(), size=(1, 1), pixel_spacing_mm=(2.0, 2.0))
    (image,) = project(block, one(pixel))
    assert image.item() == pytest.approx(21 * 4 * WATER_60KEV.mu_water_per_mm, rel=1e-5)


def test_a_rules_air_and_scale_are_applied(engine: str) -> None:
    grid = canonical_grid((0.0, 0.0, 0.0), 20, 4.0)
    hu = np.full(grid.shape, -800, np.int16)
    hu[5:15, 5:15, 5:15] = 0
    geometry = one(replace(frontal(), size=(1, 1), pixel_spacing_mm=(1.0, 1.0)))
    (image,) = project(Volume(hu, grid.ijk_to_lps), geometry, rule=PLASTIMATCH)
    assert image.item() == pytest.approx(40 * 0.022 / 10, rel=1e-5)


def test_slabs_hold_everything_that_is_not_air(engine: str) -> None:
    hu = np.full((75, 20, 22), -1000, np.int16)
    random = np.random.default_rng(6)
    for _ in range(40):
        hu[tuple(random.integers(0, n) for n in hu.shape)] = random.integers(-999, 2000)
    mu = np.zeros(hu.shape, np.float32)
    shares = []
    for done, slab in mu_slabs(hu, WATER_60KEV):
        assert not mu[slab.box].any()
        mu[slab.box] = slab.mu_per_mm
        shares.append(done)
    np.testing.assert_allclose(mu, WATER_60KEV.mu_per_mm(hu), rtol=1e-6, atol=3e-9)
    assert shares == sorted(shares)
    assert shares[-1] <= 1


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("size", [128, 512])
def test_a_pair_needs_less_memory_than_the_volume_as_mu(
    engine: str, dtype: type, size: int
) -> None:
    grid = canonical_grid((0.0, 0.0, 0.0), 128, 2.0)
    hu = np.full(grid.shape, 0, dtype)
    hu[0, 0, 0] = 7
    volume = Volume(hu, grid.ijk_to_lps)
    geometry = from_preset(size=size)
    project(volume, from_preset(size=16))
    tracemalloc.start()
    try:
        project(volume, geometry)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40e6
