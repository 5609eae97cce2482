"""The numbers behind the figures, as rows of text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from TomoRayTraining.figures.evaluation import Evaluation
from TomoRayTraining.figures.names import better, metric_label
from TomoRayTraining.figures.style import shown_name
from TomoRayTraining.statistics import mean_with_interval

Rows = list[list[str]]


def score_table(evaluation: Evaluation) -> Rows:
    """Return, below a heading, each metric and method: n, mean with interval, median, quartiles."""
    rows = [["Metric", "Method", "n", "Mean [95 % CI]", "SD", "Median [IQR]"]]
    for metric in evaluation.metrics:
        direction = better(metric)
        label = metric_label(metric) + (f", {direction}" if direction else "")
        for method in evaluation.methods:
            values = list(evaluation.values(method, metric).values())
            if values:
                rows.append([label, shown_name(method), *_described(values)])
                label = ""
    return rows


def comparison_table(evaluation: Evaluation) -> Rows:
    """Return, below a heading, each pair of methods that the summary has a p value for."""
    rows = [["Metric", "Methods", "p", "", "Test"]]
    for metric in evaluation.metrics:
        for pair in evaluation.compared(metric):
            names = f"{shown_name(pair.first)} and {shown_name(pair.second)}"
            p = "< 0.0001" if pair.p_value < 1e-4 else f"{pair.p_value:.4f}"
            rows.append([metric_label(metric), names, p, pair.mark, pair.test])
    return rows


def definition_table(evaluation: Evaluation) -> Rows:
    """Return, below a heading, what the summary says each number means."""
    definitions = evaluation.summary.get("definitions")
    rows = [["Metric", "Definition"]]
    if isinstance(definitions, dict):
        rows += [[metric_label(name), str(text)] for name, text in definitions.items()]
    return rows


def _described(values: Sequence[float]) -> list[str]:
    array = np.asarray(values, float)
    digits = 1 if np.abs(array).max() >= 10 else 2 if np.abs(array).max() >= 1.5 else 3
    interval = mean_with_interval(values)
    low, middle, high = np.percentile(array, [25, 50, 75])
    mean, begin, end = (interval[key] for key in ("mean", "low", "high"))
    deviation = f"{array.std(ddof=1):.{digits}f}" if len(array) > 1 else "–"
    return [
        str(len(array)),
        f"{mean:.{digits}f} [{begin:.{digits}f}, {end:.{digits}f}]",
        deviation,
        f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]",
    ]
