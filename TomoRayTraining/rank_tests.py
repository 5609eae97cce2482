"""Wilcoxon's two tests with what belongs to them: shift, effect size, correction for many tests.

The definitions are those of R's ``wilcox.test``, with one difference: up to ``EXACT_UP_TO`` values
a p value is exact with ties too, from all signs (or all divisions into two groups) of the mid-ranks
that occurred, where R turns to the normal distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

EXACT_UP_TO = 50
"""Values (of each group) up to which p values are exact; beyond, a normal distribution."""

CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959963984540054

Numbers = NDArray[np.float64]


def signed_rank(differences: ArrayLike) -> dict[str, Any]:
    """Test whether paired differences are symmetric about 0: Wilcoxon's signed-rank test.

    Differences of exactly 0 are left out, as Wilcoxon did; equal sizes share their mean rank.
    Two-sided. Beyond ``EXACT_UP_TO`` differences: normal, with corrections for ties and continuity.

    Returns:
        ``statistic``: the rank sum of the positive differences; ``p``: 1 without any difference;
        ``pairs``: how many differed; ``rank_biserial``: (positive - negative rank sum) / both, from
        -1 to 1, 0 without any difference; ``exact``.
    """
    values = _finite(differences)
    values = values[values != 0]
    n = len(values)
    if n == 0:
        return {"statistic": 0.0, "p": 1.0, "pairs": 0, "rank_biserial": 0.0, "exact": True}
    ranks = _ranks(np.abs(values))
    positive = float(ranks[values > 0].sum())
    total = n * (n + 1) / 2
    exact = n <= EXACT_UP_TO
    if exact:
        p = _two_sided(_signed_rank_distribution(ranks), positive)
    else:
        spread = math.sqrt(float((ranks**2).sum()) / 4)
        p = _normal_p(positive - total / 2, spread)
    return {
        "statistic": positive,
        "p": p,
        "pairs": n,
        "rank_biserial": (2 * positive - total) / total,
        "exact": exact,
    }


def rank_sum(first: ArrayLike, second: ArrayLike) -> dict[str, Any]:
    """Test whether two groups of different patients have one distribution: the rank-sum test.

    Also known as Mann and Whitney's. Some papers use it on the same patients under two methods; it
    then ignores the pairing and finds less. Two-sided; equal values share their mean rank. Beyond
    ``EXACT_UP_TO`` values in a group: normal, with corrections for ties and continuity.

    Returns:
        ``statistic``: of how many pairs the first is larger, equal ones half; ``p``;
        ``cliffs_delta``: the share of pairs in which the first is larger less that in which it is
        smaller, from -1 to 1; ``exact``.

    Raises:
        ValueError: When a group is empty.
    """
    one, two = _finite(first), _finite(second)
    m, n = len(one), len(two)
    if not m or not n:
        raise ValueError("A rank-sum test needs two groups.")
    ranks = _ranks(np.concatenate([one, two]))
    statistic = float(ranks[:m].sum()) - m * (m + 1) / 2
    exact = max(m, n) <= EXACT_UP_TO
    if exact:
        p = _two_sided(_rank_sum_distribution(ranks, m), float(ranks[:m].sum()))
    else:
        variance = m * n * float(ranks.var()) / (m + n - 1)
        p = _normal_p(statistic - m * n / 2, math.sqrt(variance))
    return {
        "statistic": statistic,
        "p": p,
        "cliffs_delta": 2 * statistic / (m * n) - 1,
        "exact": exact,
    }


def shift(differences: ArrayLike) -> dict[str, Any]:
    """Return Hodges and Lehmann's estimate of paired differences' centre, with its interval.

    The median of all means of two differences, each with itself too; differences of 0 count. The
    interval is what the signed-rank test does not reject at 5 %, as if without ties. Fewer than six
    patients cannot give 95 %: the interval is then the whole range of the means, and ``confidence``
    says what it holds with.

    Returns:
        ``shift``, ``low``, ``high``, ``confidence``.

    Raises:
        ValueError: Without any difference.
    """
    values = _finite(differences)
    n = len(values)
    if not n:
        raise ValueError("A shift needs at least one difference.")
    first, second = np.triu_indices(n)
    means = np.sort((values[first] + values[second]) / 2)
    left_out, confidence = _left_out(n)
    return {
        "shift": float(np.median(means)),
        "low": float(means[left_out]),
        "high": float(means[-1 - left_out]),
        "confidence": confidence,
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for being a family, after Holm, in the order given."""
    order = np.argsort(p_values, kind="stable")
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * float(p_values[index])))
        corrected[int(index)] = largest
    return corrected


def _finite(values: ArrayLike) -> Numbers:
    array = np.asarray(values, np.float64).ravel()
    if not np.isfinite(array).all():
        raise ValueError("Ranks need finite numbers.")
    return array


def _ranks(values: Numbers) -> Numbers:
    """Return ranks from 1, equal values sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)


def _signed_rank_distribution(ranks: Numbers) -> Numbers:
    """Return the probability of each doubled sum of positive ranks; all signs are as likely."""
    doubled = np.rint(2 * ranks).astype(int)  # mean ranks are whole or halves
    chances = np.zeros(int(doubled.sum()) + 1)
    chances[0] = 1
    for rank in doubled:
        chances[rank:] = (chances[rank:] + chances[: len(chances) - rank]) / 2
        chances[:rank] /= 2
    return chances


def _rank_sum_distribution(ranks: Numbers, size: int) -> Numbers:
    """Return the probability of each doubled rank sum of a group; all groups are as likely."""
    doubled = np.rint(2 * ranks).astype(int)
    ways = np.zeros((size + 1, int(doubled.sum()) + 1))
    ways[0, 0] = 1
    for rank in doubled:
        ways[1:, rank:] += ways[:-1, : ways.shape[1] - rank].copy()
    return np.asarray(ways[size] / ways[size].sum())


def _two_sided(chances: Numbers, statistic: float) -> float:
    """Return twice the smaller tail, at most 1."""
    place = round(2 * statistic)
    tails = float(chances[: place + 1].sum()), float(chances[place:].sum())
    return min(1.0, 2 * min(tails))


def _normal_p(distance: float, spread: float) -> float:
    """Return the two-sided p value, half a step off the distance for continuity."""
    if spread == 0:
        return 1.0
    return math.erfc(max(0.0, abs(distance) - 0.5) / spread / math.sqrt(2))


def _left_out(n: int) -> tuple[int, float]:
    """Return how many means to leave out at either end of the sorted ones, and the confidence."""
    steps = n * (n + 1) / 2
    tail = (1 - CONFIDENCE) / 2
    if n > EXACT_UP_TO:
        spread = math.sqrt(steps * (2 * n + 1) / 12)
        return max(0, math.floor(steps / 2 - NORMAL_QUANTILE * spread)), CONFIDENCE
    below = np.cumsum(_signed_rank_distribution(np.arange(1.0, n + 1))[::2])  # P(W <= w)
    left_out = max(0, int(np.searchsorted(below, tail * (1 + 1e-12), side="right")) - 1)
    return left_out, 1 - 2 * float(below[left_out])
