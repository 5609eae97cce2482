"""Box plots: all patients as points, methods side by side, brackets where they were compared."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from TomoRayTraining.figures.evaluation import Evaluation
from TomoRayTraining.figures.names import better, metric_label
from TomoRayTraining.figures.significance import LEGEND, Comparison
from TomoRayTraining.figures.style import COLUMN_IN, PAGE_IN, colour, shown_name, write_note

MOST_BRACKETS = 4
"""With more pairs, marks stand above the methods instead, all against one of them."""

MOST_JOINED = 3
"""With more methods, lines that join a patient's points hide the boxes."""

POINTS, BRACKET, MARK = "points", "bracket", "mark"
"""Names (gid) of the drawn points, ``points:METHOD``, brackets, and marks ``mark:METHOD``."""


def box_figure(evaluation: Evaluation, metric: str) -> Figure:
    """Return one metric's box plot, a journal's column wide, or wider with many methods."""
    shown = _methods(evaluation, metric)
    width = float(np.clip(1.0 + 0.75 * len(shown), COLUMN_IN, PAGE_IN))
    figure = Figure(figsize=(width, 3.4), layout="constrained")
    draw_boxes(figure.add_subplot(), evaluation, metric)
    write_note(figure, note(evaluation, [metric]))
    return figure


def overview_figures(evaluation: Evaluation) -> list[Figure]:
    """Return all metrics, as many on a page as fit."""
    columns = 3 if len(evaluation.methods) <= 4 else 2
    metrics, full = evaluation.metrics, 3 * columns
    return [
        _page(evaluation, metrics[first : first + full], columns)
        for first in range(0, len(metrics), full)
    ]


