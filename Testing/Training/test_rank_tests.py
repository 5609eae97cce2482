"""p values, effect sizes and shifts, beside enumeration and beside scipy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from TomoRayTraining.rank_tests import holm, rank_sum, shift, signed_rank


def enumerated_signed_rank(differences: list[float]) -> float:
    """All signs of the mid-ranks, one by one."""
    values = [d for d in differences if d]
    ranks = stats.rankdata(np.abs(values))
    seen = sum(rank for rank, d in zip(ranks, values, strict=True) if d > 0)
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    tails = sum(s <= seen for s in sums), sum(s >= seen for s in sums)
    return min(1.0, 2 * min(tails) / len(sums))


def enumerated_rank_sum(first: list[float], second: list[float]) -> float:
    """All divisions of the mid-ranks, one by one."""
    ranks = stats.rankdata([*first, *second])
    seen = ranks[: len(first)].sum()
    sums = [sum(group) for group in itertools.combinations(ranks, len(first))]
    tails = sum(s <= seen for s in sums), sum(s >= seen for s in sums)
    return min(1.0, 2 * min(tails) / len(sums))


@pytest.mark.parametrize(("n", "p"), [(5, 2 / 32), (6, 2 / 64), (7, 2 / 128), (8, 2 / 256)])
def test_everybody_better_is_the_least_likely_of_all_signs(n, p):
    result = signed_rank(np.arange(1.0, n + 1))
    assert result["p"] == p
    assert (result["statistic"], result["rank_biserial"]) == (n * (n + 1) / 2, 1.0)


def test_a_signed_rank_p_value_by_hand():
    """Ranks 1 to 5 with 2 negative: sums of at most 2 are {}, {1}, {2}: 2 * 3 / 32."""
    result = signed_rank([1.0, -2.0, 3.0, 4.0, 5.0])
    assert result["statistic"] == 13
    assert result["p"] == 6 / 32
    assert result["rank_biserial"] == (13 - 2) / 15


def test_the_textbook_depression_scores_have_their_textbook_p_value():
    """Hollander and Wolfe's example, which R's help shows: V = 40, two-sided p = 0.0390625."""
    before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    result = signed_rank(np.subtract(before, after))
    assert (result["statistic"], result["p"]) == (40, 0.0390625)


def test_the_textbook_permeability_has_its_textbook_p_value():
    """Hollander and Wolfe's example, which R's help shows: W = 35, one-sided p = 0.1272."""
    at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    earlier = [1.15, 0.88, 0.90, 0.74, 1.21]
    result = rank_sum(at_term, earlier)
    assert result["statistic"] == 35
    assert result["p"] / 2 == pytest.approx(0.1272, abs=5e-5)
    assert result["cliffs_delta"] == pytest.approx(2 * 35 / 50 - 1)


@pytest.mark.parametrize("n", [5, 6, 7, 8])
@pytest.mark.parametrize("ties", [False, True])
def test_signed_rank_is_the_enumeration_of_all_signs(n, ties):
    random = np.random.default_rng(n)
    values = random.integers(-3, 6, n).astype(float) if ties else random.normal(0.4, 1, n)
    assert signed_rank(values)["p"] == pytest.approx(enumerated_signed_rank(values.tolist()))


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 4), (3, 4), (5, 5), (6, 4)])
@pytest.mark.parametrize("ties", [False, True])
def test_rank_sum_is_the_enumeration_of_all_groups(m, n, ties):
    random = np.random.default_rng(10 * m + n)
    one, two = random.normal(0, 1, m), random.normal(0.7, 1, n)
    if ties:
        one, two = np.rint(one * 2), np.rint(two * 2)
    p = rank_sum(one, two)["p"]
    assert p == pytest.approx(enumerated_rank_sum(one.tolist(), two.tolist()))


@pytest.mark.parametrize("n", [1, 2, 9, 30, 50, 51, 120])
def test_signed_rank_agrees_with_scipy(n):
    values = np.random.default_rng(n).normal(0.25, 1, n)
    method = "exact" if n <= 50 else "asymptotic"
    theirs = stats.wilcoxon(values, method=method, correction=n > 50)
    assert signed_rank(values)["p"] == pytest.approx(theirs.pvalue, rel=1e-9)


def test_many_ties_and_zeros_agree_with_scipy():
    values = np.random.default_rng(3).integers(-3, 5, 90)
    theirs = stats.wilcoxon(values, method="asymptotic", correction=True)
    assert (values == 0).any()
    assert signed_rank(values)["p"] == pytest.approx(theirs.pvalue, rel=1e-9)


@pytest.mark.parametrize(("m", "n"), [(2, 9), (20, 15), (50, 50), (51, 20), (90, 80)])
def test_rank_sum_agrees_with_scipy(m, n):
    random = np.random.default_rng(m)
    one, two = random.normal(0, 1, m), random.normal(0.4, 1, n)
    method = "exact" if max(m, n) <= 50 else "asymptotic"
    theirs = stats.mannwhitneyu(one, two, method=method)
    result = rank_sum(one, two)
    assert (result["p"], result["statistic"]) == pytest.approx((theirs.pvalue, theirs.statistic))


def test_many_equal_values_in_large_groups_agree_with_scipy():
    random = np.random.default_rng(5)
    one, two = random.integers(0, 9, 70), random.integers(2, 9, 80)
    theirs = stats.mannwhitneyu(one, two, method="asymptotic")
    assert rank_sum(one, two)["p"] == pytest.approx(theirs.pvalue, rel=1e-9)


def test_pairing_finds_what_groups_hide():
    truth = np.random.default_rng(1).normal(0, 100, 20)
    assert signed_rank(truth + 1 - truth)["p"] < 1e-5
    assert rank_sum(truth + 1, truth)["p"] > 0.5


def test_zero_differences_are_left_out():
    some = [0.0, 1.0, -2.0, 0.0, 4.0]
    assert signed_rank(some) == signed_rank([1.0, -2.0, 4.0])
    nothing = signed_rank([0.0, 0.0])
    assert (nothing["p"], nothing["pairs"], nothing["rank_biserial"]) == (1.0, 0, 0.0)


@pytest.mark.parametrize("n", [3, 30, 200])
def test_equal_groups_do_not_differ(n):
    result = rank_sum(np.ones(n), np.ones(n))
    assert (result["p"], result["cliffs_delta"]) == (1.0, 0.0)


def test_cliffs_delta_counts_pairs():
    one, two = [1.0, 3.0, 3.0], [2.0, 3.0]
    larger = sum(a > b for a in one for b in two)
    smaller = sum(a < b for a in one for b in two)
    assert rank_sum(one, two)["cliffs_delta"] == pytest.approx((larger - smaller) / 6)


def test_swapping_turns_effects_round_and_leaves_p():
    values = [1.0, -2.5, 3.0, 4.0, -0.5]
    one, two = signed_rank(values), signed_rank(np.negative(values))
    assert one["rank_biserial"] == pytest.approx(-two["rank_biserial"])
    assert one["p"] == two["p"]
    a, b = rank_sum([1, 2, 9], [3, 3]), rank_sum([3, 3], [1, 2, 9])
    assert a["cliffs_delta"] == pytest.approx(-b["cliffs_delta"])
    assert a["p"] == pytest.approx(b["p"])


def test_the_shift_is_the_median_of_all_means_of_two():
    """1, 2 and 6: the means are 1, 1.5, 2, 3.5, 4, 6."""
    result = shift([1.0, 6.0, 2.0])
    assert result["shift"] == pytest.approx(2.75)
    assert (result["low"], result["high"], result["confidence"]) == (1, 6, 1 - 2 / 8)


def test_the_interval_of_the_shift_is_what_the_test_does_not_reject():
    values = np.random.default_rng(4).normal(1, 1, 12)
    result = shift(values)
    inside, outside = 1e-9, -1e-9
    for edge, inward in ((result["low"], 1), (result["high"], -1)):
        assert signed_rank(values - edge - inward * inside)["p"] >= 0.05
        assert signed_rank(values - edge - inward * outside)["p"] < 0.05
    assert 0.95 <= result["confidence"] < 0.97


def test_the_textbook_shift_and_interval_of_eight_differences():
    """Critical value 3 for n = 8: the fourth means from either end, with 1 - 10 / 256."""
    values = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
    means = sorted((a + b) / 2 for a, b in itertools.combinations_with_replacement(values, 2))
    result = shift(values)
    assert (result["low"], result["high"]) == (means[3], means[-4])
    assert result["confidence"] == 1 - 10 / 256


def test_exact_and_normal_intervals_of_the_shift_meet():
    random = np.random.default_rng(6)
    values = random.normal(0, 1, 51)
    normal, exact = shift(values), shift(values[:50])
    assert normal["high"] - normal["low"] == pytest.approx(exact["high"] - exact["low"], rel=0.1)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_holm_keeps_the_order_and_never_lowers_a_p_value():
    p = np.random.default_rng(0).uniform(0, 1, 20)
    corrected = np.array(holm(p.tolist()))
    assert (corrected >= p).all()
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_cannot_be_ranked_is_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        signed_rank([1.0, bad])


def test_nothing_has_no_shift_and_no_groups():
    with pytest.raises(ValueError, match="difference"):
        shift([])
    with pytest.raises(ValueError, match="groups"):
        rank_sum([], [1.0])
