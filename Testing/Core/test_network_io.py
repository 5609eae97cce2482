"""Between the world and a network's arrays: same place, same scale, whatever the film."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from TomoRayCore.drr import project
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.network_io import (
    TOP,
    InputSpec,
    OutputSpec,
    network_images,
    normalised,
    orthographic_matrices,
    rectify,
    target_from_hu,
    view_matrices,
    volume_from_output,
)
from TomoRayCore.phantom import make_phantom
from TomoRayCore.presets import from_preset
from TomoRayCore.volume import Volume, canonical_grid

SPEC = InputSpec(size=64, field_mm=256.0)
ISOCENTRE = (21.0, -13.0, 640.0)


@pytest.fixture(scope="module")
def head() -> Volume:
    """A phantom that stands off the world's origin."""
    ct = make_phantom(seed=5, size=64, spacing_mm=4.0).ct
    moved = ct.ijk_to_lps.copy()
    moved[:3, 3] += ISOCENTRE
    return Volume(ct.array_hu, moved)


def seen(volume: Volume, geometry: AcquisitionGeometry) -> np.ndarray:
    return network_images(project(volume, geometry), geometry, SPEC)


def geometry(**changes) -> AcquisitionGeometry:
    return from_preset(isocentre_lps=ISOCENTRE, size=128, **changes)


def shifted(film: AcquisitionGeometry, along_mm: float, down_mm: float) -> AcquisitionGeometry:
    """Move every detector within its plane, as a film that is not centred."""
    views = tuple(
        replace(
            view,
            detector_centre_lps=np.array(view.detector_centre_lps)
            + along_mm * np.array(view.u)
            + down_mm * np.array(view.v),
        )
        for view in film.views
    )
    return AcquisitionGeometry(film.name, film.isocentre_lps, views)


def larger(film: AcquisitionGeometry, size: tuple[int, int], spacing) -> AcquisitionGeometry:
    views = tuple(replace(v, size=size, pixel_spacing_mm=spacing) for v in film.views)
    return AcquisitionGeometry(film.name, film.isocentre_lps, views)


OTHER_FILMS = {
    "farther_detector": geometry(sdd_mm=1900),
    "nearer_detector": geometry(sdd_mm=1150),
    "finer_pixels": from_preset(isocentre_lps=ISOCENTRE, size=300),
    "oblong_pixels": larger(geometry(), (260, 180), (1.9, 2.75)),
    "larger_film": larger(geometry(), (170, 190), (3.4, 3.4)),
    "film_off_centre": shifted(larger(geometry(), (200, 200), (3.4, 3.4)), 60.0, -45.0),
}


@pytest.mark.parametrize("name", OTHER_FILMS)
def test_another_film_of_the_same_head_gives_the_same_network_image(head, name):
    usual, other = seen(head, geometry()), seen(head, OTHER_FILMS[name])
    assert np.abs(usual - other).mean() < 0.012
    for one, two in zip(usual, other, strict=True):
        assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.998


def test_a_film_read_as_if_it_were_centred_gives_another_image(head):
    """The test above can fail: it notices 3 mm."""
    usual = seen(head, geometry())
    images = project(head, shifted(geometry(), 4.5, 0))
    wrong = network_images(images, geometry(), SPEC)
    assert np.abs(usual - wrong).mean() > 0.012


def marker_at(offset: tuple[float, float, float]) -> Volume:
    """Return air with one dense cube of 12 mm at an offset from the isocentre."""
    grid = canonical_grid(ISOCENTRE, 64, 4.0)
    values = np.full(grid.shape, -1000, np.int16)
    index = np.linalg.inv(grid.ijk_to_lps) @ [*np.add(ISOCENTRE, offset), 1]
    i, j, k = np.rint(index[:3]).astype(int)
    values[k - 1 : k + 2, j - 1 : j + 2, i - 1 : i + 2] = 3000
    return Volume(values, grid.ijk_to_lps)


