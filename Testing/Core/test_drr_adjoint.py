"""Back-projection in numpy is the exact transpose of the projection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drr_poses import frontal, oblique_grid, turned
from hypothesis import given, settings
from hypothesis import strategies as st

from TomoRayCore.drr import backproject_arrays, project_mu
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.volume import Grid


def arrangement(beam: str = "cone", turn: float = 0.0) -> AcquisitionGeometry:
    """Return a frontal view and a tilted one with another, not square, detector."""
    second = turned(frontal(field_mm=60, beam=beam), (70.0 + turn, 9.0, -4.0))
    second = replace(second, label="tilted", size=(11, 15), pixel_spacing_mm=(6.0, 4.0))
    return AcquisitionGeometry(
        "two", (0.0, 0.0, 0.0), (turned(frontal(beam=beam), (turn, 0.0, 0.0)), second)
    )


def products(geometry: AcquisitionGeometry, grid: Grid, dtype: type, seed: int = 0) -> np.ndarray:
    """Return <A x, y> and <x, A' y> of random x and y, added up in float64."""
    random = np.random.default_rng(seed)
    x = random.random(grid.shape).astype(dtype)
    y = [random.random(view.size).astype(dtype) for view in geometry.views]
    ax = [project_mu(x, grid, view) for view in geometry.views]
    back = backproject_arrays(y, geometry, grid)
    assert {image.dtype for image in ax} == {back.dtype} == {np.dtype(dtype)}
    left = sum(np.vdot(a.astype(float), b.astype(float)) for a, b in zip(ax, y, strict=True))
    return np.array([left, np.vdot(x.astype(float), back.astype(float))])


@pytest.mark.parametrize("beam", ["cone", "parallel"])
@pytest.mark.parametrize("turn", [0.0, 25.0])
def test_the_identity_holds_to_a_millionth_in_float32(engine: str, beam: str, turn: float) -> None:
    left, right = products(arrangement(beam, turn), oblique_grid((21, 18, 25)), np.float32)
    assert left == pytest.approx(right, rel=1e-6)


@pytest.mark.parametrize("beam", ["cone", "parallel"])
@pytest.mark.parametrize("turn", [0.0, 25.0])
def test_the_identity_holds_to_twelve_digits_in_float64(beam: str, turn: float) -> None:
    left, right = products(arrangement(beam, turn), oblique_grid((21, 18, 25)), np.float64)
    assert left == pytest.approx(right, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(*[st.integers(1, 20)] * 3),
    st.tuples(*[st.floats(0.7, 3.0)] * 3),
    st.tuples(*[st.floats(-180, 180)] * 3),
    st.integers(0, 999),
)
def test_the_identity_holds_on_any_grid(
    shape: tuple[int, ...], spacing: tuple[float, ...], angles: tuple[float, ...], seed: int
) -> None:
    grid = oblique_grid(shape, spacing, angles)
    left, right = products(arrangement(), grid, np.float64, seed)
    assert left == pytest.approx(right, rel=1e-12)


def test_the_identity_holds_where_the_detector_cuts_the_volume() -> None:
    view = turned(frontal(), (25.0, 10.0, 0.0))
    view = replace(view, detector_centre_lps=(2.0, 1.0, 0.0), pixel_spacing_mm=(2.0, 2.0))
    geometry = AcquisitionGeometry("cut", tuple(60 * view.normal), (view,))
    left, right = products(geometry, oblique_grid((21, 18, 25)), np.float64)
    assert left > 0
    assert left == pytest.approx(right, rel=1e-12)


def test_float32_is_the_answer_unless_all_images_are_float64() -> None:
    geometry, grid = arrangement(), oblique_grid((5, 6, 7))
    images = [np.ones(view.size) for view in geometry.views]
    assert backproject_arrays(images, geometry, grid).dtype == np.float64
    images[1] = images[1].astype(np.float32)
    assert backproject_arrays(images, geometry, grid).dtype == np.float32
    whole_numbers = [np.ones(view.size, np.uint16) for view in geometry.views]
    assert backproject_arrays(whole_numbers, geometry, grid).dtype == np.float32


def test_images_that_do_not_fit_the_views_are_refused() -> None:
    geometry, grid = arrangement(), oblique_grid((5, 6, 7))
    good = [np.ones(view.size) for view in geometry.views]
    holed = [good[0].copy(), good[1]]
    holed[0][3, 4] = np.nan
    for bad in (good[:1], good[::-1], [good[0], good[1].T], holed):
        with pytest.raises(InputError) as caught:
            backproject_arrays(bad, geometry, grid)
        assert caught.value.code == "BAD_PROJECTIONS"
