"""Figures over patients, with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

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


def paired_comparison(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Return the mean difference first - second with its interval, and a signed-rank p value.

    Wilcoxon's signed-rank test, two-sided: the same patients under two methods. Without any
    difference, or with one patient, there is nothing to rank, and p is 1.
    """
    from scipy.stats import wilcoxon

    difference = np.asarray(first, float) - np.asarray(second, float)
    p_value = float(wilcoxon(difference).pvalue) if np.count_nonzero(difference) > 1 else 1.0
    return mean_with_interval(difference.tolist()) | {"p_signed_rank": p_value}
