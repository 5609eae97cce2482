"""The picture that needs no ground truth: input radiographs beside the sCT's own projections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from TomoRayCore.errors import InputError
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.report_drawing import (
    AMBER,
    BAR,
    FAINT,
    GAP,
    PANEL,
    SMALL,
    blank,
    colour_bar,
    diverging,
    framed,
    letter_borders,
    row_of,
    shortened,
    stack,
    write,
)
from TomoRayCore.report_slices import to_image
from TomoRayCore.windows import Window


def radiograph_picture(
    inputs: Sequence[Radiograph],
    reprojections: Sequence[NDArray[np.floating[Any]]],
    *,
    names: tuple[str, str] = ("Input", "DRR of the synthetic CT"),
) -> Image.Image:
    """Return a row for each view: the input radiograph, the sCT's DRR, their difference.

    A film's grey scale is unknown, so the DRR is first brought to it by the straight line that
    fits best; where the input holds line integrals itself, both keep their numbers.

    Args:
        inputs: Measured radiographs or DRRs.
        reprojections: The sCT's projection in each input's geometry, of the input's shape.
        names: Headings of the first two columns.

    Raises:
        InputError: ``BAD_PROJECTIONS`` when numbers or shapes do not match.
    """
    if len(inputs) != len(reprojections) or any(
        film.shape != np.shape(drr) for film, drr in zip(inputs, reprojections, strict=False)
    ):
        raise InputError(
            "BAD_PROJECTIONS",
            f"{len(inputs)} radiographs of shapes {[film.shape for film in inputs]} do not match "
            f"projections of shapes {[np.shape(drr) for drr in reprojections]}.",
            "Project the synthetic CT with each radiograph's own geometry and size.",
        )
    rows = [_view_row(film, drr, names) for film, drr in zip(inputs, reprojections, strict=True)]
    heading = blank(3 * PANEL + 3 * GAP + BAR, 30)
    write(heading, (0, 6), "Projections")
    return framed(stack([heading, *rows]))


def _view_row(
    film: Radiograph, drr: NDArray[np.floating[Any]], names: tuple[str, str]
) -> Image.Image:
    measured, computed = film.pixels.astype(np.float64), np.asarray(drr, np.float64)
    calibrated = film.quantity == "line_integral"
    slope, offset = (1.0, 0.0) if calibrated else _line_fit(computed, measured)
    fitted = computed * slope + offset
    low, high = (float(p) for p in np.percentile(measured, [0.5, 99.8]))
    if calibrated:
        low = 0.0
    grey = Window("film", (low + high) / 2, max(high - low, 1e-6))
    limit = grey.width_hu / 4
    letters = "APSI" if film.view == "LAT" else "RLSI"
    correlation = _correlation(measured, computed)
    unit = "line integral of mu" if calibrated else "grey value, DRR fitted by a straight line"
    agreement = "undefined" if correlation is None else f"{correlation:.4f}"
    parts = (
        (grey.to_uint8(measured), f"{film.view}: {names[0]}", False),
        (grey.to_uint8(fitted), f"{film.view}: {names[1]}", True),
        (diverging(fitted - measured, limit), f"DRR - input; correlation {agreement}", False),
    )
    columns = []
    for values, title, synthetic in parts:
        panel = to_image(values, np.ones(film.shape, bool), _film_size(film))
        letter_borders(panel, letters)
        if synthetic:
            write(
                panel,
                (6, panel.height - 6),
                "SYNTHETIC",
                size=SMALL,
                colour=AMBER,
                anchor="ld",
                outlined=True,
            )
        heading = blank(PANEL, 22)
        write(heading, (0, 3), shortened(title, SMALL, PANEL), size=SMALL)
        columns.append(stack([heading, panel]))
    ticks = (f"{-limit:.3g}", "0", f"+{limit:.3g}")
    colours = diverging(np.linspace(-limit, limit, 255), limit)
    bar = colour_bar(colours, ticks, columns[0].height - 22, BAR, "DRR - input")
    row = row_of([*columns, stack([blank(BAR, 22), bar])])
    footer = blank(row.width, 24)
    note = f"Grey: {low:.3g} to {high:.3g} ({unit})"
    write(footer, (0, 3), shortened(note, SMALL, row.width), size=SMALL, colour=FAINT)
    return stack([row, footer])


def _film_size(film: Radiograph) -> tuple[int, int]:
    """Return the panel size, with square pixels where the spacing is unknown."""
    row_mm, column_mm = film.pixel_spacing_mm or (1.0, 1.0)
    height_mm, width_mm = film.shape[0] * row_mm, film.shape[1] * column_mm
    scale = PANEL / max(height_mm, width_mm)
    return max(1, round(width_mm * scale)), max(1, round(height_mm * scale))


def _line_fit(values: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and offset that bring values closest to a target, in least squares."""
    spread = float(values.var())
    if spread == 0:
        return 0.0, float(target.mean())
    slope = float(((values - values.mean()) * (target - target.mean())).mean()) / spread
    return slope, float(target.mean() - slope * values.mean())


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    if first.std() == 0 or second.std() == 0:
        return None
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])
