"""Scores of held-out patients, beside the trivial baseline."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from TomoRayCore.errors import InputError
from TomoRayCore.io.volume_io import read_volume, write_volume
from TomoRayCore.network_io import OutputSpec
from TomoRayCore.presets import from_preset
from TomoRayCore.volume import Volume
from TomoRayTraining.augmentation import scanned_slices
from TomoRayTraining.cases import Case, read_cases
from TomoRayTraining.evaluate import (
    drrs_of,
    evaluate,
    mean_head_prediction,
    summary,
    write_rows,
)
from TomoRayTraining.validate import about_centre, validation

SPEC = OutputSpec(32, 8.0, 32, 8.0)


@pytest.fixture(scope="module")
def cases(table: Path) -> list[Case]:
    return read_cases(table)


def test_the_mean_of_identical_heads_is_that_head(cases):
    twice = [replace(cases[0], case="copy"), cases[0]]
    ct = read_volume(cases[0].ct)
    mean = mean_head_prediction(twice, SPEC)(cases[0], ct)
    expected = about_centre(ct, SPEC)
    assert mean.grid.same_as(expected.grid)
    assert np.array_equal(mean.array_hu, expected.array_hu)


def test_the_mean_head_is_the_mean_where_both_were_scanned(cases):
    one, two = (about_centre(read_volume(case.ct), SPEC) for case in cases[:2])
    mean = mean_head_prediction(cases[:2], SPEC)(cases[0], read_volume(cases[0].ct))
    both = scanned_slices(one) & scanned_slices(two)
    expected = (one.array_hu[both].astype(float) + two.array_hu[both]) / 2
    assert both.sum() > 20
    assert np.abs(mean.array_hu[both] - expected).max() <= 0.5


def test_a_scan_without_a_vertex_does_not_pull_the_mean_to_air(cases, tmp_path):
    ct = read_volume(cases[0].ct)
    cut = ct.array_hu.copy()
    cut[40:] = -1000
    write_volume(Volume(cut, ct.ijk_to_lps), tmp_path / "cut.nrrd")
    heads = [cases[0], replace(cases[0], case="cut", ct=tmp_path / "cut.nrrd")]
    mean = mean_head_prediction(heads, SPEC)(cases[0], ct)
    assert np.array_equal(mean.array_hu, about_centre(ct, SPEC).array_hu)


def test_a_height_that_no_head_reaches_is_air(cases, tmp_path):
    ct = read_volume(cases[0].ct)
    cut = ct.array_hu.copy()
    cut[40:] = -1000
    write_volume(Volume(cut, ct.ijk_to_lps), tmp_path / "cut.nrrd")
    mean = mean_head_prediction([replace(cases[0], ct=tmp_path / "cut.nrrd")], SPEC)(cases[0], ct)
    assert (mean.array_hu[21:] == -1000).all()
    assert (mean.array_hu[:19] > 0).any()


def test_the_mean_head_comes_to_where_the_patient_is(cases):
    ct = read_volume(cases[0].ct)
    moved = ct.ijk_to_lps.copy()
    moved[:3, 3] += (100, -50, 900)
    away = Volume(ct.array_hu, moved)
    predict = mean_head_prediction(cases[:1], SPEC)
    assert predict(cases[0], away).grid.centre_lps == pytest.approx(away.grid.centre_lps)
    assert np.array_equal(predict(cases[0], away).array_hu, predict(cases[0], ct).array_hu)


def test_a_perfect_prediction_has_no_error(cases):
    rows = evaluate(cases[3:], lambda _case, ct: ct)
    assert [row["case"] for row in rows] == ["head4", "head5"]
    assert [row["patient"] for row in rows] == ["patient4", "patient5"]
    assert [row["mae_hu"] for row in rows] == [0, 0]
    assert [row["ssim"] for row in rows] == pytest.approx([1, 1])


def test_only_scanned_slices_count(cases, tmp_path):
    ct = read_volume(cases[0].ct)
    cut = ct.array_hu.copy()
    cut[40:] = -1000
    write_volume(Volume(cut, ct.ijk_to_lps), tmp_path / "cut.nrrd")
    case = replace(cases[0], ct=tmp_path / "cut.nrrd")

    def wrong_above(_case: Case, truth: Volume) -> Volume:
        values = truth.array_hu.copy()
        values[40:] = 900
        return Volume(values, truth.ijk_to_lps)

    assert evaluate([case], wrong_above)[0]["mae_hu"] == 0


def test_progress_reaches_one(cases):
    steps = []
    evaluate(cases[3:], lambda _case, ct: ct, steps.append)
    assert [step.fraction for step in steps] == [0.5, 1.0]


def test_an_empty_split_is_refused():
    with pytest.raises(InputError) as error:
        evaluate([], lambda _case, ct: ct)
    assert error.value.code == "BAD_CASES"


def test_a_case_whose_file_is_gone_is_refused(cases, tmp_path):
    with pytest.raises(InputError):
        evaluate([replace(cases[0], ct=tmp_path / "gone.nrrd")], lambda _case, ct: ct)


def test_a_summary_compares_patient_by_patient():
    model = [{"mae_hu": 10.0, "psnr_db": None}, {"mae_hu": 20.0, "psnr_db": 30.0}]
    baseline = [{"mae_hu": 12.0, "psnr_db": 20.0}, {"mae_hu": 26.0, "psnr_db": 21.0}]
    result = summary(model, baseline, ["mae_hu", "psnr_db"])
    assert result["mae_hu"]["model"]["mean"] == 15
    assert result["mae_hu"]["mean_head"]["mean"] == 19
    assert result["mae_hu"]["difference"]["mean"] == -4
    assert result["psnr_db"]["model"] == {"mean": 30.0, "low": 30.0, "high": 30.0, "patients": 1}
    assert result["psnr_db"]["difference"]["mean"] == 9


def test_a_metric_that_nobody_has_is_nothing():
    rows = [{"psnr_db": None}]
    assert summary(rows, rows, ["psnr_db"]) == {"psnr_db": None}


def test_rows_become_a_table_in_which_every_row_has_its_place(tmp_path):
    rows = [
        {"case": "a, b", "mae_hu": None, "ssim": 0.5, "definitions": {"x": "y"}},
        {"case": "c", "mae_hu": 2.0, "ssim": 0.25, "definitions": {"x": "y"}},
    ]
    write_rows(tmp_path / "rows.csv", rows)
    with (tmp_path / "rows.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [row["case"] for row in table] == ["a, b", "c"]
    assert [row["mae_hu"] for row in table] == ["", "2.0"]
    assert [row["ssim"] for row in table] == ["0.5", "0.25"]


def test_drrs_state_everything_that_a_reconstruction_needs(cases):
    ct = read_volume(cases[0].ct)
    geometry = from_preset(isocentre_lps=ct.grid.centre_lps, size=64)
    frontal, lateral = drrs_of(ct, geometry)
    assert (frontal.view, lateral.view) == ("AP", "LAT")
    assert frontal.acquisition == geometry
    assert frontal.pixel_spacing_mm == geometry.views[0].pixel_spacing_mm


def test_validation_scores_a_network_and_needs_patients(cases, toy):
    import torch

    from TomoRayCore.nets import build

    torch.manual_seed(0)
    score = validation([case for case in cases if case.split == "val"], toy)
    net = build("toy").eval()
    result = score(net)
    assert result == score(net)
    assert 0 < result["mae_hu"] < 2000
    assert -10 < result["psnr_db"] < 60
    with pytest.raises(InputError):
        validation([], toy)
