"""The projectors against closed forms, float64 references, their own adjoint, and each other."""

from __future__ import annotations

import itertools

import numpy as np
import projector_reference as reference
import pytest
import torch

from TomoRayCore.coordinates import compose_affine
from TomoRayCore.drr import project, project_mu
from TomoRayCore.drr.torch_projector import project as project_torch
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.hounsfield import MU_WATER_PER_MM, mu_per_mm_from_hu
from TomoRayCore.presets import from_preset, make_view
from TomoRayCore.resample import resample
from TomoRayCore.volume import Grid, Volume, canonical_grid

ISOCENTRE = (2.0, -3.0, 1.0)
PRESETS = ("cranial-biplanar", "radiography", "parallel")
AXIS_ALIGNED = [
    np.eye(3)[:, list(order)] * np.array(signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@pytest.fixture(scope="module")
def head() -> Volume:
    """Ellipsoids on a 2 mm grid with partial volume."""
    return reference.ellipsoid_volume(reference.HEAD, canonical_grid(ISOCENTRE, 96, 2.0))


@pytest.fixture(scope="module")
def fine_head() -> Volume:
    """The same on a 1 mm grid."""
    grid = canonical_grid(ISOCENTRE, (168, 180, 150), 1.0)
    return reference.ellipsoid_volume(reference.HEAD, grid, supersampling=2)


def random_mu(shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(5).random(shape).astype(np.float32) * 0.03


@pytest.mark.parametrize("preset", PRESETS)
def test_ellipsoids_are_projected_as_their_closed_form_says(fine_head: Volume, preset: str) -> None:
    geometry = from_preset(preset, isocentre_lps=ISOCENTRE, size=64, field_mm=190)
    for view, image in zip(geometry.views, project(fine_head, geometry), strict=True):
        exact = reference.analytic_line_integrals(reference.HEAD, view, MU_WATER_PER_MM)
        body = exact > 0.5
        error = (image - exact)[body]
        assert np.median(np.abs(error) / exact[body]) <= 0.001
        assert np.sqrt((error**2).mean()) / exact[body].mean() <= 0.01


@pytest.mark.parametrize("preset", PRESETS)
def test_the_separable_projector_equals_a_finely_sampled_trilinear_one(preset: str) -> None:
    grid = Grid((21, 17, 25), compose_affine(np.eye(3), (2.0, 3.0, 2.5), (-20.0, -25.0, -24.0)))
    mu = random_mu(grid.shape)
    geometry = from_preset(preset, isocentre_lps=(3.0, -1.0, 2.0), size=9, field_mm=50)
    for view in geometry.views:
        sampled = reference.sampled_line_integrals(mu, grid, view, step_mm=0.05)
        image = project_mu(mu, grid, view)
        # Noise is the hardest volume there is: Joseph's method takes one bilinear sample a slice,
        # the reference follows the trilinear interpolant between them.
        assert np.corrcoef(image.ravel(), sampled.ravel())[0, 1] > 0.99
        assert image.mean() == pytest.approx(sampled.mean(), rel=0.01)


def test_a_smooth_volume_agrees_with_the_sampled_reference_to_a_tenth_of_a_percent(
    head: Volume,
) -> None:
    geometry = from_preset(isocentre_lps=ISOCENTRE, size=12, field_mm=170)
    mu = mu_per_mm_from_hu(head.array_hu)
    for view in geometry.views:
        sampled = reference.sampled_line_integrals(mu, head.grid, view, step_mm=0.2)
        body = sampled > 0.5
        error = project_mu(mu, head.grid, view) - sampled
        assert np.sqrt((error[body] ** 2).mean()) / sampled[body].mean() < 1e-3


def test_blocky_voxels_agree_with_siddon_within_a_percent(fine_head: Volume) -> None:
    head = fine_head
    view = from_preset(isocentre_lps=ISOCENTRE, size=21, field_mm=150).views[1]
    mu = mu_per_mm_from_hu(head.array_hu)
    image, pixels = project_mu(mu, head.grid, view), view.pixel_centres_lps()
    exact = np.array(
        [
            [
                reference.siddon_line_integral(mu, head.grid, np.array(view.source_lps), pixel)
                for pixel in row
            ]
            for row in pixels
        ]
    )
    body = exact > 0.5
    assert np.sqrt(((image - exact)[body] ** 2).mean()) / exact[body].mean() < 0.01


def test_a_water_cube_of_100_mm_has_the_integral_of_100_mm_of_water() -> None:
    array_hu = np.full((80, 80, 80), -1000, np.int16)
    array_hu[15:65, 15:65, 15:65] = 0
    cube = Volume(array_hu, canonical_grid((7.0, -11.0, 300.0), 80, 2.0).ijk_to_lps)
    geometry = from_preset(isocentre_lps=(7.0, -11.0, 300.0), size=65, views=("AP", "LAT", "PA"))
    for image in project(cube, geometry):
        assert image[32, 32] == pytest.approx(100 * MU_WATER_PER_MM, rel=1e-6)


def test_rays_beside_the_volume_and_air_give_exactly_nothing(head: Volume) -> None:
    geometry = from_preset(isocentre_lps=ISOCENTRE, size=33, field_mm=256)
    for image in project(head, geometry):
        assert image[0, 0] == image[-1, -1] == 0
        assert image.min() == 0


@pytest.mark.parametrize("number", range(len(AXIS_ALIGNED)))
def test_every_axis_order_and_flip_of_a_volume_gives_the_same_image(
    head: Volume, number: int
) -> None:
    direction = AXIS_ALIGNED[number]
    copy = _stored_as(head, direction)
    geometry = from_preset(isocentre_lps=ISOCENTRE, size=24, field_mm=170)
    for image, expected in zip(project(copy, geometry), project(head, geometry), strict=True):
        np.testing.assert_allclose(image, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("angles", [(10, 0, 0), (0, 15, 0), (0, 0, 23), (8, -12, 31)])
def test_an_oblique_copy_gives_the_same_image_within_interpolation(
    head: Volume, angles: tuple[int, int, int]
) -> None:
    from scipy.spatial.transform import Rotation

    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    size, spacing_mm = 150, 1.5
    origin = np.array(ISOCENTRE) - direction @ np.full(3, (size - 1) / 2 * spacing_mm)
    grid = Grid((size,) * 3, compose_affine(direction, [spacing_mm] * 3, origin))
    copy = reference.ellipsoid_volume(reference.HEAD, grid, supersampling=1)
    geometry = from_preset(isocentre_lps=ISOCENTRE, size=32, field_mm=180)
    for image, expected in zip(project(copy, geometry), project(head, geometry), strict=True):
        body = expected > 0.5
        assert np.sqrt(((image - expected)[body] ** 2).mean()) / expected[body].mean() < 0.015


def test_a_view_at_any_angle_sees_what_its_closed_form_says(fine_head: Volume) -> None:
    view = make_view(
        "oblique", 37.0, sad_mm=900, sdd_mm=1300, detector_mm=320, size=48, isocentre_lps=ISOCENTRE
    )
    (image,) = project(fine_head, AcquisitionGeometry("one", ISOCENTRE, (view,)))
    exact = reference.analytic_line_integrals(reference.HEAD, view, MU_WATER_PER_MM)
    body = exact > 0.5
    error = (image - exact)[body]
    assert np.median(np.abs(error) / exact[body]) <= 0.003
    assert np.sqrt((error**2).mean()) / exact[body].mean() <= 0.015


def test_left_front_and_top_appear_where_radiologists_expect_them() -> None:
    grid = canonical_grid((0, 0, 0), 40, 4.0)
    geometry = from_preset(size=41, field_mm=160)
    for point, (frontal, lateral) in {
        (48.0, 0.0, 0.0): ("right", "middle"),  # patient's left
        (0.0, -48.0, 0.0): ("middle", "left"),  # anterior
        (0.0, 0.0, 48.0): ("top", "top"),  # superior
    }.items():
        array_hu = np.full(grid.shape, -1000, np.int16)
        index = np.linalg.inv(grid.ijk_to_lps) @ [*point, 1]
        i, j, k = np.rint(index[:3]).astype(int)
        array_hu[k - 1 : k + 2, j - 1 : j + 2, i - 1 : i + 2] = 1000
        images = project(Volume(array_hu, grid.ijk_to_lps), geometry)
        assert [_place(image) for image in images] == [frontal, lateral]


def test_magnification_is_sdd_over_sad() -> None:
    view = from_preset(size=201).views[0]
    shadow = np.diff(view.project_points([[-30.0, 0, 0], [30.0, 0, 0]]), axis=0)
    assert abs(shadow[0, 1]) * view.pixel_spacing_mm[1] == pytest.approx(60 * 1500 / 1000)


def test_projection_is_linear_in_the_volume(head: Volume) -> None:
    view = from_preset(isocentre_lps=ISOCENTRE, size=16).views[0]
    first, second = random_mu(head.shape), mu_per_mm_from_hu(head.array_hu)
    together = project_mu(2 * first + second, head.grid, view)
    parts = 2 * project_mu(first, head.grid, view) + project_mu(second, head.grid, view)
    np.testing.assert_allclose(together, parts, rtol=1e-4)


def test_numpy_and_torch_agree_in_every_orientation() -> None:
    for direction in AXIS_ALIGNED[::5]:
        grid = Grid((14, 19, 16), compose_affine(direction, (2.0, 3.0, 2.5), (1.0, 4.0, -9.0)))
        mu = random_mu(grid.shape)
        geometry = from_preset(isocentre_lps=grid.centre_lps, size=21, field_mm=60)
        batch = project_torch(torch.from_numpy(mu)[None, None], grid, geometry)[0].numpy()
        single = np.stack([project_mu(mu, grid, view) for view in geometry.views])
        np.testing.assert_allclose(batch, single, rtol=2e-5, atol=1e-6)


def _stored_as(volume: Volume, direction: np.ndarray) -> Volume:
    """Return the same voxels in another axis order."""
    sizes = np.abs(direction.T) @ np.array(volume.shape[::-1])
    d, h, w = (round(s) for s in sizes[::-1])
    spacing = np.abs(direction.T) @ np.array(volume.spacing_ijk_mm)
    middle = (np.array([w, h, d]) - 1) / 2 * spacing
    origin = np.array(volume.grid.centre_lps) - direction @ middle
    return resample(volume, Grid((d, h, w), compose_affine(direction, spacing, origin)))


def _place(image: np.ndarray) -> str:
    row, column = np.unravel_index(image.argmax(), image.shape)
    middle = (image.shape[0] - 1) / 2
    down, along = row - middle, column - middle
    if max(abs(down), abs(along)) <= 1:
        return "middle"
    if abs(down) > abs(along):
        return "top" if down < 0 else "bottom"
    return "left" if along < 0 else "right"
