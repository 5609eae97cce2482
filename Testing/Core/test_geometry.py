"""Where source and detector stand: shadows, presets, JSON, and what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry
from TomoRayCore.presets import PRESETS, from_preset, make_view

ISOCENTRE = (12.5, -30.25, 801.0)
VIEWS = ("AP", "LAT", "PA")

angles = st.floats(-360, 360)
points = st.tuples(*[st.floats(-500, 500)] * 3)


def code_of(call, *arguments, **named) -> str:
    with pytest.raises(InputError) as error:
        call(*arguments, **named)
    return error.value.code


# ------------------------------------------------------------------------------- presets


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_sees_its_cube_whole(name, view):
    geometry = from_preset(name, isocentre_lps=ISOCENTRE, size=96, views=[view])
    half = PRESETS[name].field_mm / 2
    corners = np.array(ISOCENTRE) + half * np.array(list(product((-1, 1), repeat=3)))
    pixels = geometry.views[0].project_points(corners)
    assert pixels.min() >= -0.5 - 1e-9
    assert pixels.max() <= 95.5 + 1e-9
    # The detector is no larger than it must be: the nearest corners fall on its border.
    assert pixels.min() == pytest.approx(-0.5)
    assert pixels.max() == pytest.approx(95.5)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", PRESETS)
def test_the_isocentre_falls_on_the_middle_of_the_detector(name, view):
    geometry = from_preset(name, isocentre_lps=ISOCENTRE, size=65, views=[view])
    assert np.allclose(geometry.views[0].project_points(ISOCENTRE), (32, 32))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_distances_it_names(name):
    preset = PRESETS[name]
    for view in from_preset(name, isocentre_lps=ISOCENTRE, views=VIEWS).views:
        assert view.sad_mm(ISOCENTRE) == pytest.approx(preset.sad_mm)
        assert view.sdd_mm == pytest.approx(preset.sdd_mm)


def test_distances_and_field_can_be_chosen():
    view = from_preset(sad_mm=700, sdd_mm=1400, field_mm=200, views=["LAT"]).views[0]
    assert view.sad_mm((0, 0, 0)) == pytest.approx(700)
    assert view.sdd_mm == pytest.approx(1400)
    assert view.pixel_spacing_mm[0] * 128 == pytest.approx(200 * 1400 / 600)


@pytest.mark.parametrize(
    ("view", "source", "u"),
    [("AP", (0, -1, 0), (1, 0, 0)), ("LAT", (1, 0, 0), (0, 1, 0)), ("PA", (0, 1, 0), (1, 0, 0))],
)
def test_right_angle_views_lie_exactly_along_the_axes(view, source, u):
    geometry = from_preset(views=[view]).views[0]
    assert geometry.source_lps == tuple(1000.0 * c for c in source)
    assert geometry.detector_centre_lps == tuple(-500.0 * c for c in source)
    assert geometry.u == u
    assert geometry.v == (0, 0, -1)


LEFT, ANTERIOR, SUPERIOR = (50, 0, 0), (0, -50, 0), (0, 0, 50)


@pytest.mark.parametrize("view", ["AP", "PA"])
def test_a_frontal_image_shows_left_on_the_right_and_superior_above(view):
    geometry = from_preset(views=[view]).views[0]
    row, column = geometry.project_points(LEFT)
    assert (row, column > 63.5) == (63.5, True)
    row, column = geometry.project_points(SUPERIOR)
    assert (row < 63.5, column) == (True, 63.5)


def test_a_lateral_image_shows_anterior_on_the_left_and_superior_above():
    geometry = from_preset(views=["LAT"]).views[0]
    row, column = geometry.project_points(ANTERIOR)
    assert (row, column < 63.5) == (63.5, True)
    row, column = geometry.project_points(SUPERIOR)
    assert (row < 63.5, column) == (True, 63.5)


def test_ap_magnifies_the_face_and_pa_the_back_of_the_head():
    def shadow(view: str, point: tuple[float, ...]) -> float:
        geometry = from_preset(views=[view]).views[0]
        return geometry.project_points(point)[1] - 63.5

    face, occiput = (30, -90, 0), (30, 90, 0)
    assert shadow("AP", face) > shadow("AP", occiput)
    assert shadow("PA", face) < shadow("PA", occiput)
    assert shadow("AP", face) == pytest.approx(shadow("PA", occiput))


def test_magnification_is_sdd_over_the_distance_from_the_source():
    view = from_preset(views=["AP"]).views[0]
    row, column = view.project_points((30, -90, 10)) - 63.5
    assert column * view.pixel_spacing_mm[1] == pytest.approx(30 * 1500 / (1000 - 90))
    assert row * view.pixel_spacing_mm[0] == pytest.approx(-10 * 1500 / (1000 - 90))


def test_a_parallel_beam_does_not_magnify():
    view = from_preset("parallel", views=["AP"]).views[0]
    near, far = view.project_points([(30, -90, 10), (30, 90, 10)])
    assert np.allclose(near, far)
    assert (near[1] - 63.5) * view.pixel_spacing_mm[1] == pytest.approx(30)


def test_labels_are_read_in_either_case():
    assert from_preset(views=[" ap", "Lat "]).labels == ("AP", "LAT")


def test_moving_the_isocentre_moves_everything():
    here, there = from_preset(), from_preset(isocentre_lps=ISOCENTRE)
    for a, b in zip(here.views, there.views, strict=True):
        assert np.allclose(
            a.project_points((7, 8, 9)), b.project_points(np.add(ISOCENTRE, (7, 8, 9)))
        )


# ------------------------------------------------------------------------------- any view


@settings(max_examples=60, deadline=None)
@given(angles, points, st.floats(300, 2000), st.floats(1.05, 3))
def test_any_view_keeps_its_distances_and_hits_its_middle(angle_deg, isocentre, sad_mm, ratio):
    view = make_view(
        "X",
        angle_deg,
        sad_mm=sad_mm,
        sdd_mm=sad_mm * ratio,
        detector_mm=400,
        size=33,
        isocentre_lps=isocentre,
    )
    assert view.sad_mm(isocentre) == pytest.approx(sad_mm)
    assert view.sdd_mm == pytest.approx(sad_mm * ratio)
    assert np.allclose(view.project_points(isocentre), (16, 16), atol=1e-6)
    assert np.linalg.norm(view.normal) == pytest.approx(1)
    assert view.normal @ np.subtract(view.source_lps, view.detector_centre_lps) > 0


@settings(max_examples=60, deadline=None)
@given(angles, points, st.sampled_from(["cone", "parallel"]))
def test_pixel_centres_project_onto_themselves(angle_deg, isocentre, beam):
    view = make_view(
        "X",
        angle_deg,
        sad_mm=900,
        sdd_mm=1300,
        detector_mm=300,
        size=5,
        isocentre_lps=isocentre,
        beam=beam,
    )
    view = replace(view, size=(4, 7), pixel_spacing_mm=(0.7, 0.4))
    rows, columns = np.mgrid[:4, :7]
    projected = view.project_points(view.pixel_centres_lps())
    assert np.allclose(projected, np.stack([rows, columns], axis=-1), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(angles, points, st.floats(0.05, 0.95))
def test_a_point_between_source_and_pixel_falls_on_that_pixel(angle_deg, isocentre, share):
    view = make_view(
        "X", angle_deg, sad_mm=900, sdd_mm=1300, detector_mm=300, size=9, isocentre_lps=isocentre
    )
    pixel = view.pixel_centres_lps()[2, 7]
    between = (1 - share) * np.array(view.source_lps) + share * pixel
    assert np.allclose(view.project_points(between), (2, 7), atol=1e-6)


def test_another_number_of_pixels_covers_the_same_area():
    view = from_preset(views=["LAT"]).views[0]
    other = view.resized((64, 256))
    assert other.size == (64, 256)
    corner = np.array([-0.5, -0.5])
    for n, spacing, old in zip(
        other.size, other.pixel_spacing_mm, view.pixel_spacing_mm, strict=True
    ):
        assert n * spacing == pytest.approx(128 * old)
    edge = view.pixel_centres_lps()[0, 0] - 0.5 * (
        np.array(view.u) * view.pixel_spacing_mm[1] + np.array(view.v) * view.pixel_spacing_mm[0]
    )
    assert np.allclose(other.project_points(edge), corner)


# ------------------------------------------------------------------------------- JSON


@settings(max_examples=40, deadline=None)
@given(angles, points, st.floats(300, 2000), st.floats(1.05, 3), st.integers(1, 512))
def test_a_geometry_survives_json_exactly(angle_deg, isocentre, sad_mm, ratio, size):
    views = [
        make_view(
            label,
            angle_deg + 90 * n,
            sad_mm=sad_mm,
            sdd_mm=sad_mm * ratio,
            detector_mm=50,
            size=size,
            isocentre_lps=isocentre,
        )
        for n, label in enumerate(["AP", "élan 3"])
    ]
    geometry = AcquisitionGeometry("free name", isocentre, tuple(views))
    assert AcquisitionGeometry.from_json(geometry.to_json()) == geometry


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json_exactly(name):
    geometry = from_preset(name, isocentre_lps=ISOCENTRE, views=VIEWS)
    assert AcquisitionGeometry.from_json(geometry.to_json()) == geometry


def test_json_spells_out_the_distances():
    entry = json.loads(from_preset().to_json())["views"][1]
    assert (entry["label"], entry["sad_mm"], entry["sdd_mm"]) == ("LAT", 1000.0, 1500.0)


FIELDS = list(json.loads(from_preset().to_json())["views"][0])
READ = [name for name in FIELDS if name not in ("sad_mm", "sdd_mm", "label")]
RUBBISH = [None, "x", 5, [], [1, 2, "x"], [[1], [2], [3]], {}, [1e999, 0, 0], [10**400, 0, 0]]


@pytest.mark.parametrize("value", RUBBISH, ids=lambda v: str(v)[:20])
@pytest.mark.parametrize("name", READ)
def test_a_garbled_field_of_a_view_is_refused(name, value):
    data = from_preset().to_dict()
    data["views"][1][name] = value
    assert code_of(AcquisitionGeometry.from_dict, data) == "BAD_GEOMETRY"


@pytest.mark.parametrize("name", [n for n in FIELDS if n not in ("sad_mm", "sdd_mm")])
def test_a_missing_field_of_a_view_is_refused(name):
    data = from_preset().to_dict()
    del data["views"][0][name]
    assert code_of(AcquisitionGeometry.from_dict, data) == "BAD_GEOMETRY"


@pytest.mark.parametrize("value", [*RUBBISH, [1, 2]], ids=lambda v: str(v)[:20])
@pytest.mark.parametrize("name", ["schema", "isocentre_lps", "views"])
def test_a_garbled_field_of_an_acquisition_is_refused(name, value):
    data = from_preset().to_dict() | {name: value}
    assert code_of(AcquisitionGeometry.from_dict, data) == "BAD_GEOMETRY"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "5", "NaN", "[" * 100_000, '{"schema": ' + "1" * 5000 + "}", "{}"],
    ids=lambda text: text[:10],
)
def test_text_that_is_no_geometry_is_refused(text):
    assert code_of(AcquisitionGeometry.from_json, text) == "BAD_GEOMETRY"


# ------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "change",
    [
        {"size": (0, 5)},
        {"size": (5, 9000)},
        {"pixel_spacing_mm": (0, 1)},
        {"pixel_spacing_mm": (1, 100)},
        {"pixel_spacing_mm": (math.nan, 1)},
        {"beam": "fan"},
        {"u": (2, 0, 0)},
        {"u": (0, 0, 1)},
        {"v": (0, 0, 0)},
        {"u": (math.nan, 0, 0)},
        {"source_lps": (1, 2)},
        {"source_lps": (math.inf, 0, 0)},
        {"source_lps": (1e300, 0, 0)},
        {"source_lps": (0, 500, 0)},  # in the detector's plane
        {"detector_centre_lps": (0, math.nan, 0)},
    ],
    ids=str,
)
def test_an_impossible_view_is_refused(change):
    view = from_preset().views[0]
    assert code_of(replace, view, **change) == "BAD_GEOMETRY"


def test_the_isocentre_must_lie_between_source_and_detector():
    views = from_preset().views
    for isocentre in ((0, -1001, 0), (0, 501, 0), (0, -1000, 0), (0, 500, 0)):
        assert code_of(AcquisitionGeometry, "x", isocentre, views[:1]) == "BAD_GEOMETRY"
    assert AcquisitionGeometry("x", (0, 499, 0), views[:1]).views[0].sad_mm((0, 499, 0)) == 1499


def test_an_acquisition_needs_views_of_different_names():
    view = from_preset().views[0]
    assert code_of(AcquisitionGeometry, "x", (0, 0, 0), ()) == "BAD_GEOMETRY"
    assert code_of(AcquisitionGeometry, "x", (0, 0, 0), (view, view)) == "BAD_GEOMETRY"
    assert code_of(AcquisitionGeometry, "x", (0, 0), (view,)) == "BAD_GEOMETRY"


def test_a_view_is_found_by_its_label_or_refused_by_name():
    geometry = from_preset()
    assert geometry.view("LAT") is geometry.views[1]
    with pytest.raises(InputError, match="it has AP, LAT") as error:
        geometry.view("PA")
    assert error.value.code == "VIEW_UNKNOWN"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"name": "dental"}, "PRESET_UNKNOWN"),
        ({"views": ["AP", "oblique"]}, "VIEW_UNKNOWN"),
        ({"views": ["AP", "ap"]}, "BAD_GEOMETRY"),
        ({"views": []}, "BAD_GEOMETRY"),
        ({"sad_mm": 1500}, "BAD_GEOMETRY"),
        ({"sad_mm": 0}, "BAD_GEOMETRY"),
        ({"sad_mm": math.nan}, "BAD_GEOMETRY"),
        ({"sdd_mm": math.inf}, "BAD_GEOMETRY"),
        ({"sdd_mm": 1000}, "BAD_GEOMETRY"),
        ({"sad_mm": 100}, "BAD_GEOMETRY"),  # the source would stand inside the cube
        ({"field_mm": 0}, "BAD_GEOMETRY"),
        ({"field_mm": math.nan}, "BAD_GEOMETRY"),
        ({"size": 0}, "BAD_GEOMETRY"),
        ({"size": 10_000}, "BAD_GEOMETRY"),
        ({"isocentre_lps": (0, 0)}, "BAD_GEOMETRY"),
        ({"isocentre_lps": (0, 0, math.nan)}, "BAD_GEOMETRY"),
    ],
    ids=str,
)
def test_a_preset_that_cannot_be_built_is_refused(arguments, code):
    assert code_of(from_preset, **arguments) == code


@pytest.mark.parametrize("angle_deg", [math.nan, math.inf])
def test_a_view_needs_an_angle(angle_deg):
    arguments = {"sad_mm": 900, "sdd_mm": 1300, "detector_mm": 300, "size": 9}
    assert code_of(make_view, "X", angle_deg, **arguments) == "BAD_GEOMETRY"


def test_a_geometry_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        from_preset().views[0].beam = "parallel"


def test_numbers_of_other_types_compare_equal_and_hash_alike():
    view = from_preset().views[0]
    same = ViewGeometry(
        view.label,
        np.array(view.source_lps),
        list(view.detector_centre_lps),
        np.array(view.u, np.float32),
        view.v,
        np.array(view.pixel_spacing_mm),
        np.array(view.size),
    )
    assert same == view
    assert hash(same) == hash(view)


def test_a_moved_acquisition_sees_a_moved_head_the_same_way():
    geometry = from_preset(isocentre_lps=(1.0, 2.0, 3.0))
    moved = geometry.centred_on((-40.0, 7.5, 900.0))
    shift = np.subtract(moved.isocentre_lps, geometry.isocentre_lps)
    point = np.array([12.0, -30.0, 44.0])
    for here, there in zip(geometry.views, moved.views, strict=True):
        assert np.allclose(here.project_points(point), there.project_points(point + shift))
