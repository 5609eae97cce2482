"""Any pose: against finely sampled rays in float64, closed forms, and the separable projector."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import drr_engines
import numpy as np
import projector_reference as reference
import pytest
from drr_poses import frontal, oblique_grid, rmse_share, smooth_mu, turned

from TomoRayCore.drr import backproject_arrays, project, project_mu
from TomoRayCore.drr.plan import is_separable, plan_view
from TomoRayCore.drr.shear_warp import cubic_weights, plan_shear, unwarp, warp, warp_entries
from TomoRayCore.drr.slabs import nonzero_box
from TomoRayCore.drr.view_operator import ViewOperator
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry
from TomoRayCore.hounsfield import MU_WATER_PER_MM
from TomoRayCore.presets import make_view
from TomoRayCore.volume import Grid, Volume, canonical_grid

LIMIT = 0.003
POSES = {
    "turned about z": (20.0, 0.0, 0.0),
    "45 degrees": (45.0, 0.0, 0.0),
    "tilted": (0.0, 17.0, 0.0),
    "turned in its plane": (0.0, 0.0, 23.0),
    "upside down": (0.0, 0.0, 180.0),
    "along a diagonal": (45.0, 35.26, 10.0),
    "all at once": (-117.0, 12.0, -31.0),
}


def one(view) -> AcquisitionGeometry:
    return AcquisitionGeometry("one", (0.0, 0.0, 0.0), (view,))


@pytest.mark.parametrize("beam", ["cone", "parallel"])
@pytest.mark.parametrize("pose", POSES)
def test_a_view_in_any_pose_is_within_three_per_mille_of_sampled_rays(pose: str, beam: str) -> None:
    grid = oblique_grid()
    view = turned(frontal(beam=beam), POSES[pose])
    mu = smooth_mu(grid)
    expected = reference.sampled_line_integrals(mu, grid, view, step_mm=0.25)
    assert rmse_share(project_mu(mu, grid, view), expected) < LIMIT


@pytest.mark.parametrize("seed", range(6))
def test_random_direction_matrices_and_poses_agree_with_sampled_rays(
    engine: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    grid = oblique_grid(
        shape=tuple(random.integers(30, 60, 3)),
        spacing_ijk_mm=tuple(random.uniform(1.0, 2.2, 3)),
        angles_deg=tuple(random.uniform(-180, 180, 3)),
        flips=tuple(random.choice([-1, 1], 3)),
    )
    view = turned(frontal(size=17), tuple(random.uniform(-180, 180, 3)))
    along = np.array(view.u) * random.uniform(-12, 12) + np.array(view.v) * random.uniform(-12, 12)
    view = replace(
        view,
        detector_centre_lps=tuple(np.array(view.detector_centre_lps) + along),
        size=(13, 21),
        pixel_spacing_mm=tuple(random.uniform(3.5, 7.0, 2)),
    )
    mu = smooth_mu(grid)
    expected = reference.sampled_line_integrals(mu, grid, view, step_mm=0.25)
    assert not is_separable(grid, view)
    assert rmse_share(project_mu(mu, grid, view), expected) < LIMIT


def test_a_parallel_view_through_the_warp_equals_the_separable_one() -> None:
    grid = oblique_grid()
    for beam in ("cone", "parallel"):
        view = frontal(beam=beam)
        mu = smooth_mu(grid)
        shear = plan_shear(grid, view)
        assert shear.virtual.axes == plan_view(grid, view).axes
        hair = turned(view, (0.02, 0.0, 0.0))
        assert not is_separable(grid, hair)
        assert rmse_share(project_mu(mu, grid, hair), project_mu(mu, grid, view)) < 0.002


def test_numpy_and_kernel_give_the_same_image(
    monkeypatch: pytest.MonkeyPatch, kernel_folder: Path
) -> None:
    grid, view = oblique_grid(), turned(frontal(), (31.0, -8.0, 12.0))
    mu = smooth_mu(grid)
    images = []
    for engine in drr_engines.ENGINES:
        drr_engines.force(engine, monkeypatch, kernel_folder)
        images.append(project_mu(mu, grid, view))
    np.testing.assert_allclose(*images, rtol=2e-5, atol=1e-6)


def test_a_wedge_of_water_looks_the_same_when_volume_and_view_turn_together() -> None:
    wedge = np.zeros((40, 40, 40), np.float32)
    for j in range(8, 32):
        wedge[8:32, j, 8 : j + 1] = MU_WATER_PER_MM
    angles = (37.0, -5.0, 11.0)
    plain, oblique = (
        oblique_grid((40,) * 3, (1.5,) * 3, turn, centre=(0.0, 0.0, 0.0))
        for turn in ((0.0, 0.0, 0.0), angles)
    )
    view = frontal(size=48)
    together = project_mu(wedge, oblique, turned(view, angles))
    np.testing.assert_allclose(together, project_mu(wedge, plain, view), rtol=1e-4, atol=1e-5)
    # Alone, its stairs of voxels lie across the rays: the hardest edges there are.
    alone = project_mu(wedge, oblique, view)
    expected = reference.sampled_line_integrals(wedge, oblique, view, step_mm=0.1)
    assert rmse_share(alone, expected) < 0.01
    assert np.abs(alone - together).max() > 0.1 * together.max()


def test_ellipsoids_on_an_oblique_anisotropic_grid_have_their_closed_form() -> None:
    grid = oblique_grid((72, 150, 100), (1.9, 1.3, 2.4), (25.0, -14.0, 8.0), (-1, 1, 1))
    head = reference.ellipsoid_volume(reference.HEAD, grid, supersampling=2)
    view = make_view("view", 62.0, sad_mm=900, sdd_mm=1300, detector_mm=290, size=40)
    (image,) = project(head, one(view))
    exact = reference.analytic_line_integrals(reference.HEAD, view, MU_WATER_PER_MM)
    body = exact > 0.5
    error = (image - exact)[body]
    assert np.median(np.abs(error) / exact[body]) <= 0.005
    assert np.sqrt((error**2).mean()) / exact[body].mean() <= 0.015


def test_cubic_weights_reproduce_a_parabola_and_are_the_transpose_pair(engine: str) -> None:
    fraction = np.linspace(0, 1, 11)
    weights = cubic_weights(fraction)
    for power in range(3):
        np.testing.assert_allclose(
            weights @ np.arange(-1.0, 3) ** power, fraction**power, atol=1e-12
        )
    plan = plan_shear(oblique_grid(), turned(frontal(), (31.0, -8.0, 12.0)))
    random = np.random.default_rng(0)
    virtual = random.random(plan.virtual_size).astype(np.float32)
    image = random.random(plan.inside.shape).astype(np.float32)
    forward = np.vdot(warp(plan, virtual).astype(float), image)
    assert np.vdot(unwarp(plan, image).astype(float), virtual) == pytest.approx(forward, rel=1e-6)
    index, weight = warp_entries(plan)
    by_entries = (virtual.ravel()[index] * weight).sum(axis=1).reshape(plan.inside.shape)
    np.testing.assert_allclose(warp(plan, virtual), by_entries, rtol=1e-4, atol=1e-6)


def test_rays_that_miss_the_volume_see_exactly_nothing(engine: str) -> None:
    grid = oblique_grid((9, 11, 10))
    view = turned(frontal(size=40, field_mm=300), (33.0, 20.0, 5.0))
    mu = np.full(grid.shape, 0.02, np.float32)
    image = project_mu(mu, grid, view)
    assert image.max() > 0.1
    assert not image[0].any()
    assert not image[:, -1].any()
    aside = replace(view, source_lps=tuple(np.array(view.source_lps) + 2000 * np.array(view.u)))
    away = replace(
        aside,
        detector_centre_lps=tuple(np.array(view.detector_centre_lps) + 2000 * np.array(view.u)),
    )
    assert not project_mu(mu, grid, away).any()


@pytest.mark.parametrize("angle_deg", [0.0, 28.0])
def test_what_is_behind_the_detector_or_behind_the_source_does_not_count(angle_deg: float) -> None:
    mu = np.full((20, 22, 24), 0.02, np.float32)
    grid = canonical_grid((0.0, 0.0, 0.0), mu.shape, 2.0)
    view = turned(frontal(), (angle_deg, 0.0, 0.0))
    toward_source = view.normal
    for distance_mm in (300.0, -600.0):
        # Source at 500 mm, detector at -200 mm: the volume is left behind one or the other.
        moved = replace(
            view,
            source_lps=tuple(np.array(view.source_lps) - 3 * distance_mm * toward_source),
            detector_centre_lps=tuple(
                np.array(view.detector_centre_lps) - 3 * distance_mm * toward_source
            ),
        )
        image = project_mu(mu, grid, moved)
        assert not image.any()
    through = replace(
        view,
        source_lps=tuple(500 * toward_source),
        detector_centre_lps=(0.0, 0.0, 0.0),
        pixel_spacing_mm=(3.0, 3.0),
    )
    half = project_mu(mu, grid, through)[12, 12]
    whole = project_mu(mu, grid, replace(through, detector_centre_lps=tuple(-60 * toward_source)))
    assert 0.4 < half / whole[12, 12] < 0.6


def test_a_source_inside_an_oblique_volume_is_refused() -> None:
    grid = oblique_grid(angles_deg=(30.0, 20.0, 10.0))
    view = frontal()
    inside = replace(view, source_lps=(0.0, 5.0, 0.0))
    with pytest.raises(InputError) as caught:
        project_mu(smooth_mu(grid), grid, inside)
    assert caught.value.code == "VIEW_TOO_STEEP"


def test_the_virtual_detector_is_no_larger_than_what_can_be_seen() -> None:
    grid = oblique_grid((60, 60, 60), (1.0, 1.0, 1.0))
    wide = turned(frontal(size=64, field_mm=2000), (45.0, 10.0, 0.0))
    small = turned(frontal(size=64, field_mm=6), (45.0, 10.0, 0.0))
    assert max(plan_shear(grid, wide).virtual_size) < 60 * 4
    assert max(plan_shear(grid, small).virtual_size) < 40


def test_a_thin_slab_and_a_single_pixel_are_projected() -> None:
    grid = oblique_grid((1, 40, 40), (1.0, 1.0, 5.0), (11.0, 7.0, 0.0))
    mu = np.full(grid.shape, 0.02, np.float32)
    view = turned(frontal(), (0.0, 80.0, 0.0))
    expected = reference.sampled_line_integrals(mu, grid, view, step_mm=0.05)
    image = project_mu(mu, grid, view)
    inner = expected > 0.7 * expected.max()
    assert np.median(np.abs(image - expected)[inner] / expected[inner]) < 0.001
    pixel = turned(frontal(size=1, field_mm=20), (20.0, 3.0, 0.0))
    blob_grid = oblique_grid()
    mu = smooth_mu(blob_grid)
    expected = reference.sampled_line_integrals(mu, blob_grid, pixel, step_mm=0.1)
    np.testing.assert_allclose(project_mu(mu, blob_grid, pixel), expected, rtol=0.003)


def test_the_noise_of_a_real_ct_is_projected_too() -> None:
    grid = oblique_grid()
    random = np.random.default_rng(8)
    hu = (random.normal(0, 20, grid.shape)).astype(np.int16)
    volume = Volume(hu, grid.ijk_to_lps)
    view = turned(frontal(size=12, field_mm=30), (31.0, -8.0, 12.0))
    mu = (1 + hu / 1000.0) * MU_WATER_PER_MM
    expected = reference.sampled_line_integrals(mu, grid, view, step_mm=0.1)
    assert rmse_share(project(volume, one(view))[0], expected) < LIMIT


@pytest.mark.parametrize(
    ("shape", "angles_deg"), [((1, 31, 31), (25.0, 0.0, 0.0)), ((31, 31, 1), (0.0, 25.0, 0.0))]
)
def test_a_view_along_a_single_layer_of_voxels_keeps_its_attenuation(
    engine: str, shape: tuple[int, int, int], angles_deg: tuple[float, float, float]
) -> None:
    grid = canonical_grid((0.0, 0.0, 0.0), shape, 3.0)
    mu = np.full(shape, 0.02, np.float32)
    view = turned(frontal(size=17, field_mm=60, beam="parallel"), angles_deg)
    expected = reference.sampled_line_integrals(mu, grid, view, step_mm=0.1)
    assert project_mu(mu, grid, view).max() == pytest.approx(expected.max(), rel=0.02)


def near(angle_deg: float, **wishes) -> ViewGeometry:
    """Return a view from 90 mm: with 1.4 mm voxels, as a head from 640 mm with 10 mm voxels."""
    distances = {"sad_mm": 90, "sdd_mm": 150, "detector_mm": 110, "size": 24}
    return make_view("view", angle_deg, **{**distances, **wishes})


def large_grid_with_a_small_body() -> tuple[Grid, np.ndarray]:
    """Return a wide grid and mu: blobs in its middle, and nothing else."""
    grid = oblique_grid((44, 150, 161), (1.4, 1.4, 1.5), (3.0, 2.0, -4.0))
    mu = smooth_mu(grid)
    mu[mu < 1e-6] = 0
    return grid, mu


@pytest.mark.parametrize("wishes", [{}, {"tilt_deg": 12.0, "rotate_deg": 9.0}], ids=str)
@pytest.mark.parametrize("angle_deg", [45.0, 20.0, -130.0])
def test_a_source_in_the_air_of_a_large_volume_sees_the_body(
    engine: str, angle_deg: float, wishes: dict
) -> None:
    grid, mu = large_grid_with_a_small_body()
    view = near(angle_deg, **wishes)
    with pytest.raises(InputError, match="VIEW_TOO_STEEP"):
        plan_shear(grid, view)
    expected = reference.sampled_line_integrals(mu, grid, view, step_mm=0.25)
    assert rmse_share(project_mu(mu, grid, view), expected) < LIMIT


def test_the_noise_of_the_air_around_the_source_is_no_body() -> None:
    grid, mu = large_grid_with_a_small_body()
    noise = np.random.default_rng(4).normal(0, 15, grid.shape)
    hu = (mu / MU_WATER_PER_MM - 1) * 1000 + noise
    volume = Volume(hu.astype(np.int16), grid.ijk_to_lps)
    clean = project_mu(mu, grid, near(45.0))
    (image,) = project(volume, one(near(45.0)))
    assert np.abs(image - clean).max() < 0.1 * clean.max()


def test_a_long_volume_beside_the_source_is_no_obstacle(engine: str) -> None:
    # A head at the end of a whole body: its far end is too steep for any face.
    short = oblique_grid((44, 40, 40), (1.4, 1.4, 1.5))
    affine = short.ijk_to_lps.copy()
    affine[:3, 3] -= 400 * affine[:3, 2]
    long = Grid((444, 40, 40), affine)
    mu = np.zeros(long.shape, np.float32)
    mu[400:] = smooth_mu(short)
    mu[:380, 5:30, 8:30] = 0.02
    view = near(45.0, sad_mm=120, sdd_mm=180, tilt_deg=-5.0)
    expected = reference.sampled_line_integrals(mu, long, view, step_mm=0.25)
    assert rmse_share(project_mu(mu, long, view), expected) < LIMIT
    random = np.random.default_rng(1)
    image, volume = random.random(view.size), random.random(long.shape)
    forward = np.vdot(project_mu(volume, long, view), image)
    back = backproject_arrays([image], one(view), long)
    assert np.vdot(back, volume) == pytest.approx(forward, rel=1e-12)


def test_where_only_a_part_is_before_the_source_the_transpose_is_exact(engine: str) -> None:
    grid, mu = large_grid_with_a_small_body()
    random = np.random.default_rng(2)
    for view in (near(45.0), near(-130.0, tilt_deg=12.0)):
        operator = ViewOperator(grid, view, nonzero_box(mu))
        volume, image = random.random(grid.shape), random.random(view.size)
        total = operator.new_sum(np.float64)
        operator.add(volume, (0, 0, 0), total)
        spread = np.zeros(grid.shape)
        operator.spread(image, spread)
        forward = np.vdot(operator.image(total), image)
        assert np.vdot(spread, volume) == pytest.approx(forward, rel=1e-12)


def test_a_source_in_the_body_or_a_detector_all_around_is_refused() -> None:
    grid, mu = large_grid_with_a_small_body()
    for view in (near(45.0, sad_mm=8), near(45.0, detector_mm=2000)):
        with pytest.raises(InputError, match="VIEW_TOO_STEEP"):
            project_mu(mu, grid, view)
