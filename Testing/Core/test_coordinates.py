"""Affines: what is composed can be taken apart, and what is no affine is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from TomoRayCore.coordinates import (
    LPS_TO_RAS,
    checked_affine,
    compose_affine,
    direction_of,
    lps_to_ras,
    spacing_of,
    transform_points,
)
from TomoRayCore.errors import InputError

angles = st.tuples(*[st.floats(-180, 180)] * 3)
spacings = st.tuples(*[st.floats(0.05, 20)] * 3)
origins = st.tuples(*[st.floats(-2000, 2000)] * 3)


@settings(max_examples=50, deadline=None)
@given(angles, spacings, origins, st.booleans())
def test_an_affine_gives_back_the_direction_spacing_and_origin_it_was_made_of(
    angles_deg, spacing_mm, origin, mirrored
):
    direction = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    if mirrored:
        direction[:, 1] *= -1
    affine = checked_affine(compose_affine(direction, spacing_mm, origin))
    assert np.allclose(spacing_of(affine), spacing_mm)
    assert np.allclose(direction_of(affine), direction)
    assert np.allclose(transform_points(affine, [0, 0, 0]), origin)


def test_the_columns_of_an_affine_are_the_steps_along_i_j_and_k():
    affine = compose_affine([[0, 0, 1], [1, 0, 0], [0, -1, 0]], (2.0, 3.0, 5.0), (10, 20, 30))
    start = transform_points(affine, (0, 0, 0))
    assert np.allclose(transform_points(affine, (1, 0, 0)) - start, (0, 2, 0))
    assert np.allclose(transform_points(affine, (0, 1, 0)) - start, (0, 0, -3))
    assert np.allclose(transform_points(affine, (0, 0, 1)) - start, (5, 0, 0))


def test_points_of_any_leading_shape_are_transformed():
    affine = compose_affine(np.eye(3), (1, 2, 3), (4, 5, 6))
    points = np.arange(2 * 5 * 3).reshape(2, 5, 3)
    moved = transform_points(affine, points)
    assert moved.shape == (2, 5, 3)
    assert np.array_equal(moved[1, 3], points[1, 3] * (1, 2, 3) + (4, 5, 6))


@settings(max_examples=30, deadline=None)
@given(angles, spacings, origins)
def test_lps_to_ras_flips_x_and_y_and_undoes_itself(angles_deg, spacing_mm, origin):
    direction = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    affine = compose_affine(direction, spacing_mm, origin)
    point = transform_points(lps_to_ras(affine), (1, 2, 3))
    assert np.allclose(point, transform_points(affine, (1, 2, 3)) * (-1, -1, 1))
    assert np.array_equal(lps_to_ras(lps_to_ras(affine)), affine)
    assert np.array_equal(LPS_TO_RAS @ LPS_TO_RAS, np.eye(4))


def test_a_checked_affine_is_a_read_only_copy():
    affine = compose_affine(np.eye(3), (1, 1, 1), (0, 0, 0))
    checked = checked_affine(affine)
    affine[0, 3] = 99
    assert checked[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        checked[0, 3] = 1


def sheared(cosine: float) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, 2] = (0, cosine, np.sqrt(1 - cosine**2))
    return affine


@pytest.mark.parametrize(
    ("affine", "code"),
    [
        (np.eye(3), "BAD_AFFINE"),
        (np.full((4, 4), np.nan), "BAD_AFFINE"),
        (np.diag([1, 1, np.inf, 1.0]), "BAD_AFFINE"),
        (np.diag([1, 0, 1, 1.0]), "BAD_AFFINE"),
        (np.diag([1, 1, 1, 2.0]), "BAD_AFFINE"),
        (np.zeros((4, 4)), "BAD_AFFINE"),
        (sheared(np.sin(np.radians(15))), "SHEARED_GEOMETRY"),
        (sheared(0.0011), "SHEARED_GEOMETRY"),
    ],
)
def test_what_is_no_right_angled_affine_is_refused(affine, code):
    with pytest.raises(InputError) as error:
        checked_affine(affine)
    assert error.value.code == code


def test_rounding_in_a_file_is_no_shear():
    assert checked_affine(sheared(0.0009)) is not None