@pytest.mark.parametrize("frontal", ["AP", "PA"])
@pytest.mark.parametrize(
    ("offset", "frontal_place", "lateral_place"),
    [
        ((62, 2, 2), (0, 1), (0, 0)),  # left: frontal image's right
        ((-62, 2, 2), (0, -1), (0, 0)),
        ((2, 2, 62), (-1, 0), (-1, 0)),  # superior: upper rows
        ((2, 2, -62), (1, 0), (1, 0)),
        ((2, -62, 2), (0, 0), (0, -1)),  # anterior: lateral image's left
        ((2, 62, 2), (0, 0), (0, 1)),
    ],
)
def test_a_marker_falls_on_the_side_where_it_is(frontal, offset, frontal_place, lateral_place):
    film = geometry(views=(frontal, "LAT"))
    images = [
        rectify(image, view, ISOCENTRE, SPEC)
        for image, view in zip(project(marker_at(offset), film), film.views, strict=True)
    ]
    for image, (down, along) in zip(images, (frontal_place, lateral_place), strict=True):
        row, column = np.unravel_index(image.argmax(), image.shape)
        # 62 mm are 15.5 pixels of 4 mm, a little more or less by magnification.
        assert abs(row - 31.5 - 15.5 * down) < 2.6
        assert abs(column - 31.5 - 15.5 * along) < 2.6


def test_a_pixel_column_and_the_voxel_column_at_the_isocentre_have_the_same_place():
    marker = marker_at((50, 2, 34))
    film = geometry()
    image = rectify(project(marker, film)[0], film.views[0], ISOCENTRE, SPEC)
    target = target_from_hu(marker.array_hu, OutputSpec(64, 4.0, 64, 4.0))
    rows, columns = np.nonzero(image > image.max() / 2)
    slices, _, lateral = np.nonzero(target)
    assert rows.mean() == pytest.approx(slices.mean(), abs=0.5)
    assert columns.mean() == pytest.approx(lateral.mean(), abs=0.5)


def test_beyond_the_film_there_is_air(head):
    view = larger(geometry(), (40, 40), (3.4, 3.4)).views[0]
    pixels = project(head, AcquisitionGeometry("small", ISOCENTRE, (view,)))[0] + 2.0
    image = rectify(pixels, view, ISOCENTRE, SPEC)
    assert np.allclose(image[0], np.percentile(pixels, 0.5))


def test_a_fine_pattern_does_not_alias():
    film = from_preset(size=1024)
    stripes = np.tile(np.arange(1024) % 2, (1024, 1)).astype(np.float32)
    image = rectify(stripes, film.views[0], (0, 0, 0), SPEC)
    assert np.allclose(image[8:-8, 8:-8], 0.5, atol=0.01)


def test_rectifying_leaves_the_film_alone(head):
    film = geometry()
    pixels = project(head, film)[0]
    pixels.setflags(write=False)
    before = pixels.copy()
    rectify(pixels, film.views[0], ISOCENTRE, SPEC)
    assert np.array_equal(pixels, before)


# ------------------------------------------------------------------------------- grey values


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.floats(0.01, 1000), st.floats(-1000, 1000))
def test_neither_gain_nor_offset_of_a_film_matters(seed, gain, offset):
    image = np.random.default_rng(seed).gamma(2.0, 1.0, (48, 56)).astype(np.float32)
    same = normalised((image * gain + offset).astype(np.float32))
    # float32 keeps 24 bits: a small contrast on a large offset is known less exactly.
    tolerance = 1e-4 + 1e-6 * abs(offset) / gain
    assert np.allclose(same, normalised(image), atol=tolerance)


def test_normalised_images_span_zero_to_one_and_clip_metal():
    image = np.linspace(5, 9, 10_000, dtype=np.float32).reshape(100, 100)
    image[0, :3] = 1000
    result = normalised(image)
    assert result.dtype == np.float32
    assert result.min() == 0
    assert result.max() == TOP
    assert np.percentile(result, 99.5) == pytest.approx(1, abs=1e-3)


def test_a_film_with_nothing_on_it_is_refused():
    image = np.zeros((100, 100), np.float32)
    image[0, :3] = 7  # less than half a per cent
    with pytest.raises(InputError) as error:
        normalised(image)
    assert error.value.code == "CONSTANT_IMAGE"


# ------------------------------------------------------------------------------- volumes


def test_target_and_volume_are_inverse_within_the_window():
    spec = OutputSpec(12, 2.0, 12, 2.0, (-1000.0, 1500.0))
    volume_hu = np.random.default_rng(2).integers(-1000, 1501, (12, 12, 12)).astype(np.int16)
    volume = volume_from_output(target_from_hu(volume_hu, spec), spec, ISOCENTRE)
    assert np.allclose(volume.array_hu, volume_hu, atol=1e-3)
    assert volume.grid.same_as(canonical_grid(ISOCENTRE, 12, 2.0), 1e-9)


