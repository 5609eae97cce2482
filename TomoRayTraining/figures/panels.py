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
from matplotlib.gridspec import GridSpec
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
from TomoRayTraining.figures.style import PAGE_IN, shown_name, write_note

LARGEST_DIFFERENCE_HU = 500.0
"""Ends of the difference's colours in wide windows: whole bones missed saturate them."""

NOT_SCANNED = "#C9D3E6"
SCALE_MM = 50
LETTER_SIZE = 6.0


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
    figure, cells = _sheet(grid, len(shown.scts))
    truth, known = on_grid(shown.ct, grid)
    limit = min(shown.window.width_hu / 2, LARGEST_DIFFERENCE_HU)
    greys = Normalize(shown.window.low_hu, shown.window.high_hu)
    signed = Normalize(-limit, limit)

    left = [
        figure.add_subplot(cells[0, column], label=f"truth/{p.name}")
        for column, p in enumerate(PLANES)
    ]
    grey = _row(left, truth, known, grid, index, greys, "gray")
    _name_row(left[0], "Ground truth", "")
    for axes, plane in zip(left, PLANES, strict=True):
        axes.set_title(f"{plane.name}, {position_text(plane, centre_of(grid, index))}")
    _scale_bar(left[0])
    _draw_views(figure, cells, shown.radiographs)

    all_left, all_right, coloured = list(left), [], grey
    partly = not known.all()
    for row, (name, sct) in enumerate(shown.scts.items(), start=1):
        values, covered = on_grid(sct, grid)
        partly = partly or not covered.all()
        left = [
            figure.add_subplot(cells[row, n], label=f"{name}/{p.name}")
            for n, p in enumerate(PLANES)
        ]
        right = [
            figure.add_subplot(cells[row, 3 + n], label=f"{name}/difference/{p.name}")
            for n, p in enumerate(PLANES)
        ]
        _row(left, values, covered, grid, index, greys, "gray")
        coloured = _row(right, values - truth, covered & known, grid, index, signed, "RdBu_r")
        _name_row(left[0], shown_name(name), shown.numbers.get(name, ""))
        if row == 1:
            right[1].set_title("Difference: sCT − ground truth")
        all_left += left
        all_right += right

    look: dict[str, Any] = {"location": "bottom", "shrink": 0.7, "aspect": 35, "pad": 0.01}
    bar = figure.colorbar(grey, ax=all_left, label="CT number (HU)", **look)
    bar.set_ticks([shown.window.low_hu, shown.window.level_hu, shown.window.high_hu])
    bar = figure.colorbar(
        coloured,
        ax=all_right,
        label="Difference (HU)",
        extend="both",
        **look,
    )
    bar.set_ticks([-limit, 0, limit])
    figure.suptitle(shown.case, fontsize=9)
    _write_caption(figure, shown, partly)
    return figure


def _sheet(grid: Grid, methods: int) -> tuple[Figure, GridSpec]:
    sizes = [plane_extent_mm(grid, plane) for plane in PLANES]
    widths = [width for width, _ in sizes] * 2
    inch_per_mm = (PAGE_IN - 0.5) / sum(widths)
    row = max(height for _, height in sizes) * inch_per_mm
    # Room for titles, colour bars and the caption.
    figure = Figure(figsize=(PAGE_IN, 1.5 + (methods + 1) * (row + 0.06)), layout="constrained")
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(w_pad=0.015, h_pad=0.02, wspace=0.0, hspace=0.0)  # type: ignore[call-arg]
    return figure, GridSpec(methods + 1, 6, figure=figure, width_ratios=widths)


def _row(
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
    axes.set_ylabel(f"{name}\n{numbers}" if numbers else name, fontsize=7)


def _scale_bar(axes: Axes) -> None:
    y = 0.93 * axes.get_ylim()[0]
    outline = [patheffects.withStroke(linewidth=2.5, foreground="black")]
    axes.plot([8, 8 + SCALE_MM], [y, y], color="white", linewidth=1.5, path_effects=outline)
    axes.text(
        8, y - 4, f"{SCALE_MM // 10} cm", fontsize=LETTER_SIZE, color="white", va="bottom",
        path_effects=[patheffects.withStroke(linewidth=1.5, foreground="black")],
    )  # fmt: skip


def _draw_views(figure: Figure, cells: GridSpec, radiographs: Sequence[Radiograph]) -> None:
    for column, film in enumerate(radiographs[:3], start=3):
        axes = figure.add_subplot(cells[0, column], label=f"view/{film.view}")
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
        axes.set_title(f"Input {film.view}")


def _write_caption(figure: Figure, shown: Shown, partly: bool) -> None:
    parts = [
        f"sCT: synthetic CT. HU window {shown.window.describe()}",
        "differences are not clipped to it; red: the sCT is denser, blue: less dense",
        "R right, L left, A anterior, P posterior, S superior, I inferior",
    ]
    if partly:
        parts.append("blue-grey: not scanned or not computed")
    if shown.input_note:
        parts.append(shown.input_note)
    write_note(figure, "; ".join(parts) + ".")
