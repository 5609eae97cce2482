"""Means with their uncertainty."""

from __future__ import annotations

import numpy as np
import pytest

from TomoRayTraining.statistics import (
    full_comparison,
    mean_with_interval,
    median_with_quartiles,
    paired_comparison,
)


def test_the_interval_surrounds_the_mean_and_narrows_with_patients():
    random = np.random.default_rng(0)
    few, many = (mean_with_interval(random.normal(5, 2, n)) for n in (10, 1000))
    for result in (few, many):
        assert result["low"] < result["mean"] < result["high"]
    assert many["high"] - many["low"] < 0.2 * (few["high"] - few["low"])
    assert many["patients"] == 1000


def test_the_interval_is_that_of_the_normal_approximation_for_many_patients():
    values = np.random.default_rng(1).normal(0, 3, 400)
    result = mean_with_interval(values)
    half = 1.96 * values.std() / 20
    assert result["high"] - result["mean"] == pytest.approx(half, rel=0.05)
    assert result["mean"] - result["low"] == pytest.approx(half, rel=0.05)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(2)
    results = [mean_with_interval(random.normal(0, 1, 20), seed) for seed in range(100)]
    assert 85 <= sum(r["low"] <= 0 <= r["high"] for r in results) <= 99


def test_the_same_values_give_the_same_interval():
    values = [1.0, 2.0, 4.0]
    assert mean_with_interval(values) == mean_with_interval(values)


def test_one_patient_has_no_spread():
    assert mean_with_interval([3.5]) == {"mean": 3.5, "low": 3.5, "high": 3.5, "patients": 1}


def test_a_comparison_is_of_the_same_patients():
    """A small gain for everyone is significant, however much patients differ."""
    truth = np.random.default_rng(3).normal(0, 100, 30)
    result = paired_comparison(truth - 1, truth + np.linspace(-0.2, 0.2, 30))
    assert result["mean"] == pytest.approx(-1)
    assert result["high"] < 0
    assert result["p_signed_rank"] < 1e-4


def test_swapping_the_methods_swaps_the_sign():
    first, second = [1.0, 5.0, 2.0, 8.0], [2.0, 3.0, 2.5, 6.5]
    one, two = paired_comparison(first, second), paired_comparison(second, first)
    assert one["mean"] == -two["mean"]
    assert one["p_signed_rank"] == two["p_signed_rank"]


@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0], [1.0, 2.0, 3.0]])
def test_a_method_does_not_differ_from_itself(values):
    result = paired_comparison(values, values)
    assert (result["mean"], result["p_signed_rank"]) == (0.0, 1.0)


def test_one_patient_proves_nothing():
    assert paired_comparison([1.0], [2.0])["p_signed_rank"] == 1.0


def test_two_patients_prove_little():
    assert paired_comparison([1.0, 2.0], [2.0, 4.0])["p_signed_rank"] == pytest.approx(0.5)


def test_quartiles_surround_the_median():
    assert median_with_quartiles([4.0, 1.0, 2.0, 3.0, 9.0]) == {"median": 3, "q1": 2, "q3": 4}
    assert median_with_quartiles([2.0]) == {"median": 2, "q1": 2, "q3": 2}


def test_a_full_comparison_says_how_large_a_difference_is_and_which_way():
    result = full_comparison([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2.0, 3.5, 5.0, 6.5, 8.0, 9.5])
    assert result["p_signed_rank"] == 2 / 64
    assert result["rank_biserial"] == -1
    assert result["shift"] == pytest.approx(-2.25)
    assert result["shift_low"] <= result["shift"] <= result["shift_high"] < 0
    assert -1 < result["cliffs_delta"] < 0
    assert result["p_rank_sum"] > result["p_signed_rank"]
    assert result["mean"] == pytest.approx(-2.25)
