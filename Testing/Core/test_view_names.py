"""Views by name and by angle: what is understood, and where source and detector then stand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from TomoRayCore.errors import InputError
from TomoRayCore.presets import from_preset
from TomoRayCore.view_names import is_oblique_label, refuse_same, view_angle

ISOCENTRE = (12.5, -30.25, 801.0)

angles = st.floats(-360, 360)
tilts = st.floats(-90, 90)


@pytest.mark.parametrize(
    ("text", "label", "angle_deg", "tilt_deg"),
    [
        (" ap", "AP", 0, 0),
        ("PA", "PA", 180, 0),
        ("lat", "LAT", 90, 0),
        ("0", "A0", 0, 0),
        ("30", "A30", 30, 0),
        ("-45", "A-45", -45, 0),
        ("+22.5", "A22.5", 22.5, 0),
        ("120:10", "A120T10", 120, 10),
        ("-0:-12.5", "A0T-12.5", 0, -12.5),
        ("ap:30", "APT30", 0, 30),
        ("lat:0", "LAT", 90, 0),
        ("a30t10", "A30T10", 30, 10),
        ("LATT-5", "LATT-5", 90, -5),
    ],
)
def test_a_view_is_a_name_or_degrees_and_after_a_colon_its_tilt(text, label, angle_deg, tilt_deg):
    view = view_angle(text)
    assert (view.label, view.angle_deg, view.tilt_deg) == (label, angle_deg, tilt_deg)
    assert view_angle(view.label) == view


@pytest.mark.parametrize(
    "text",
    [
        "",
        "TOP",
        "AP30",
        "APA",
        "30:",
        ":10",
        "30:10:5",
        "nan",
        "inf",
        "1e2",
        "361",
        "0:91",
        "30-10",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(InputError, match="VIEW_UNKNOWN"):
        view_angle(text)


@settings(max_examples=60, deadline=None)
@given(angles, tilts)
def test_a_label_says_all_of_its_view_and_is_a_file_name_everywhere(angle_deg, tilt_deg):
    view = view_angle(f"{angle_deg:f}:{tilt_deg:f}")
    assert view_angle(view.label) == view
    assert view.angle_deg == pytest.approx(angle_deg, abs=1e-6)
    assert view.tilt_deg == pytest.approx(tilt_deg, abs=1e-6)
    assert is_oblique_label(view.label)
    assert set(view.label) <= set("AT0123456789.-")


@settings(max_examples=60, deadline=None)
@given(angles, tilts, st.floats(-180, 180), st.tuples(st.floats(-99, 99), st.floats(-99, 99)))
def test_the_source_stands_where_the_angles_say(angle_deg, tilt_deg, rotate_deg, offset):
    view = from_preset(
        isocentre_lps=ISOCENTRE,
        views=[f"{angle_deg:f}:{tilt_deg:f}"],
        rotate_deg=rotate_deg,
        detector_offset_mm=offset,
    ).views[0]
    turn, rise = np.radians([angle_deg, tilt_deg])
    to_source = np.subtract(view.source_lps, ISOCENTRE) / 1000
    level = np.array([np.sin(turn), -np.cos(turn)]) * np.cos(rise)
    assert np.allclose(to_source, [*level, np.sin(rise)], atol=2e-8)
    assert view.sad_mm(ISOCENTRE) == pytest.approx(1000)
    assert view.sdd_mm == pytest.approx(1500)
    # The offset moves the detector, so the isocentre's shadow moves the other way on it.
    row, column = view.project_points(ISOCENTRE) - 63.5
    assert row * view.pixel_spacing_mm[0] == pytest.approx(-offset[1], abs=1e-6)
    assert column * view.pixel_spacing_mm[1] == pytest.approx(-offset[0], abs=1e-6)


def test_named_views_are_views_by_angle_and_pa_is_hung_from_the_front():
    named = from_preset(views=["AP", "LAT", "PA"]).views
    plain = from_preset(views=["0", "90", "180"]).views
    for a, b in zip(named[:2], plain[:2], strict=True):
        assert (a.source_lps, a.u, a.v) == (b.source_lps, b.u, b.v)
    assert named[2].source_lps == plain[2].source_lps
    assert named[2].u == tuple(-c + 0.0 for c in plain[2].u)


def test_a_sweep_never_jumps():
    views = from_preset(views=[str(a) for a in range(-180, 181, 3)]).views
    u = np.array([view.u for view in views])
    assert (u[1:] * u[:-1]).sum(axis=1).min() > np.cos(np.radians(3.001))


def test_a_tilt_toward_the_head_lets_the_beam_run_toward_the_feet():
    view = from_preset(views=["ap:30"]).views[0]
    assert view.source_lps[2] > 0 > view.detector_centre_lps[2]
    posterior = view.project_points((0, 60, 0)) - 63.5
    assert posterior[0] < 0  # seen from above, what is behind lies higher in the image


def test_a_turned_detector_shows_the_head_turned_the_other_way():
    view = from_preset(views=["AP"], rotate_deg=90).views[0]
    row, column = view.project_points((0, 0, 50)) - 63.5  # superior: above, then on the left
    assert column < -1
    assert row == pytest.approx(0, abs=1e-9)


def test_a_detector_has_the_rows_columns_and_edges_that_are_asked_for():
    pixel = from_preset(size=(40, 30), spacing_mm=(2.0, 1.5), views=["30"]).views[0]
    assert pixel.size == (40, 30)
    assert pixel.pixel_spacing_mm == (2.0, 1.5)
    plate = from_preset(size=(40, 30), detector_mm=(400, 330), views=["30"]).views[0]
    assert plate.pixel_spacing_mm == (10, 11)
    parallel = from_preset(beam="parallel", views=["30"], size=64).views[0]
    assert parallel.beam == "parallel"
    assert parallel.pixel_spacing_mm == (4, 4)  # the cube's own size: nothing is magnified


@pytest.mark.parametrize("view", ["0", "37", "30:40", "10:-70"])
def test_the_ball_in_the_cube_is_seen_whole_from_anywhere(view):
    geometry = from_preset(views=[view], rotate_deg=33).views[0]
    directions = np.random.default_rng(0).normal(size=(500, 3))
    ball = 128 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    pixels = geometry.project_points(ball)
    assert pixels.min() >= -0.5
    assert pixels.max() <= 127.5


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": (128.5, 3)},
        {"size": (1, 2, 3)},
        {"spacing_mm": 0},
        {"spacing_mm": (1, -1)},
        {"detector_mm": float("nan")},
        {"spacing_mm": 1, "detector_mm": 400},
        {"rotate_deg": float("inf")},
        {"detector_offset_mm": (0, float("nan"))},
        {"detector_offset_mm": (2e6, 0)},
    ],
    ids=str,
)
def test_a_detector_that_cannot_be_is_refused(arguments):
    with pytest.raises(InputError, match="BAD_GEOMETRY"):
        from_preset(**arguments)


@pytest.mark.parametrize(
    "views", [("0", "360"), ("ap", "0"), ("-90", "270"), ("lat:5", "90:5"), ("30", "a30")]
)
def test_two_names_of_one_view_are_refused(views):
    with pytest.raises(InputError, match=r"are the same view\. .*BAD_GEOMETRY"):
        refuse_same(views)


def test_views_that_differ_in_tilt_or_hanging_are_different():
    refuse_same(["pa", "180", "ap", "ap:10", "0:-10", "lat", "-90"])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"sad_mm": 130, "sdd_mm": 120}, "0 < SAD < SDD"),
        ({"sad_mm": 1600}, "0 < SAD < SDD"),
        ({"sad_mm": 900, "sdd_mm": 800, "spacing_mm": -1}, "0 < SAD < SDD"),
        ({"sad_mm": 130}, "With SAD 130 mm"),
    ],
    ids=str,
)
def test_distances_that_cannot_be_are_what_is_complained_of(arguments, reason):
    with pytest.raises(InputError, match=f"{reason}.*BAD_GEOMETRY"):
        from_preset(**arguments)
