"""Pictures show each side of the patient where they say it is, and say what is synthetic."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from TomoRayCore import report_slices
from TomoRayCore.coordinates import compose_affine
from TomoRayCore.errors import InputError
from TomoRayCore.metrics import compare
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.report import comparison_picture, radiograph_picture, stack
from TomoRayCore.report_drawing import NOT_COVERED, diverging, plain, shortened, text_width
from TomoRayCore.report_slices import PLANES, cut, display_grid, index_of, on_grid, to_image
from TomoRayCore.resample import resample
from TomoRayCore.volume import SYNTHETIC_KEY, Grid, Volume
from TomoRayCore.windows import BONE, BRAIN, FULL

SPACING = (1.5, 2.0, 3.0)
SHAPE = (25, 37, 45)
CENTRE = np.array([12.0, -7.0, 30.0])

# Bright blobs 20 mm from the centre towards patient left, anterior and superior.
TOWARDS = {"L": (1, 0, 0), "A": (0, -1, 0), "S": (0, 0, 1)}


def marked_head() -> Volume:
    half = (np.array(SHAPE[::-1]) - 1) / 2 * SPACING
    affine = compose_affine(np.eye(3), SPACING, CENTRE - half)
    k, j, i = np.indices(SHAPE)
    world = np.stack([i, j, k], -1) * SPACING + affine[:3, 3]
    hu = np.full(SHAPE, -1000, np.int16)
    hu[np.linalg.norm(world - CENTRE, axis=-1) < 32] = 0
    for direction in TOWARDS.values():
        blob = np.linalg.norm(world - CENTRE - 20 * np.array(direction), axis=-1) < 6
        hu[blob] = 1000
    return Volume(hu, affine, {SYNTHETIC_KEY: "true", "tomoray_model": "some-model"})


def stored(kind: str) -> Volume:
    """The marked head stored otherwise: turned axes, flipped, or on an oblique grid."""
    head = marked_head()
    if kind == "canonical":
        return head
    turn = np.deg2rad(25.0 if kind == "oblique" else 0.0)
    direction = np.array(
        [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    )
    direction = direction[:, [1, 2, 0]] * np.array([1, -1, -1])
    size, spacing = np.array([40, 30, 44]), np.array([2.0, 3.0, 1.8])
    origin = CENTRE - direction @ ((size - 1) / 2 * spacing)
    grid = Grid(tuple(size[::-1]), compose_affine(direction, spacing, origin))
    return resample(head, grid)


@pytest.mark.parametrize("kind", ["canonical", "turned", "oblique"])
def test_each_marker_is_seen_at_the_side_that_carries_its_letter(kind):
    volume = stored(kind)
    grid = display_grid(volume)
    hu, covered = on_grid(volume, grid)
    index = index_of(grid, CENTRE)
    for plane in PLANES:
        panel = to_image(cut(FULL.to_uint8(hu), plane, index), cut(covered, plane, index), (90, 90))
        bright = np.asarray(panel.convert("L")) > 180
        left, right, top, bottom = plane.letters
        columns, rows = np.meshgrid(np.arange(90) - 44.5, np.arange(90) - 44.5)
        seen = set()
        for letter, side in (
            (left, -columns),
            (right, columns),
            (top, -rows),
            (bottom, rows),
        ):
            across = rows if letter in (left, right) else columns
            if (bright & (side > 8) & (np.abs(across) < 8)).sum() > 5:
                seen.add(letter)
        assert seen == set(plane.letters) & set(TOWARDS), (kind, plane.name)


def test_an_axis_parallel_volume_is_shown_without_interpolation():
    head = marked_head()
    assert display_grid(head).same_as(head.grid)
    assert on_grid(head, display_grid(head))[1].all()


def test_anisotropic_voxels_keep_the_patient_s_proportions():
    grid = display_grid(marked_head())
    for plane in PLANES:
        rows, columns = cut(np.zeros(SHAPE), plane, (0, 0, 0)).shape
        width_mm, height_mm = report_slices.plane_extent_mm(grid, plane)
        spacing = {"Axial": (1.5, 2.0), "Coronal": (1.5, 3.0), "Sagittal": (2.0, 3.0)}[plane.name]
        assert width_mm == pytest.approx(columns * spacing[0])
        assert height_mm == pytest.approx(rows * spacing[1])


def texts_of(monkeypatch: pytest.MonkeyPatch, make) -> tuple[Image.Image, list[str]]:
    """Run a picture function and collect every line it writes."""
    from PIL import ImageDraw

    written: list[str] = []
    original = ImageDraw.ImageDraw.text

    def spy(self, xy, text, *args, **kwargs):
        written.append(text)
        return original(self, xy, text, *args, **kwargs)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", spy)
    return make(), written


def test_the_picture_names_model_window_directions_and_metrics_and_says_synthetic(monkeypatch):
    sct, head = marked_head(), marked_head()
    ct = Volume(np.asarray(head.array_hu) + np.int16(25), head.ijk_to_lps)
    metrics = compare(sct, ct, BONE)
    _, written = texts_of(monkeypatch, lambda: comparison_picture(sct, ct, metrics, BONE))
    everything = "\n".join(written)
    for part in (
        "some-model",
        "SYNTHETIC - not for diagnosis",
        "L 500 W 2000",
        "Ground truth",
        "Difference",
        "25.0",
        "2 cm",
        "[-500, 1500] HU",
    ):
        assert part in everything, part
    assert {"R", "L", "A", "P", "S", "I"} <= set(written)
    assert written.count("SYNTHETIC") == 3


def test_without_ground_truth_there_is_one_row(monkeypatch):
    alone, written = texts_of(monkeypatch, lambda: comparison_picture(marked_head(), None, None))
    assert "Ground truth" not in written
    assert "SYNTHETIC - not for diagnosis" in written
    head = marked_head()
    ct = Volume(head.array_hu, head.ijk_to_lps)
    two = comparison_picture(head, ct, None, difference=False)
    three = comparison_picture(head, ct, None)
    assert alone.height < two.height < three.height
    assert alone.width == two.width == three.width


def test_what_was_not_scanned_is_shown_as_such():
    sct = marked_head()
    half = np.array(sct.ijk_to_lps)
    half[:3, 3] += half[:3, 2] * 12
    part = Volume(sct.array_hu[12:], half)
    whole = Volume(sct.array_hu, sct.ijk_to_lps)

    def unknown(ct: Volume) -> int:
        pixels = np.asarray(comparison_picture(sct, ct, None, BRAIN))
        return int((pixels == NOT_COVERED).all(axis=-1).sum())

    assert unknown(part) > 1000
    assert unknown(whole) == 0


def test_a_point_outside_the_volume_shows_the_nearest_plane(monkeypatch):
    head = marked_head()
    _, written = texts_of(
        monkeypatch, lambda: comparison_picture(head, None, None, point_lps=(0, 0, 5000))
    )
    top_mm = CENTRE[2] + 12 * 3.0
    assert f"Axial  S {top_mm:.0f} mm" in written


def test_positive_differences_are_warm_negative_ones_cold_and_none_black():
    cold, none, warm = diverging(np.array([-500.0, 0.0, 500.0]), 500).astype(int)
    assert none.tolist() == [0, 0, 0]
    assert warm[0] > warm[2] + 50
    assert cold[2] > cold[0] + 50
    assert (diverging(np.array([9e5]), 500) == warm).all()


def film(view: str, quantity: str = "line_integral", spacing=(2.0, 1.0)) -> Radiograph:
    rng = np.random.default_rng(3)
    return Radiograph(rng.random((40, 60), np.float32), view, spacing, quantity)


def test_each_view_is_shown_beside_its_projection_with_their_correlation(monkeypatch):
    films = [film("AP"), film("LAT", "relative", None)]
    drrs = [films[0].pixels, 3 * films[1].pixels + 7]
    _, written = texts_of(monkeypatch, lambda: radiograph_picture(films, drrs))
    assert sum("correlation 1.0000" in line for line in written) == 2
    assert any("straight line" in line for line in written)
    assert written.count("SYNTHETIC") == 2


def test_a_projection_of_nothing_has_no_correlation(monkeypatch):
    _, written = texts_of(
        monkeypatch, lambda: radiograph_picture([film("AP")], [np.zeros((40, 60), np.float32)])
    )
    assert any("correlation undefined" in line for line in written)


def test_projections_that_do_not_match_are_refused():
    for drrs in ([], [np.zeros((40, 61))]):
        with pytest.raises(InputError) as caught:
            radiograph_picture([film("AP")], drrs)
        assert caught.value.code == "BAD_PROJECTIONS"


def test_stacked_pictures_keep_their_pixels():
    one, two = Image.new("RGB", (30, 10), "red"), Image.new("RGB", (20, 15), "blue")
    both = stack([one, two])
    assert both.size == (30, 25)
    assert both.getpixel((29, 9)) == (255, 0, 0)
    assert both.getpixel((0, 10)) == (0, 0, 255)


def test_text_is_cut_to_fit_and_folded_to_what_the_font_has():
    assert plain("Schädel ±5 頭") == "Schadel ±5 ?"
    cut_text = shortened("a very long name " * 20, 13, 120)
    assert cut_text.endswith("...")
    assert text_width(cut_text, 13) <= 120
    assert shortened("short", 13, 120) == "short"