def test_the_first_slice_of_a_target_is_the_top_of_the_head():
    spec = OutputSpec(12, 2.0, 12, 2.0)
    volume_hu = np.full((12, 12, 12), -1000, np.int16)
    volume_hu[-1] = 1500
    target = target_from_hu(volume_hu, spec)
    assert (target[0] == 1).all()
    assert not target[1:].any()


def test_values_beyond_the_window_are_clipped():
    spec = OutputSpec(1, 2.0, 1, 2.0, (-1000.0, 1000.0))
    assert target_from_hu(np.array([[[3000]]]), spec).item() == 1
    assert target_from_hu(np.array([[[-1024]]]), spec).item() == 0
    output = np.array([[[1.7]]], np.float32)
    assert volume_from_output(output, spec, (0, 0, 0)).array_hu.item() == 1000


def test_an_output_of_another_size_is_not_misplaced_but_refused():
    with pytest.raises(InputError) as error:
        volume_from_output(np.zeros((8, 8, 8), np.float32), OutputSpec(12, 2, 12, 2), (0, 0, 0))
    assert error.value.code == "MODEL_MISMATCH"


# ------------------------------------------------------------------------------- descriptions


def test_descriptions_survive_a_round_trip():
    given_input, given_output = InputSpec(96, 240.5), OutputSpec(64, 4.0, 128, 2.0, (-800.0, 90.0))
    assert InputSpec.from_dict(given_input.to_dict()) == given_input
    assert OutputSpec.from_dict(given_output.to_dict()) == given_output


@pytest.mark.parametrize(
    "arguments", [(0, 256.0), (10**9, 256.0), (128, 0.0), (128, float("nan")), (128, float("inf"))]
)
def test_an_impossible_input_is_refused(arguments):
    with pytest.raises(InputError):
        InputSpec(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        (0, 4.0, 64, 4.0),
        (64, -4.0, 64, 4.0),
        (64, 4.0, 10**6, 4.0),
        (64, 4.0, 64, float("nan")),
        (64, 4.0, 64, 4.0, (1000.0, -1000.0)),
        (64, 4.0, 64, 4.0, (0.0, 0.0)),
        (64, 4.0, 64, 4.0, (-1000.0, 40_000.0)),
        (64, 4.0, 64, 4.0, (float("nan"), 1.0)),
    ],
)
def test_an_impossible_output_is_refused(arguments):
    with pytest.raises(InputError):
        OutputSpec(*arguments)


def turned_view(view, seed):
    """The same view after a random small rotation about a point beside the isocentre."""
    turn = Rotation.from_rotvec(np.random.default_rng(seed).uniform(-0.2, 0.2, 3)).as_matrix()
    pivot = np.add(ISOCENTRE, (3.0, -5.0, 7.0))
    return replace(
        view,
        source_lps=tuple(turn @ (view.source_lps - pivot) + pivot),
        detector_centre_lps=tuple(turn @ (view.detector_centre_lps - pivot) + pivot),
        u=tuple(turn @ view.u),
        v=tuple(turn @ view.v),
    )


@pytest.mark.parametrize("preset", ["cranial-biplanar", "parallel"])
def test_view_matrices_send_a_place_where_its_ray_meets_the_rectified_film(preset):
    output = OutputSpec(network_size=48, network_spacing_mm=4.0, size=96, spacing_mm=2.0)
    straight = from_preset(preset, isocentre_lps=ISOCENTRE)
    views = tuple(turned_view(view, seed) for seed, view in enumerate(straight.views))
    acquisition = AcquisitionGeometry("turned", ISOCENTRE, views)
    places = np.random.default_rng(0).uniform(-1, 1, (20, 3))  # x, y, z of the cube
    world = ISOCENTRE + places * (96.0, 96.0, -96.0)
    for view, matrix in zip(views, view_matrices(acquisition, SPEC, output), strict=True):
        column, row, w = matrix @ np.column_stack([places, np.ones(20)]).T
        in_plane = SPEC.field_mm / 2 * np.stack([column / w, row / w], axis=-1)
        film = ISOCENTRE + in_plane[:, :1] * np.array(view.u) + in_plane[:, 1:] * np.array(view.v)
        np.testing.assert_allclose(view.project_points(film), view.project_points(world), atol=1e-3)


def test_orthographic_matrices_are_those_of_parallel_beams_that_fill_the_field():
    output = OutputSpec(network_size=64, network_spacing_mm=4.0, size=128, spacing_mm=2.0)
    matrices = view_matrices(from_preset("parallel"), SPEC, output)
    np.testing.assert_allclose(matrices, orthographic_matrices(), atol=1e-6)