def _page(evaluation: Evaluation, metrics: Sequence[str], columns: int) -> Figure:
    columns = min(columns, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    figure = Figure(figsize=(PAGE_IN, 0.4 + 2.8 * rows), layout="constrained")
    for place, metric in enumerate(metrics, start=1):
        draw_boxes(figure.add_subplot(rows, columns, place), evaluation, metric)
    write_note(figure, note(evaluation, metrics))
    return figure


def draw_boxes(axes: Axes, evaluation: Evaluation, metric: str) -> None:
    """Draw one metric into axes."""
    methods = _methods(evaluation, metric)
    values = [evaluation.values(method, metric) for method in methods]
    _join_patients(axes, values)
    for place, (method, own) in enumerate(zip(methods, values, strict=True)):
        tint = colour(evaluation.methods.index(method))
        heights = list(own.values())
        axes.boxplot(
            heights,
            positions=[place],
            widths=0.55,
            showfliers=False,
            patch_artist=True,
            boxprops={"facecolor": tint, "alpha": 0.3, "linewidth": 0.8},
            medianprops={"color": "black", "linewidth": 1.4},
            whiskerprops={"linewidth": 0.8},
            capprops={"linewidth": 0.8},
            zorder=2,
        )
        points = axes.scatter(
            place + _spread(heights), heights, s=9, color=tint, linewidths=0, zorder=3
        )
        points.set_gid(f"{POINTS}:{method}")
    names = [
        textwrap.fill(shown_name(m), 14) + f"\nn = {len(own)}"
        for m, own in zip(methods, values, strict=True)
    ]
    crowded = len(methods) > 4
    axes.set_xticks(range(len(methods)), names, rotation=90 if crowded else 0)
    axes.set_xlim(-0.6, len(methods) - 0.4)
    axes.set_ylabel(metric_label(metric))
    axes.set_title(better(metric), fontsize=7, color="0.35", loc="left")
    pairs, reference = _drawn(evaluation, metric)
    if reference is None:
        _draw_brackets(axes, methods, pairs)
    else:
        _draw_marks(axes, methods, pairs, reference)


def note(evaluation: Evaluation, metrics: Sequence[str]) -> str:
    """Return what a caption has to say of these plots."""
    parts = [
        "Points: patients. Box: quartiles and median; whiskers: within 1.5 interquartile ranges"
    ]
    if any(len(evaluation.cases[m]) > len(evaluation.patients[m]) for m in evaluation.methods):
        parts.append("a patient's point is the mean of the patient's cases")
    if 1 < len(evaluation.methods) <= MOST_JOINED:
        parts.append("grey lines join a patient's points")
    drawn = [_drawn(evaluation, metric) for metric in metrics]
    tests = dict.fromkeys(pair.test for pairs, _ in drawn for pair in pairs)
    if tests:
        parts.append(f"{LEGEND} ({' or '.join(tests)})")
    references = dict.fromkeys(shown_name(r) for _, r in drawn if r is not None)
    if references:
        parts.append(f"ref.: what is compared with, {' or '.join(references)}")
    return "; ".join(parts) + "."


def _methods(evaluation: Evaluation, metric: str) -> list[str]:
    return [m for m in evaluation.methods if evaluation.values(m, metric)]


def _drawn(evaluation: Evaluation, metric: str) -> tuple[list[Comparison], str | None]:
    """Return the pairs to mark and, where they are too many for brackets, whom they all have."""
    shown = _methods(evaluation, metric)
    pairs = [c for c in evaluation.compared(metric) if {c.first, c.second} <= set(shown)]
    if len(pairs) <= MOST_BRACKETS:
        return pairs, None
    common = set.intersection(*({c.first, c.second} for c in pairs))
    reference = common.pop() if common else shown[0]
    return [c for c in pairs if reference in (c.first, c.second)], reference


def _join_patients(axes: Axes, values: Sequence[dict[str, float]]) -> None:
    if not 1 < len(values) <= MOST_JOINED:
        return
    for place, (left, right) in enumerate(itertools.pairwise(values)):
        for patient in sorted(left.keys() & right.keys()):
            heights = [left[patient], right[patient]]
            # From box to box: points are scattered sideways only so that they do not hide.
            axes.plot([place + 0.3, place + 0.7], heights, color="0.75", linewidth=0.5, zorder=1)


def _spread(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return offsets to the sides, always the same, so that equal values stay visible."""
    if len(values) < 2:
        return np.zeros(len(values))
    side = np.random.default_rng(0).permutation(len(values))
    return np.asarray((side / (len(values) - 1) - 0.5) * 0.36, np.float64)


def _draw_marks(
    axes: Axes, methods: Sequence[str], pairs: Sequence[Comparison], reference: str
) -> None:
    """Write above each method how it differs from the reference."""
    marks = {c.second if c.first == reference else c.first: c.mark for c in pairs}
    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
    for method, mark in {**marks, reference: "ref."}.items():
        place, y = methods.index(method), high + 0.01 * (high - low)
        axes.text(place, y, mark, ha="center", va="bottom", fontsize=7, gid=f"{MARK}:{method}")
    axes.set_yticks(ticks)
    axes.set_ylim(low, high + 0.08 * (high - low))
    axes.spines["left"].set_bounds(low, high)


def _draw_brackets(axes: Axes, methods: Sequence[str], pairs: Sequence[Comparison]) -> None:
    """Draw brackets above the data, short ones lowest, no two overlapping on one level."""
    low, high = axes.get_ylim()
    span = high - low
    ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
    levels: list[list[tuple[int, int]]] = []
    ends = [(sorted(methods.index(m) for m in (c.first, c.second)), c.mark) for c in pairs]
    for (left, right), mark in sorted(ends, key=lambda end: (end[0][1] - end[0][0], end[0])):
        fits = (n for n, level in enumerate(levels) if _is_free(level, left, right))
        number = next(fits, len(levels))
        if number == len(levels):
            levels.append([])
        levels[number].append((left, right))
        y, tip = high + span * (0.02 + 0.1 * number), span * 0.02
        (line,) = axes.plot(
            [left + 0.05, left + 0.05, right - 0.05, right - 0.05],
            [y, y + tip, y + tip, y],
            color="black",
            linewidth=0.8,
        )
        line.set_gid(BRACKET)
        axes.text((left + right) / 2, y + tip, mark, ha="center", va="bottom", fontsize=7)
    # No ticks beside the brackets: an SSIM axis does not go on above 1.
    axes.set_yticks(ticks)
    axes.set_ylim(low, high + span * 0.1 * len(levels))
    if levels:
        axes.spines["left"].set_bounds(low, high)


def _is_free(level: Sequence[tuple[int, int]], left: int, right: int) -> bool:
    return all(right <= begin or left >= end for begin, end in level)
