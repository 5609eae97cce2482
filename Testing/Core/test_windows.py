"""HU windows map their interval onto 0 to 1, and nothing onto anything else."""

from __future__ import annotations

import numpy as np
import pytest

from TomoRayCore.errors import InputError
from TomoRayCore.windows import BRAIN, FULL, WINDOWS, X2CT, Window, window_named


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("full", -1000, 1000),
        ("brain", 0, 80),
        ("brain-narrow", 20, 60),
        ("bone", -500, 1500),
        ("x2ct", -1024, 1476),
    ],
)
def test_each_preset_spans_its_published_interval(name, low, high):
    assert (WINDOWS[name].low_hu, WINDOWS[name].high_hu) == (low, high)
    assert WINDOWS[name].name == name


def test_the_interval_becomes_zero_to_one_and_the_rest_is_clipped():
    values = BRAIN.normalise(np.array([-1000, 0, 20, 80, 3000], np.int16))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, [0, 0, 0.25, 1, 1], atol=1e-6)


def test_no_value_leaves_the_unit_interval_through_rounding():
    values = Window("odd", 0.1, 0.7).normalise(np.linspace(-2, 2, 1001, dtype=np.float32))
    assert values.min() == 0
    assert values.max() == 1


def test_x2ct_normalises_as_its_paper_does():
    hu = np.array([-1024, 0, 1476], np.float32)
    np.testing.assert_allclose(X2CT.normalise(hu), (hu + 1024) / 2500, atol=1e-6)


def test_display_values_are_grey_levels():
    grey = FULL.to_uint8(np.array([-5000, -1000, 0, 1000, 5000]))
    assert grey.dtype == np.uint8
    assert grey.tolist() == [0, 0, 128, 255, 255]


def test_the_input_is_left_alone():
    hu = np.array([-2000.0, 50.0], np.float32)
    FULL.normalise(hu)
    assert hu.tolist() == [-2000, 50]


def test_an_unknown_window_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="brain-narrow") as caught:
        window_named("lung")
    assert caught.value.code == "WINDOW_UNKNOWN"
    assert window_named("bone") is WINDOWS["bone"]


@pytest.mark.parametrize("width", [0.0, -5.0, float("nan"), float("inf")])
def test_a_window_without_width_is_refused(width):
    with pytest.raises(InputError) as caught:
        Window("broken", 0.0, width)
    assert caught.value.code == "BAD_WINDOW"
