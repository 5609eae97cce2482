"""A volume that exists is valid, and cannot be changed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from TomoRayCore.coordinates import compose_affine, transform_points
from TomoRayCore.errors import InputError
from TomoRayCore.volume import SYNTHETIC_KEY, Grid, Volume, canonical_grid

EYE = np.eye(4)
SHAPE = (3, 4, 5)


def code_of(call, *arguments) -> str:
    with pytest.raises(InputError) as error:
        call(*arguments)
    assert error.value.message
    assert error.value.remedy
    return error.value.code


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.ones(SHAPE, np.int8), np.int16),
        (np.ones(SHAPE, np.uint8), np.int16),
        (np.ones(SHAPE, bool), np.int16),
        (np.full(SHAPE, 32767, np.int64), np.int16),
        (np.full(SHAPE, -32768, np.int64), np.int16),
        (np.full(SHAPE, 32768, np.int64), np.float32),
        (np.full(SHAPE, -32769, np.int32), np.float32),
        (np.full(SHAPE, 60000, np.uint16), np.float32),
        (np.ones(SHAPE, np.float16), np.float32),
        (np.ones(SHAPE, np.float64), np.float32),
        (np.ones(SHAPE, ">i2"), np.int16),
    ],
)
def test_numbers_become_int16_where_they_fit_and_float32_else(values, expected):
    volume = Volume(values, EYE)
    assert volume.array_hu.dtype == expected
    assert volume.array_hu.dtype.isnative
    assert np.array_equal(volume.array_hu, values)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.zeros((4, 5)), "NOT_3D"),
        (np.zeros((2, 3, 4, 5)), "NOT_3D"),
        (np.zeros((0, 4, 5)), "NOT_3D"),
        (np.zeros(SHAPE, complex), "NOT_3D"),
        (np.full(SHAPE, "x"), "NOT_3D"),
        (np.full(SHAPE, None), "NOT_3D"),
        (np.full(SHAPE, np.nan), "NON_FINITE"),
        (np.full(SHAPE, -np.inf), "NON_FINITE"),
        (np.full(SHAPE, 100_001.0), "HU_RANGE"),
        (np.full(SHAPE, -1e300), "HU_RANGE"),
        (np.full(SHAPE, 2**63, np.uint64), "HU_RANGE"),
    ],
)
def test_what_cannot_be_a_ct_is_refused(values, code):
    assert code_of(Volume, values, EYE) == code


def test_one_nan_among_many_voxels_is_found_and_counted():
    values = np.zeros(SHAPE, np.float32)
    values[1, 2, 3] = np.nan
    with pytest.raises(InputError, match="1 of 60 voxels"):
        Volume(values, EYE)


def test_a_volume_does_not_follow_the_array_it_was_made_of():
    values, affine, metadata = np.zeros(SHAPE, np.int16), EYE.copy(), {"a": "b"}
    volume = Volume(values, affine, metadata)
    values[:], affine[0, 3], metadata["a"] = 7, 7, "c"
    assert not volume.array_hu.any()
    assert volume.ijk_to_lps[0, 3] == 0
    assert volume.metadata["a"] == "b"


def test_nothing_of_a_volume_can_be_written():
    volume = Volume(np.zeros(SHAPE, np.int16), EYE)
    with pytest.raises(ValueError, match="read-only"):
        volume.array_hu[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        volume.ijk_to_lps[0, 0] = 2
    with pytest.raises(TypeError):
        volume.metadata["a"] = "b"
    with pytest.raises(AttributeError):
        volume.array_hu = np.ones(SHAPE)


def test_shape_is_k_j_i_and_spacing_is_i_j_k():
    volume = Volume(np.zeros(SHAPE), compose_affine(np.eye(3), (0.5, 1.0, 2.0), (0, 0, 0)))
    assert volume.shape == (3, 4, 5)
    assert volume.spacing_ijk_mm == (0.5, 1.0, 2.0)
    assert volume.grid.extent_ijk_mm == (2.5, 4.0, 6.0)
    assert volume.grid.centre_lps == (1.0, 1.5, 2.0)


@pytest.mark.parametrize(
    ("text", "synthetic"), [("true", True), ("True", True), ("1", True), ("false", False)]
)
def test_metadata_say_whether_a_volume_is_synthetic(text, synthetic):
    assert Volume(np.zeros(SHAPE), EYE, {SYNTHETIC_KEY: text}).is_synthetic is synthetic


def test_a_volume_without_metadata_is_not_synthetic():
    assert not Volume(np.zeros(SHAPE), EYE).is_synthetic


@pytest.mark.parametrize("shape", [(0, 1, 1), (1, 2), (1, 2, 3, 4), (1, -2, 3)])
def test_a_grid_without_voxels_is_refused(shape):
    assert code_of(Grid, shape, EYE) == "BAD_GRID"


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(*[st.floats(-500, 500)] * 3),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.floats(0.1, 10),
)
def test_a_canonical_grid_is_centred_on_its_point(centre, shape, spacing_mm):
    grid = canonical_grid(centre, shape, spacing_mm)
    assert grid.shape == shape
    assert np.allclose(grid.centre_lps, centre, atol=1e-9)
    assert np.allclose(grid.spacing_ijk_mm, spacing_mm)
    assert np.array_equal(grid.direction, np.eye(3))


def test_on_a_canonical_grid_i_runs_to_the_left_j_to_posterior_and_k_to_superior():
    grid = canonical_grid((0, 0, 0), 4, 2.0)
    first, last = (transform_points(grid.ijk_to_lps, [n] * 3) for n in (0, 3))
    assert np.allclose(first, -3)
    assert np.allclose(last, 3)


def test_grids_are_the_same_when_every_voxel_is():
    grid = canonical_grid((1, 2, 3), (5, 6, 7), 1.0)
    assert grid.same_as(canonical_grid((1, 2, 3.0005), (5, 6, 7), 1.0))
    assert not grid.same_as(canonical_grid((1, 2, 3.01), (5, 6, 7), 1.0))
    assert not grid.same_as(canonical_grid((1, 2, 3), (5, 6, 8), 1.0))


def test_a_small_error_of_spacing_that_adds_up_is_a_difference():
    wide = Grid((1, 1, 512), compose_affine(np.eye(3), (1.0, 1, 1), (0, 0, 0)))
    wider = Grid((1, 1, 512), compose_affine(np.eye(3), (1.00001, 1, 1), (0, 0, 0)))
    assert not wide.same_as(wider)
