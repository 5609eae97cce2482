"""What is said of methods from their rows, and the files that hold them."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy import stats

from TomoRayCore.errors import InputError
from TomoRayTraining.rank_tests import holm
from TomoRayTraining.table_text import number, p_text
from TomoRayTraining.tables import by_patient, comparisons, read_rows, results, write_rows


def rows(values, patients=None, metric="mae_hu"):
    patients = patients or [f"p{n}" for n in range(len(values))]
    return [
        {"case": f"c{n}", "patient": patient, metric: value}
        for n, (value, patient) in enumerate(zip(values, patients, strict=True))
    ]


def test_a_patient_with_two_cases_counts_once():
    assert by_patient(rows([1.0, 3.0, 8.0], ["a", "a", "b"]), "mae_hu") == {"a": 2.0, "b": 8.0}
    figures = results({"model": rows([1.0, 3.0, 8.0], ["a", "a", "b"])}, ["mae_hu"])
    assert (figures["mae_hu"]["model"]["mean"], figures["mae_hu"]["model"]["patients"]) == (5, 2)


def test_a_case_without_a_value_is_left_out():
    assert by_patient(rows([None, 3.0, float("inf")]), "mae_hu") == {"p1": 3.0}


def test_results_hold_every_method_and_the_first_ones_difference_from_the_mean_head():
    methods = {
        "model": rows([10.0, 20.0]),
        "other": rows([11.0, 12.0]),
        "mean_head": rows([12.0, 26.0]),
    }
    figures = results(methods, ["mae_hu"])["mae_hu"]
    assert {name: figures[name]["mean"] for name in methods} == {
        "model": 15, "other": 11.5, "mean_head": 19,
    }  # fmt: skip
    assert figures["model"]["median"] == 15
    assert figures["difference"]["mean"] == -4


def test_a_difference_is_of_the_patients_that_both_have():
    methods = {
        "model": rows([None, 30.0], metric="psnr_db"),
        "mean_head": rows([20.0, 21.0], metric="psnr_db"),
    }
    figures = results(methods, ["psnr_db"])["psnr_db"]
    assert (figures["model"]["patients"], figures["mean_head"]["patients"]) == (1, 2)
    assert (figures["difference"]["mean"], figures["difference"]["patients"]) == (9, 1)


def test_a_metric_that_nobody_has_is_nothing():
    nobody = rows([None], metric="psnr_db")
    assert results({"model": nobody, "mean_head": nobody}, ["psnr_db"]) == {"psnr_db": None}
    assert comparisons({"model": nobody, "mean_head": nobody}, ["psnr_db"], "model") == []


def test_every_method_is_tested_against_the_reference_whatever_the_order_of_rows():
    random = np.random.default_rng(0)
    base = random.normal(100, 30, 12)
    better, same = base - random.uniform(1, 4, 12), base + random.normal(0, 2, 12)
    shuffled = list(reversed(rows(better.tolist())))
    methods = {"a": shuffled, "ref": rows(base.tolist()), "b": rows(same.tolist())}
    found = comparisons(methods, ["mae_hu"], "ref")
    assert [(c["metric"], c["first"], c["second"]) for c in found] == [
        ("mae_hu", "a", "ref"),
        ("mae_hu", "b", "ref"),
    ]
    for comparison, values in zip(found, (better, same), strict=True):
        signed = stats.wilcoxon(values - base, method="exact").pvalue
        summed = stats.mannwhitneyu(values, base, method="exact").pvalue
        assert comparison["p_signed_rank"] == pytest.approx(signed)
        assert comparison["p_rank_sum"] == pytest.approx(summed)
    assert found[0]["rank_biserial"] == -1


def test_families_are_the_methods_of_a_metric_and_the_whole_table():
    random = np.random.default_rng(1)
    methods = {
        name: [
            {"case": n, "patient": n, "x": a, "y": b}
            for n, (a, b) in enumerate(random.normal(size=(8, 2)) + shift)
        ]
        for name, shift in (("ref", 0), ("a", 1), ("b", 2), ("c", 0))
    }
    found = comparisons(methods, ["x", "y"], "ref")
    plain = [c["p_signed_rank"] for c in found]
    assert [c["p_signed_rank_holm"] for c in found] == holm(plain[:3]) + holm(plain[3:])
    assert [c["p_holm_all"] for c in found] == holm(plain)


def test_an_unknown_reference_is_refused_with_the_names_there_are():
    with pytest.raises(InputError, match="nobody") as error:
        comparisons({"a": rows([1.0])}, ["mae_hu"], "nobody")
    assert error.value.code == "UNKNOWN_METHOD"


def test_rows_become_a_table_in_which_every_row_has_its_place(tmp_path):
    given = [
        {"case": "a, b", "mae_hu": None, "ssim": 0.5, "definitions": {"x": "y"}},
        {"case": "c", "mae_hu": 2.0, "ssim": 0.25, "definitions": {"x": "y"}},
    ]
    write_rows(tmp_path / "rows.csv", given)
    with (tmp_path / "rows.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [row["case"] for row in table] == ["a, b", "c"]
    assert [row["mae_hu"] for row in table] == ["", "2.0"]
    assert [row["ssim"] for row in table] == ["0.5", "0.25"]


def test_rows_come_back_as_they_were(tmp_path):
    given = [
        {"case": "007", "patient": "12", "mae_hu": 0.1 + 0.2, "psnr_db": None, "window": "full"},
        {"case": "x", "patient": "y", "mae_hu": 1e-17, "psnr_db": 3.0, "window": "full"},
    ]
    write_rows(tmp_path / "rows.csv", given)
    assert read_rows(tmp_path / "rows.csv") == given


@pytest.mark.parametrize("text", ["", "case,patient\n", "case,mae_hu\na,1\n", "case,patient\na,\n"])
def test_a_file_that_no_evaluation_wrote_is_refused(tmp_path, text):
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(InputError) as error:
        read_rows(tmp_path / "rows.csv")
    assert error.value.code == "BAD_EVALUATION"


def test_numbers_are_as_people_read_them():
    assert [number(n) for n in (0.91234567, 123.456, 12345.6, -3.0)] == [
        "0.9123", "123.5", "12346", "-3",
    ]  # fmt: skip
    assert [p_text(p) for p in (0.0004, 0.0421, 1.0)] == ["< 0.001", "0.042", "1.000"]
