"""The picture of a result: sCT over ground truth over difference, and its projections.

Pillow only. What a picture shows is written on it: window, scale, directions, what each number
means, and that a synthetic CT is synthetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from TomoRayCore.metrics import DEFINITIONS, LABELS, Metrics
from TomoRayCore.report_drawing import (
    AMBER,
    BAR,
    BIG,
    FAINT,
    GAP,
    MIDDLE,
    PANEL,
    SMALL,
    blank,
    colour_bar,
    diverging,
    framed,
    letter_borders,
    row_of,
    scale_bar,
    shortened,
    stack,
    text_width,
    write,
)
from TomoRayCore.report_projections import radiograph_picture
from TomoRayCore.report_slices import (
    PLANES,
    Plane,
    centre_of,
    cut,
    display_grid,
    head_centre,
    index_of,
    on_grid,
    plane_extent_mm,
    position_text,
    to_image,
)
from TomoRayCore.volume import Grid, Volume
from TomoRayCore.windows import FULL, Window

__all__ = ["comparison_picture", "radiograph_picture", "stack"]

TABLE_WIDTH = 1000
"""Pixels that the metrics' definitions need."""

NOTICE = "SYNTHETIC - not for diagnosis"
LARGEST_DIFFERENCE_HU = 500.0
"""Ends of the difference's colours in wide windows: whole bones missed saturate them."""


@dataclass(frozen=True)
class _Scene:
    """What all panels share: voxels, the point they cut, and the scale."""

    grid: Grid
    point_lps: tuple[float, float, float]
    pixels_per_mm: float

    def size(self, plane: Plane) -> tuple[int, int]:
        """Return a panel's (width, height) in pixels."""
        width_mm, height_mm = plane_extent_mm(self.grid, plane)
        return (
            max(1, round(width_mm * self.pixels_per_mm)),
            max(1, round(height_mm * self.pixels_per_mm)),
        )

    @property
    def width(self) -> int:
        """Pixels from the first panel's left to the colour bar's right; room for the table."""
        panels = sum(self.size(plane)[0] for plane in PLANES)
        return max(panels + 3 * GAP + BAR, TABLE_WIDTH)


@dataclass(frozen=True)
class _Layer:
    """One row of the picture before it is cut into panels.

    Attributes:
        values: (D, H, W) grey or (D, H, W, 3) colours.
        covered: (D, H, W): where there is something to show.
        title: Written over the row.
        note: Written behind the title.
        bar: Colours (N, 3) of the row's scale, lowest first.
        ticks: Texts along the bar, lowest first.
        synthetic: Whether to mark every panel as synthetic.
    """

    values: NDArray[np.uint8]
    covered: NDArray[np.bool_]
    title: str
    note: str
    bar: NDArray[np.uint8]
    ticks: tuple[str, ...]
    synthetic: bool = False


def comparison_picture(
    sct: Volume,
    ct: Volume | None,
    metrics: Metrics | None,
    window: Window = FULL,
    *,
    difference: bool = True,
    names: tuple[str, str] = ("Synthetic CT", "Ground truth"),
    point_lps: ArrayLike | None = None,
) -> Image.Image:
    """Return rows sCT, ground truth and signed difference; columns axial, coronal, sagittal.

    All panels cut the same point of the world, at one scale, hung radiologically, whatever the
    volumes' voxel order or obliqueness.

    Args:
        sct: Synthetic CT; its model's name comes from its metadata.
        ct: Ground truth, on any grid, or None to show the sCT alone.
        metrics: Result of ``metrics.compare``, or None for no table.
        window: HU window of the grey values.
        difference: Whether to show the row sCT - ground truth.
        names: Row titles of sCT and ground truth.
        point_lps: Where to cut, LPS mm; None takes the middle of the truth's bone.
    """
    grid = display_grid(sct)
    if point_lps is None:
        point = head_centre(sct if ct is None else ct)
    else:
        x, y, z = (float(c) for c in np.asarray(point_lps, float))
        point = (x, y, z)
    # What is cut is a voxel's plane, which the headings must name, not the point asked for.
    shown_at = centre_of(grid, index_of(grid, point))
    scene = _Scene(grid, shown_at, PANEL / max(grid.extent_ijk_mm))
    layers = _layers(sct, ct, window, difference, names, grid)
    sheet = [_title(sct, scene), *(_row(scene, layer) for layer in layers)]
    if metrics is not None and ct is not None:
        sheet.append(_metrics_table(metrics, scene.width))
    return framed(stack(sheet))


