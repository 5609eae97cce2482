"""Scores of held-out patients, and of the trivial baseline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from TomoRayCore.errors import InputError
from TomoRayCore.io.volume_io import read_volume, write_volume
from TomoRayCore.network_io import OutputSpec
from TomoRayCore.presets import from_preset
from TomoRayCore.volume import Volume
from TomoRayTraining import resources
from TomoRayTraining.augmentation import scanned_slices
from TomoRayTraining.cases import Case, read_cases
from TomoRayTraining.evaluate import (
    drrs_of,
    evaluate,
    evaluate_started,
    mean_head_prediction,
    shown,
)
from TomoRayTraining.resources import measured
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


def test_methods_are_scored_on_one_grid_whatever_their_own(cases):
    def coarse(_case: Case, ct: Volume):
        return lambda: about_centre(ct, OutputSpec(32, 8.0, 32, 8.0))

    own = evaluate_started(cases[3:4], coarse)[0]
    common = evaluate_started(cases[3:4], coarse, spec=OutputSpec(64, 4.0, 64, 4.0))[0]
    assert own["mae_hu"] == 0  # the CT is brought to the coarse grid, where nothing is lost
    assert common["mae_hu"] > 10
    assert common["spacing_ijk_mm"] == pytest.approx([4, 4, 4])


def test_a_prediction_that_does_not_reach_is_air_there(cases):
    def half(_case: Case, ct: Volume):
        return lambda: Volume(ct.array_hu[:32], ct.ijk_to_lps)

    ct = read_volume(cases[3].ct)
    row = evaluate_started(cases[3:4], half, spec=OutputSpec(64, 4.0, 64, 4.0))[0]
    scanned = scanned_slices(ct)
    error = np.abs(ct.array_hu[32:].astype(float) + 1000).sum()
    assert row["mae_hu"] == pytest.approx(error / (scanned.sum() * 64 * 64), rel=1e-3)


def test_only_the_reconstruction_is_timed(cases, monkeypatch):
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr(resources, "time", clock)

    def start(_case: Case, ct: Volume):
        clock.now += 50  # what makes the images

        def calculate() -> Volume:
            clock.now += 3
            return ct

        return calculate

    assert evaluate_started(cases[3:4], start)[0]["seconds"] == 3


def test_a_calculation_with_more_memory_has_a_higher_peak():
    import torch

    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("this system does not tell a process's peak")
    peaks = []
    for mebibytes in (1, 400):
        with measured(torch.device("cpu")) as usage:
            np.ones(mebibytes << 20, np.uint8)
        peaks.append(usage.peak_memory_mib)
    assert 300 < peaks[1] - peaks[0] < 500


def test_a_model_sees_drrs_films_or_what_is_made_to_look_like_films(cases):
    ct = read_volume(cases[0].ct)
    geometry = from_preset(size=64)
    drrs, here = shown(cases[0], ct, geometry, "drr")
    films, _ = shown(cases[0], ct, geometry, "realistic")
    again, _ = shown(cases[0], ct, geometry, "realistic")
    assert here.isocentre_lps == pytest.approx(ct.grid.centre_lps)
    assert all(film.is_film and not drr.is_film for drr, film in zip(drrs, films, strict=True))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(films, again, strict=True))


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
