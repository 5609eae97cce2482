"""Figures over patients, with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from TomoRayTraining.rank_tests import rank_sum, shift, signed_rank

BOOTSTRAP_SAMPLES = 10_000


def mean_with_interval(values: Sequence[float], seed: int = 0) -> dict[str, Any]:
    """Return mean and 95 % percentile bootstrap interval over patients.

    Keys: ``mean``, ``low``, ``high``, ``patients``.
    """
    array = np.asarray(values, float)
    draws = np.random.default_rng(seed).integers(len(array), size=(BOOTSTRAP_SAMPLES, len(array)))
    low, high = np.percentile(array[draws].mean(axis=1), [2.5, 97.5])
    return {
        "mean": float(array.mean()),
        "low": float(low),
        "high": float(high),
        "patients": len(array),
    }


def median_with_quartiles(values: Sequence[float]) -> dict[str, float]:
    """Return ``median``, ``q1`` and ``q3``, interpolated linearly between values."""
    q1, median, q3 = np.percentile(np.asarray(values, float), [25, 50, 75])
    return {"median": float(median), "q1": float(q1), "q3": float(q3)}


def paired_comparison(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Return the mean difference first - second with its interval, and a signed-rank p value.

    Wilcoxon's signed-rank test, two-sided: the same patients under two methods. Without any
    difference, or with one patient, p is 1.
    """
    difference = np.asarray(first, float) - np.asarray(second, float)
    return mean_with_interval(difference.tolist()) | {"p_signed_rank": signed_rank(difference)["p"]}


def full_comparison(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Return all that is said of two methods on the same patients, first - second.

    What ``paired_comparison`` returns, and ``shift``, ``shift_low``, ``shift_high``,
    ``shift_confidence`` (Hodges and Lehmann), ``rank_biserial``, ``pairs_that_differ``,
    ``p_rank_sum`` (as some papers publish it, blind to the pairing) and ``cliffs_delta``.
    """
    difference = np.asarray(first, float) - np.asarray(second, float)
    paired, blind, centre = signed_rank(difference), rank_sum(first, second), shift(difference)
    return {
        **paired_comparison(first, second),
        "shift": centre["shift"],
        "shift_low": centre["low"],
        "shift_high": centre["high"],
        "shift_confidence": centre["confidence"],
        "rank_biserial": paired["rank_biserial"],
        "pairs_that_differ": paired["pairs"],
        "p_rank_sum": blind["p"],
        "cliffs_delta": blind["cliffs_delta"],
    }
