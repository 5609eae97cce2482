"""One case to look at: input views, ground truth and each method's sCT in three planes, differences.

Hung as in the clinic: the patient's right on the image's left, superior up, axial slices seen from
the feet, sagittal ones with anterior on the left. All panels cut the same point at one scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps, patheffects
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from TomoRayCore.radiograph import Radiograph
from TomoRayCore.report_slices import (
    PLANES,
    centre_of,
    cut,
    display_grid,
    head_centre,
    index_of,
    on_grid,
    plane_extent_mm,
    position_text,
)
from TomoRayCore.volume import Grid, Volume
from TomoRayCore.windows import FULL, Window
from TomoRayTraining.figures.style import NOTE_SIZE, PAGE_IN, note_lines, shown_name

LARGEST_DIFFERENCE_HU = 500.0
"""Ends of the difference's colours in wide windows: whole bones missed saturate them."""

NOT_SCANNED = "#C9D3E6"
SCALE_MM = 50
LETTER_SIZE, NAME_SIZE = 6.0, 7.0


@dataclass(frozen=True)
class Shown:
    """What a figure of one case shows.

    Attributes:
        case: Its name.
        ct: Ground truth.
        scts: Synthetic CT by method, on any grids.
        radiographs: Input views; at most three are shown.
        numbers: A line about each method in this case, e.g. its MAE; may lack methods.
        window: HU of black and white.
        input_note: Where the views come from.
    """

    case: str
    ct: Volume
    scts: Mapping[str, Volume]
    radiographs: Sequence[Radiograph]
    numbers: Mapping[str, str]
    window: Window = FULL
    input_note: str = ""


def panel_figure(shown: Shown) -> Figure:
    """Return rows ground truth and methods; columns sCT in three planes, difference in three.

    The planes meet in the middle of the truth's bone. Behind the ground truth stand the inputs.
    Slices lie in axes labelled ``ROW/PLANE`` and ``ROW/difference/PLANE``, views in ``view/LABEL``.
    """
    grid = min((display_grid(v) for v in shown.scts.values()), key=lambda g: g.spacing_ijk_mm)
    index = index_of(grid, head_centre(shown.ct))
    truth, known = on_grid(shown.ct, grid)
    volumes = {name: on_grid(sct, grid) for name, sct in shown.scts.items()}
    is_partial = not all(covered.all() for _, covered in [(truth, known), *volumes.values()])
    sheet = _Sheet(grid, len(volumes), _caption(shown, is_partial))
    limit = min(shown.window.width_hu / 2, LARGEST_DIFFERENCE_HU)
    greys = Normalize(shown.window.low_hu, shown.window.high_hu)
    signed = Normalize(-limit, limit)

    row = sheet.row(0, "truth", 0)
    grey = _show(row, truth, known, grid, index, greys, "gray")
    row[0].set_ylabel("Ground truth", fontsize=NAME_SIZE)
    for axes, plane in zip(row, PLANES, strict=True):
        axes.set_title(f"{plane.name}, {position_text(plane, centre_of(grid, index))}", pad=3)
    _scale_bar(row[0])
    for column, film in enumerate(shown.radiographs[:3], start=3):
        _show_view(sheet.cell(0, column, f"view/{film.view}"), film)
    for number, (name, (values, covered)) in enumerate(volumes.items(), start=1):
        row = sheet.row(number, name, 0)
        _show(row, values, covered, grid, index, greys, "gray")
        _name_row(row[0], shown_name(name), shown.numbers.get(name, ""))
        row = sheet.row(number, f"{name}/difference", 3)
        red = _show(row, values - truth, covered & known, grid, index, signed, "RdBu_r")
        if number == 1:
            row[1].set_title("Difference: sCT − ground truth", pad=3)
    window = shown.window
    sheet.bar(grey, 0, "CT number (HU)", (window.low_hu, window.level_hu, window.high_hu))
    sheet.bar(red, 3, "Difference (HU)", (-limit, 0, limit))
    sheet.figure.suptitle(
        shown.case, fontsize=9, y=1 - 0.06 / sheet.figure.get_figheight(), va="top"
    )
    return sheet.figure


