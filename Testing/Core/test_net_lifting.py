"""What is bright in space is bright on every film where its ray falls, and comes back from there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.nets.lifting import (
    cube_points,
    film_places,
    known_matrices,
    pinhole_matrices,
    sample_maps,
    slice_points,
    voxel_centres,
)
from TomoRayCore.network_io import InputSpec, OutputSpec, orthographic_matrices, view_matrices
from TomoRayCore.presets import from_preset, make_view

SIZE = 12
ISOCENTRE = (14.0, -33.0, 480.0)
INPUT = InputSpec(size=48, field_mm=240.0)
OUTPUT = OutputSpec(network_size=SIZE, network_spacing_mm=16.0, size=SIZE, spacing_mm=16.0)
HALF_CUBE_MM = 96.0


def acquisitions() -> dict[str, AcquisitionGeometry]:
    """AP and PA, a lateral, an oblique view from below: every side a source can be on."""
    arms = {"sad_mm": 420.0, "sdd_mm": 700.0, "detector_mm": 400.0, "size": 48}
    angles = {"AP": 0.0, "PA": 180.0, "LAT": 90.0, "OBL": 35.0}
    views = tuple(
        make_view(label, angle, isocentre_lps=ISOCENTRE, **arms) for label, angle in angles.items()
    )
    return {
        "near_sources": AcquisitionGeometry("near", ISOCENTRE, views),
        "parallel": from_preset("parallel", isocentre_lps=ISOCENTRE, size=48),
    }


def lifted(maps: Tensor, matrices: Tensor, size: int = SIZE) -> Tensor:
    """Return (B, V, C, D, H, W): each voxel's value on each view's map."""
    places = film_places(cube_points(size, 0, size**3)[None], matrices)
    return sample_maps(maps, places).view(*maps.shape[:3], size, size, size)


# ------------------------------------------------------------------------------- points


def test_voxel_centres_lie_between_the_faces():
    assert voxel_centres(4).tolist() == [-0.75, -0.25, 0.25, 0.75]


def test_points_of_a_cube_are_in_the_order_of_its_flat_array():
    size = 5
    points = cube_points(size, 0, size**3).view(size, size, size, 3)
    expected = voxel_centres(size)
    for axis, coordinate in ((0, 2), (1, 1), (2, 0)):  # D is z, H is y, W is x
        along = points.transpose(0, axis)[:, 0, 0, coordinate]
        assert torch.equal(along, expected)
    assert torch.equal(cube_points(size, 37, 61), cube_points(size, 0, 125)[37:61])


@pytest.mark.parametrize(("axis", "dimension"), [("axial", 0), ("coronal", 1), ("sagittal", 2)])
def test_points_of_a_slice_are_those_of_the_cube(axis, dimension):
    size = 6
    cube = cube_points(size, 0, size**3).view(size, size, size, 3)
    slices = slice_points(axis, voxel_centres(size)[[4, 1]], size)
    assert torch.equal(slices[0], cube.select(dimension, 4))
    assert torch.equal(slices[1], cube.select(dimension, 1))


def test_a_window_is_a_smaller_lattice_about_its_middle():
    points = slice_points("coronal", torch.tensor([0.1]), 8, window=(-0.5, 0.25, 0.125))[0]
    x, y, z = points.unbind(-1)
    assert y.unique().item() == pytest.approx(0.1)
    assert (z.min().item(), z.max().item()) == pytest.approx((-0.609375, -0.390625))  # rows
    assert (x.min().item(), x.max().item()) == pytest.approx((0.140625, 0.359375))  # columns
    assert (z[1:] > z[:-1]).all()
    assert (x[:, 1:] > x[:, :-1]).all()


# ------------------------------------------------------------------------------- rays


def test_a_frontal_pixel_lights_its_row_and_column_from_front_to_back():
    maps = torch.zeros(1, 2, 1, SIZE, SIZE)
    maps[0, 0, 0, 2, 9] = 1.0  # superior, patient's left
    cube = lifted(maps, known_matrices(None, torch.zeros(1, 2, 1, 1)))[0, 0, 0]
    expected = torch.zeros(SIZE, SIZE, SIZE)
    expected[2, :, 9] = 1.0
    assert torch.allclose(cube, expected, atol=1e-5)


def test_a_lateral_pixel_lights_its_row_and_column_from_right_to_left():
    maps = torch.zeros(1, 2, 1, SIZE, SIZE)
    maps[0, 1, 0, 2, 9] = 1.0  # superior, posterior
    cube = lifted(maps, known_matrices(None, torch.zeros(1, 2, 1, 1)))[0, 1, 0]
    expected = torch.zeros(SIZE, SIZE, SIZE)
    expected[2, 9, :] = 1.0
    assert torch.allclose(cube, expected, atol=1e-5)


@pytest.mark.parametrize("name", acquisitions())
def test_points_are_seen_where_the_geometry_projects_them(name):
    geometry = acquisitions()[name]
    points = torch.rand(1, 30, 3, generator=torch.Generator().manual_seed(4)) * 2 - 1
    matrices = torch.from_numpy(view_matrices(geometry, INPUT, OUTPUT))[None]
    places = film_places(points, matrices)[0].double().numpy()
    world = ISOCENTRE + points[0].double().numpy() * (HALF_CUBE_MM, HALF_CUBE_MM, -HALF_CUBE_MM)
    for view, (column, row) in zip(geometry.views, places.transpose(0, 2, 1), strict=True):
        seen_mm = INPUT.field_mm / 2 * (column[:, None] * np.array(view.u) + row[:, None] * view.v)
        same_ray = view.project_points(ISOCENTRE + seen_mm)
        np.testing.assert_allclose(same_ray, view.project_points(world), atol=2e-3)


@pytest.mark.parametrize("name", acquisitions())
def test_a_ball_shines_back_through_itself_only(name):
    """Its shadow on every film, lifted: only at the ball itself do all views see it."""
    geometry = acquisitions()[name]
    size, ball = 24, (5, 15, 8)  # D, H, W: superior, posterior, right
    matrices = torch.from_numpy(view_matrices(geometry, INPUT, OUTPUT))[None]
    point = cube_points(size, 0, size**3).view(size, size, size, 3)[ball]
    shadows = shadow_images(geometry, point.double().numpy())
    cube = lifted(shadows, matrices, size)[0, :, 0].prod(dim=0)
    assert np.unravel_index(int(cube.argmax()), cube.shape) == ball
    assert cube.max() > 0.5
    far = (cube_points(size, 0, size**3) - point).norm(dim=-1).view(cube.shape) > 0.4
    assert cube[far].max() < 0.05 * cube.max()


def shadow_images(geometry: AcquisitionGeometry, point: np.ndarray) -> Tensor:
    """Return (1, V, 1, 48, 48): a soft spot on the rectified film where the point is projected."""
    world = ISOCENTRE + point * (HALF_CUBE_MM, HALF_CUBE_MM, -HALF_CUBE_MM)
    step_mm = INPUT.field_mm / INPUT.size
    offsets = (np.arange(INPUT.size) - (INPUT.size - 1) / 2) * step_mm
    images = []
    for view in geometry.views:
        film = (
            np.array(ISOCENTRE)
            + offsets[:, None, None] * np.array(view.v)
            + offsets[None, :, None] * np.array(view.u)
        )
        pixels_away = view.project_points(film) - view.project_points(world)
        mm_away = pixels_away * view.pixel_spacing_mm
        images.append(np.exp(-0.5 * (mm_away**2).sum(-1) / 16.0**2))
    return torch.from_numpy(np.stack(images)).float()[None, :, None]


def test_nothing_is_seen_beyond_the_field_nor_behind_the_source():
    camera = pinhole_matrices(0.5, 60.0)[None]  # in the cube's posterior face
    points = torch.tensor([[[0.0, -1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 3.0, 0.0], [0.9, 0.9, 0.0]]])
    maps = torch.ones(1, 2, 1, 6, 6)
    seen = sample_maps(maps, film_places(points, camera))[0, 0, 0]
    assert seen.tolist() == [1.0, 0.0, 0.0, 0.0]


def test_the_pinhole_camera_sees_the_stated_angle_from_the_stated_distance():
    """At the middle of the cube a camera one edge away and of 60 degrees sees 1.155 edges."""
    camera = pinhole_matrices(1.0, 60.0)[None]
    edge = float(np.tan(np.radians(30.0))) * 2  # half width there, in half edges of the cube
    points = torch.tensor([[[edge, 0.0, 0.0], [0.0, edge, 0.0], [0.0, 0.0, edge]]])
    (frontal, lateral) = film_places(points, camera)[0]
    assert torch.allclose(frontal[0], torch.tensor([1.0, 0.0]), atol=1e-6)
    assert torch.allclose(frontal[2], torch.tensor([0.0, 1.0]), atol=1e-6)
    assert torch.allclose(lateral[1], torch.tensor([1.0, 0.0]), atol=1e-6)
    assert torch.allclose(lateral[2], torch.tensor([0.0, 1.0]), atol=1e-6)


def test_the_pinhole_camera_magnifies_what_is_nearer_to_it():
    camera = pinhole_matrices(1.0, 60.0)[None]
    anterior, posterior = film_places(torch.tensor([[[0.5, -0.8, 0], [0.5, 0.8, 0]]]), camera)[0, 0]
    assert posterior[0] > 1.5 * anterior[0]  # as in a PA film
    right, left = film_places(torch.tensor([[[-0.8, 0.5, 0], [0.8, 0.5, 0]]]), camera)[0, 1]
    assert left[0] > 1.5 * right[0]


def test_corner_to_corner_sampling_reaches_the_outermost_pixels():
    maps = torch.arange(5.0).expand(1, 1, 1, 5, 5)
    places = torch.tensor([[[[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]]])
    assert sample_maps(maps, places, corners=True).flatten().tolist() == [0.0, 2.0, 4.0]


def test_autocast_leaves_places_alone():
    matrices = torch.from_numpy(orthographic_matrices())[None]
    points = cube_points(9, 0, 81)[None]
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = film_places(points, matrices)
    assert torch.equal(under_autocast, film_places(points, matrices))


@pytest.mark.parametrize("shape", [(1, 3, 3, 4), (2, 2, 3, 4), (1, 2, 4, 4)])
def test_matrices_that_do_not_fit_the_images_are_refused(shape):
    with pytest.raises(InputError) as error:
        known_matrices(torch.zeros(shape), torch.zeros(1, 2, 8, 8))
    assert error.value.code == "BAD_SHAPE"


def test_three_views_need_matrices():
    with pytest.raises(InputError) as error:
        known_matrices(None, torch.zeros(1, 3, 8, 8))
    assert error.value.code == "BAD_SHAPE"