def _layers(
    sct: Volume,
    ct: Volume | None,
    window: Window,
    difference: bool,
    names: tuple[str, str],
    grid: Grid,
) -> list[_Layer]:
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    ticks = (f"{window.low_hu:g}", f"{window.level_hu:g}", f"{window.high_hu:g}")
    seen = f"window L {window.level_hu:g} W {window.width_hu:g} HU"
    shown, covered = on_grid(sct, grid)
    layers = [_Layer(window.to_uint8(shown), covered, names[0], seen, greys, ticks, synthetic=True)]
    if ct is None:
        return layers
    truth, known = on_grid(ct, grid)
    gap = "" if known.all() else "; blue-grey: not scanned"
    layers.append(_Layer(window.to_uint8(truth), known, names[1], seen + gap, greys, ticks))
    if difference:
        limit = min(window.width_hu / 2, LARGEST_DIFFERENCE_HU)
        layers.append(
            _Layer(
                diverging(shown - truth, limit),
                covered & known,
                f"Difference: {names[0]} - {names[1]}",
                "HU, not clipped to the window; black: equal",
                diverging(np.linspace(-limit, limit, 255), limit),
                (f"{-limit:g}", "0", f"+{limit:g}"),
            )
        )
    return layers


def _title(sct: Volume, scene: _Scene) -> Image.Image:
    image = blank(scene.width, 38)
    model = sct.metadata.get("tomoray_model", "")
    i, j, k = scene.grid.spacing_ijk_mm
    note = f"voxels {i:.3g} x {j:.3g} x {k:.3g} mm"
    write(image, (scene.width, 10), note, size=SMALL, colour=FAINT, anchor="ra")
    room = scene.width - text_width(note, SMALL) - 2 * GAP
    text = f"TomoRay, model {model}" if model else "TomoRay"
    write(image, (0, 2), shortened(text, BIG, room), size=BIG)
    return image


def _row(scene: _Scene, layer: _Layer) -> Image.Image:
    index = index_of(scene.grid, scene.point_lps)
    height = max(scene.size(plane)[1] for plane in PLANES)
    columns = []
    for plane in PLANES:
        panel = to_image(
            cut(layer.values, plane, index), cut(layer.covered, plane, index), scene.size(plane)
        )
        letter_borders(panel, plane.letters)
        scale_bar(panel, scene.pixels_per_mm)
        if layer.synthetic:
            mark = shortened("SYNTHETIC", SMALL, panel.width // 2 - 16)
            place = (6, panel.height - 6)
            write(panel, place, mark, size=SMALL, colour=AMBER, anchor="ld", outlined=True)
        heading = blank(panel.width, 20)
        text = f"{plane.name}  {position_text(plane, scene.point_lps)}"
        write(heading, (0, 2), shortened(text, SMALL, panel.width), size=SMALL, colour=FAINT)
        centred = blank(panel.width, height)
        centred.paste(panel, (0, (height - panel.height) // 2))
        columns.append(stack([heading, centred]))
    bar = colour_bar(layer.bar, layer.ticks, max(height, 90), BAR, "HU")
    columns.append(stack([blank(BAR, 20), bar]))
    return stack([_row_title(layer, scene.width), row_of(columns), blank(1, GAP)])


def _row_title(layer: _Layer, width: int) -> Image.Image:
    image = blank(width, 24)
    used = 0
    if layer.synthetic:
        write(image, (width, 2), NOTICE, colour=AMBER, anchor="ra")
        used = text_width(NOTICE, MIDDLE) + GAP
    title = shortened(layer.title, MIDDLE, width - used)
    write(image, (0, 2), title)
    used += text_width(title, MIDDLE) + 2 * GAP
    note = shortened(layer.note, SMALL, max(width - used, 0))
    write(image, (text_width(title, MIDDLE) + 2 * GAP, 5), note, size=SMALL, colour=FAINT)
    return image


def _metrics_table(metrics: Metrics, width: int) -> Image.Image:
    line = 19
    image = blank(width, 30 + line * (len(DEFINITIONS) + 1) + GAP)
    write(image, (0, 4), "Agreement with the ground truth")
    y = 30.0
    for name, value in metrics.values().items():
        write(image, (0, y), LABELS[name], size=SMALL)
        write(image, (235, y), _number(name, value), size=SMALL, anchor="ra")
        text = shortened(DEFINITIONS[name], SMALL, width - 255)
        write(image, (255, y), text, size=SMALL, colour=FAINT)
        y += line
    grid = "CT interpolated onto the sCT's grid" if metrics.resampled else "both on one grid"
    where = " and the mask" if metrics.masked else ""
    card = (
        f"Window {metrics.window.describe()}; {metrics.evaluated_voxels} voxels, "
        f"{100 * metrics.evaluated_share:.1f} % of the sCT, lie in the CT's field{where}; {grid}."
    )
    write(image, (0, y), shortened(card, SMALL, width), size=SMALL, colour=FAINT)
    return image


def _number(name: str, value: float) -> str:
    if math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "infinite"
    digits = 1 if name.startswith("mae") else 2 if name.startswith("psnr") else 3
    return f"{value:.{digits}f}"