class _Sheet:
    """Places on the page, in inches, so that panels touch at one scale.

    Args:
        grid: What all slices are cut from.
        methods: Rows below the ground truth.
        caption: Written at the bottom.
    """

    LEFT, GAP, TITLE, TOP, BAR, BAR_ROOM = 0.42, 0.03, 0.2, 0.25, 0.09, 0.48

    def __init__(self, grid: Grid, methods: int, caption: str) -> None:
        sizes = [plane_extent_mm(grid, plane) for plane in PLANES] * 2
        room = PAGE_IN - self.LEFT - 6 * self.GAP
        scale = room / sum(width for width, _ in sizes)
        self._widths = [width * scale for width, _ in sizes]
        self._height = max(height for _, height in sizes) * scale
        lines = note_lines(caption, PAGE_IN)
        self._below = 0.14 * len(lines) + 0.06
        rows = (methods + 1) * (self._height + self.GAP) + 2 * self.TITLE + self.TOP
        self._page = rows + self.BAR_ROOM + self._below
        self.figure = Figure(figsize=(PAGE_IN, self._page))
        self.figure.text(
            0.5, 0.04 / self._page, "\n".join(lines), ha="center", va="bottom",
            fontsize=NOTE_SIZE, color="0.25",
        )  # fmt: skip

    def cell(self, row: int, column: int, label: str) -> Axes:
        """Return axes for a panel."""
        x = self.LEFT + sum(self._widths[:column]) + column * self.GAP
        top = self.TOP + self.TITLE * (1 + (row > 0)) + row * (self._height + self.GAP)
        return self._axes(x, top, self._widths[column], self._height, label)

    def row(self, number: int, name: str, first: int) -> list[Axes]:
        """Return axes for three planes, from a column on."""
        return [self.cell(number, first + n, f"{name}/{p.name}") for n, p in enumerate(PLANES)]

    def bar(self, image: AxesImage, first: int, label: str, ticks: Sequence[float]) -> None:
        """Draw the colour bar below three columns."""
        x = self.LEFT + sum(self._widths[:first]) + first * self.GAP
        width = sum(self._widths[first : first + 3])
        top = self._page - self._below - self.BAR_ROOM + 0.05
        axes = self._axes(x + 0.15 * width, top, 0.7 * width, self.BAR, f"bar/{label}")
        bar = self.figure.colorbar(image, cax=axes, orientation="horizontal", extend="both")
        bar.set_label(label, labelpad=1)
        bar.set_ticks(list(ticks))

    def _axes(self, x: float, top: float, width: float, height: float, label: str) -> Axes:
        box = (x / PAGE_IN, 1 - (top + height) / self._page, width / PAGE_IN, height / self._page)
        return self.figure.add_axes(box, label=label)


def _show(
    columns: Sequence[Axes],
    values: NDArray[np.float32],
    covered: NDArray[np.bool_],
    grid: Grid,
    index: tuple[int, int, int],
    norm: Normalize,
    colours: str,
) -> AxesImage:
    """Draw a volume's three planes; return the last image."""
    for axes, plane in zip(columns, PLANES, strict=True):
        picture = np.ma.masked_array(cut(values, plane, index), ~cut(covered, plane, index))
        width_mm, height_mm = plane_extent_mm(grid, plane)
        image = axes.imshow(
            picture,
            cmap=_colours(colours),
            norm=norm,
            interpolation="none",
            extent=(0, width_mm, height_mm, 0),
        )
        _hang(axes, plane.letters)
    return image


def _colours(name: str) -> Colormap:
    return colormaps[name].with_extremes(bad=NOT_SCANNED)


def _hang(axes: Axes, letters: str) -> None:
    """Write the directions at left, right, top and bottom; take the ticks away."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    places = (
        (0.03, 0.5, "left", "center"),
        (0.97, 0.5, "right", "center"),
        (0.5, 0.97, "center", "top"),
        (0.5, 0.03, "center", "bottom"),
    )
    for letter, (x, y, side, height) in zip(letters, places, strict=True):
        _on_image(axes, x, y, letter, side, height)


def _on_image(axes: Axes, x: float, y: float, text: str, side: str, height: str) -> None:
    outline = [patheffects.withStroke(linewidth=1.5, foreground="black")]
    look: dict[str, Any] = {"fontsize": LETTER_SIZE, "color": "white", "path_effects": outline}
    axes.text(x, y, text, transform=axes.transAxes, ha=side, va=height, **look)


def _name_row(axes: Axes, name: str, numbers: str) -> None:
    axes.set_ylabel(f"{name}\n{numbers}" if numbers else name, fontsize=NAME_SIZE)


def _scale_bar(axes: Axes) -> None:
    y = 0.93 * axes.get_ylim()[0]
    outline = [patheffects.withStroke(linewidth=2.5, foreground="black")]
    axes.plot([8, 8 + SCALE_MM], [y, y], color="white", linewidth=1.5, path_effects=outline)
    axes.text(
        8, y - 4, f"{SCALE_MM // 10} cm", fontsize=LETTER_SIZE, color="white", va="bottom",
        path_effects=[patheffects.withStroke(linewidth=1.5, foreground="black")],
    )  # fmt: skip


def _show_view(axes: Axes, film: Radiograph) -> None:
    low, high = (float(p) for p in np.percentile(film.pixels, [0.5, 99.8]))
    if film.quantity == "line_integral":
        low = 0.0
    row_mm, column_mm = film.pixel_spacing_mm or (1.0, 1.0)
    rows, columns = film.shape
    axes.imshow(
        film.pixels,
        cmap="gray",
        vmin=low,
        vmax=max(high, low + 1e-6),
        interpolation="none",
        extent=(0, columns * column_mm, rows * row_mm, 0),
    )
    _hang(axes, "APSI" if film.view == "LAT" else "RLSI")
    axes.set_title(f"Input {film.view}", pad=3)


def _caption(shown: Shown, is_partial: bool) -> str:
    parts = [
        f"sCT: synthetic CT, not for diagnosis. Grey: HU window {shown.window.describe()}",
        "differences are not clipped to it; red: the sCT is denser, blue: less dense",
        "R right, L left, A anterior, P posterior, S superior, I inferior",
    ]
    if is_partial:
        parts.append("blue-grey: not scanned or not computed")
    if shown.input_note:
        parts.append(shown.input_note)
    return "; ".join(parts) + "."
