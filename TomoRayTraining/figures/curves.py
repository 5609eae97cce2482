"""Training curves: each loss term and validation metric over the steps, runs on top of each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from TomoRayTraining.figures.names import better, metric_label
from TomoRayTraining.figures.runs import Curve, Run
from TomoRayTraining.figures.style import PAGE_IN, colour, dash, write_note

COLUMNS = 3
SMOOTHED_SHARE = 0.02
"""Share of a run's steps that a point of the thick line averages."""

LOGARITHMIC_FROM = 20.0
"""Ratio of largest to smallest value from which an axis is logarithmic."""

RAW, SMOOTH = "raw", "smooth"
"""Marks (gid) of the lines, with a run's name: ``raw:RUN``."""


def curves_figure(runs: Sequence[Run]) -> Figure:
    """Return one panel a term, the generator's loss first, then one a validation metric."""
    terms = sorted(_names(run.terms for run in runs), key=_importance)
    metrics = _names(run.validation for run in runs)
    panels = len(terms) + len(metrics)
    groups = [group for run in runs for group in (run.terms, run.validation)]
    last = max(step for group in groups for curve in group.values() for step in curve)
    columns = min(COLUMNS, panels)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(PAGE_IN, 0.8 + 1.9 * rows), layout="constrained")
    for place in range(panels):
        axes = figure.add_subplot(rows, columns, place + 1)
        if place < len(terms):
            name = terms[place]
            _draw(
                axes, {n: run.terms[name] for n, run in enumerate(runs) if name in run.terms}, runs
            )
            axes.set_ylabel(_term_label(name))
        else:
            name = metrics[place - len(terms)]
            held = {n: run.validation[name] for n, run in enumerate(runs) if name in run.validation}
            _draw(axes, held, runs, is_validation=True)
            axes.set_ylabel(f"Validation {metric_label(name)}")
            axes.set_title(better(name), fontsize=7, color="0.35", loc="left")
        axes.set_xlabel("Step")
        axes.set_xlim(0, max(last, 1) * 1.02)
    figure.align_ylabels()
    _legend(figure, runs)
    write_note(
        figure,
        "Faint: each step; thick: running mean over "
        f"{100 * SMOOTHED_SHARE:.0f} % of the steps. Loss terms without their weights, dimensionless; "
        "gaps: values that were not finite.",
    )
    return figure


def running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means over the steps around each, fewer at the ends; NaN is left out."""
    half = round(len(values) * SMOOTHED_SHARE / 2)
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    here = np.arange(len(values))
    first, last = np.maximum(here - half, 0), np.minimum(here + half + 1, len(values))
    number = counts[last] - counts[first]
    with np.errstate(invalid="ignore"):
        return np.asarray(
            np.where(number > 0, (sums[last] - sums[first]) / np.maximum(number, 1), np.nan)
        )


def _draw(
    axes: Axes, curves: Mapping[int, Curve], runs: Sequence[Run], is_validation: bool = False
) -> None:
    for place, curve in curves.items():
        steps = np.array(list(curve), float)
        values = np.array(list(curve.values()), float)
        look = {"color": colour(place), "linestyle": dash(place)}
        name = runs[place].name
        if is_validation:
            axes.plot(steps, values, marker="o", markersize=2.5, gid=f"{RAW}:{name}", **look)
            continue
        # A single point has no line.
        marker = "." if len(steps) == 1 else ""
        axes.plot(
            steps, values, color=colour(place), alpha=0.25, linewidth=0.5, marker=marker,
            gid=f"{RAW}:{name}",
        )  # fmt: skip
        axes.plot(steps, running_mean(values), gid=f"{SMOOTH}:{name}", **look)
    everything = np.array([v for curve in curves.values() for v in curve.values()], float)
    everything = everything[np.isfinite(everything)]
    if is_validation or not len(everything) or everything.min() <= 0:
        return
    if everything.max() / everything.min() >= LOGARITHMIC_FROM:
        axes.set_yscale("log")
        # Over few decades powers of ten alone would leave the axis nearly empty.
        wide = everything.max() / everything.min() > 1e3
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, runs: Sequence[Run]) -> None:
    if len(runs) < 2:
        figure.suptitle(runs[0].name, fontsize=9)
        return
    lines = [Line2D([], [], color=colour(n), linestyle=dash(n)) for n in range(len(runs))]
    figure.legend(
        lines, [run.name for run in runs], loc="outside upper center", ncols=min(4, len(runs))
    )


def _names(groups: Iterable[Mapping[str, Curve]]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for name in group))


def _importance(name: str) -> tuple[bool, bool, bool]:
    """The loss, its terms, then gradients; the generator before its adversaries."""
    return "/" in name, name.endswith("gradient"), not name.endswith("loss")


def _term_label(name: str) -> str:
    network, _, term = name.rpartition("/")
    term = {"l1": "L1", "mse": "MSE", "gradient": "gradient norm"}.get(term, term)
    term = term.replace("_", " ")
    text = f"{network.replace('_', ' ')}: {term}" if network else term
    return text if network or term[:1].isupper() else text[:1].upper() + text[1:]
