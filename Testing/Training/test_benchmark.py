"""An evaluation from files to tables: models, predictions, baselines, and the tables again."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from TomoRayCore.bundle import Bundle, read_bundle, write_bundle
from TomoRayCore.errors import InputError
from TomoRayCore.io.radiograph_io import write_drr
from TomoRayCore.io.volume_io import read_volume, write_volume
from TomoRayCore.nets import build
from TomoRayCore.network_io import OutputSpec
from TomoRayCore.presets import from_preset
from TomoRayCore.volume import Volume
from TomoRayTraining.__main__ import main
from TomoRayTraining.benchmark import benchmark, tabulate
from TomoRayTraining.cases import Case, read_cases
from TomoRayTraining.evaluate import drrs_of
from TomoRayTraining.export import ModelCard, export
from TomoRayTraining.methods import RESERVED, folder_method
from TomoRayTraining.scorers import full, plain
from TomoRayTraining.tables import read_rows

CARD = ModelCard("A test.", "Phantoms.", "None.", "Nobody.", "Tests.", ())


@pytest.fixture(scope="module")
def cases(table: Path) -> list[Case]:
    return read_cases(table)


@pytest.fixture(scope="module")
def model(tmp_path_factory, toy, cases) -> Path:
    """A network that was never trained, on a coarse grid."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("model") / "toy.safetensors"
    bundle = export(path, toy, build("toy").state_dict(), CARD, cases, {}, {"step": 0})
    output = OutputSpec(64, 4.0, 32, 8.0).to_dict()
    write_bundle(path, dict(bundle.description) | {"output": output}, bundle.tensors)
    return path


@pytest.fixture(scope="module")
def bundle(model: Path) -> Bundle:
    return read_bundle(model)


@pytest.fixture(scope="module")
def truth(tmp_path_factory, cases) -> Path:
    """Predictions that nobody can beat, in several formats."""
    folder = tmp_path_factory.mktemp("truth")
    for case, suffix in zip(cases[3:], (".nii.gz", ".mha"), strict=True):
        write_volume(read_volume(case.ct), folder / f"{case.case}{suffix}")
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory, model, truth, table) -> Path:
    """What the command writes for two models and a folder."""
    folder = tmp_path_factory.mktemp("written")
    models = ["--model", str(model), "--model", f"twin={model}"]
    arguments = [*models, "--predictions", f"truth={truth}", "--cases", str(table)]
    assert main(["evaluate", *arguments, "--device", "cpu", "--out", str(folder)]) == 0
    return folder


def summary_of(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def test_every_method_has_its_table_with_the_baselines_always_there(written):
    summary = summary_of(written)
    assert list(summary["methods"]) == ["toy", "twin", "truth", *RESERVED]
    for name, facts in summary["methods"].items():
        with (written / facts["csv"]).open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [row["patient"] for row in rows] == ["patient4", "patient5"], name
        assert (facts["seconds"] is None) == (name == "truth")
    assert (summary["patients"], summary["cases"], summary["left_out"]) == (2, 2, {})


def test_the_same_model_twice_has_the_same_figures_and_the_truth_is_perfect(written):
    figures = summary_of(written)["results"]["mae_hu"]
    assert figures["toy"] == figures["twin"]
    assert figures["truth"]["mean"] < min(figures[name]["mean"] for name in RESERVED)
    assert figures["sart_mean_head"]["mean"] < figures["sart"]["mean"]


def test_the_truth_on_its_own_grid_is_scored_on_the_models(written):
    """A 4 mm volume on voxels of 8 mm: interpolated as the CT is, so without error."""
    row = read_rows(written / "truth.csv")[0]
    assert (row["mae_hu"], row["psnr_db"], row["dice_bone"]) == (0, None, 1)


def test_all_methods_are_compared_with_the_mean_head(written):
    summary = summary_of(written)
    found = {(c["metric"], c["first"], c["second"]) for c in summary["comparisons"]}
    others = [name for name in summary["methods"] if name != "mean_head"]
    expected = {(m, name, "mean_head") for m in summary["results"] for name in others}
    assert found == expected - {("psnr_db", "truth", "mean_head")}


def test_the_page_has_a_line_for_each_metric_and_what_it_took(written):
    page = (written / "table.md").read_text()
    lines = page.splitlines()
    assert sum(line.startswith("| MAE (HU) | ") for line in lines) == 2 + 6
    mean = summary_of(written)["results"]["mae_hu"]["mean_head"]["mean"]
    assert f"{mean:.4g} [" in page
    assert "| truth | none | none |" in lines
    widths = {line.count("|") for line in lines if line.startswith("| PSNR")}
    assert len(widths) == 2  # figures, comparisons


def test_the_tables_come_again_from_the_csv_files(written, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(written, copy)
    before, page = summary_of(copy), (copy / "table.md").read_text()
    (copy / "table.md").unlink()
    tabulate(copy)
    assert summary_of(copy) == before
    assert (copy / "table.md").read_text() == page


def test_the_tables_come_again_against_another_reference(written, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(written, copy)
    assert main(["table", str(copy), "--reference", "sart"]) == 0
    assert {c["second"] for c in summary_of(copy)["comparisons"]} == {"sart"}
    assert summary_of(copy)["results"] == summary_of(written)["results"]
    assert main(["table", str(copy), "--reference", "nobody"]) == 1
    assert "[UNKNOWN_METHOD]" in capsys.readouterr().err


def test_an_edited_csv_file_changes_the_tables(written, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(written, copy)
    text = (copy / "toy.csv").read_text()
    value = read_rows(copy / "toy.csv")[0]["mae_hu"]
    (copy / "toy.csv").write_text(text.replace(repr(value), repr(value + 100), 1))
    change = tabulate(copy)["results"]["mae_hu"]["toy"]["mean"]
    assert change == pytest.approx(summary_of(written)["results"]["mae_hu"]["toy"]["mean"] + 50)


@pytest.mark.parametrize("damage", ["none", "garbled", "a_csv_gone"])
def test_a_folder_that_no_evaluation_wrote_has_no_tables(written, tmp_path, damage):
    copy = tmp_path / "copy"
    shutil.copytree(written, copy)
    if damage == "none":
        (copy / "summary.json").unlink()
    elif damage == "garbled":
        (copy / "summary.json").write_text("[1, 2]")
    else:
        (copy / "sart.csv").unlink()
    with pytest.raises(InputError) as error:
        tabulate(copy)
    assert error.value.code == "BAD_EVALUATION"


def test_one_model_alone_is_called_model(tmp_path, bundle, cases):
    result = benchmark({"model": bundle}, cases, "val", tmp_path, baselines=["mean_head"])
    assert (tmp_path / "model.csv").exists()
    assert set(result["results"]["mae_hu"]) == {"model", "mean_head", "difference"}
    assert result["methods"]["model"]["model"] == "toy"
    assert result["split"] == "val"


def test_sart_is_left_out_where_there_are_no_line_integrals(tmp_path, bundle, cases):
    result = benchmark({"m": bundle}, cases, "val", tmp_path, images="realistic")
    assert set(result["left_out"]) == {"sart", "sart_mean_head"}
    assert list(result["methods"]) == ["m", "mean_head", "nearest_neighbour"]


def test_only_cases_with_films_of_every_view_count_where_films_are_shown(tmp_path, bundle, cases):
    ct = read_volume(cases[3].ct)
    films = {}
    for radiograph in drrs_of(ct, from_preset(isocentre_lps=ct.grid.centre_lps, size=64)):
        films[radiograph.view] = tmp_path / f"{radiograph.view}.nrrd"
        geometry = radiograph.acquisition
        write_drr(films[radiograph.view], radiograph.pixels, geometry, radiograph.view)
    some = [*cases[:3], replace(cases[3], films=films), replace(cases[4], films={"AP": "x"})]
    result = benchmark({"m": bundle}, some, "test", tmp_path / "out", images="films")
    assert result["cases"] == 1
    assert read_rows(tmp_path / "out" / "nearest_neighbour.csv")[0]["case"] == "head4"


def test_every_score_has_its_definition_and_its_column(cases):
    ct = read_volume(cases[3].ct)
    views = from_preset(size=64)
    few, all_of_them = plain(views), full(views)
    row = all_of_them.score(Volume(ct.array_hu + np.int16(10), ct.ijk_to_lps), ct)
    assert set(few.definitions) < set(all_of_them.definitions) <= set(row)
    assert row["mae_hu"] == pytest.approx(10)
    assert all(len(text) > 10 for text in all_of_them.definitions.values())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--model", "sart={model}"], "BAD_METHOD"),
        (["--model", "../x={model}"], "BAD_METHOD"),
        (["--model", "{model}", "--model", "{model}"], "BAD_METHOD"),
        (["--model", "{model}", "--predictions", "model={truth}"], "BAD_METHOD"),
        (["--predictions", "{truth}"], "BAD_METHOD"),
        (["--predictions", "a={truth}", "--predictions", "a={truth}"], "BAD_METHOD"),
        (["--predictions", "a=nowhere"], "MISSING_PREDICTION"),
        (["--model", "{model}", "--reference", "nobody"], "UNKNOWN_METHOD"),
        (["--model", "a=nowhere"], "MODEL_NOT_FOUND"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_runs(
    tmp_path, model, truth, table, capsys, arguments, code
):
    given = [text.format(model=model, truth=truth) for text in arguments]
    out = tmp_path / "out"
    assert main(["evaluate", *given, "--cases", str(table), "--out", str(out)]) == 1
    assert f"[{code}]" in capsys.readouterr().err
    assert not out.exists()


def test_a_table_without_training_heads_has_no_baselines_and_is_refused(tmp_path, bundle, cases):
    with pytest.raises(InputError, match="training heads") as error:
        benchmark({"m": bundle}, cases[2:], "test", tmp_path)
    assert error.value.code == "BAD_CASES"


def test_an_empty_split_is_refused(tmp_path, bundle, cases):
    others = [case for case in cases if case.split != "val"]
    with pytest.raises(InputError) as error:
        benchmark({"m": bundle}, others, "val", tmp_path)
    assert error.value.code == "BAD_CASES"


def test_two_predictions_of_one_case_are_refused(tmp_path, cases):
    for suffix in (".nrrd", ".nii.gz"):
        (tmp_path / f"head4{suffix}").touch()
    with pytest.raises(InputError) as error:
        folder_method("x", tmp_path, [cases[3]])
    assert error.value.code == "MISSING_PREDICTION"


def test_a_prediction_belongs_to_its_case_whatever_the_order(tmp_path, cases, truth):
    method = folder_method("x", truth, list(reversed(cases[3:])))
    for case in cases[3:]:
        ct = read_volume(case.ct)
        assert np.array_equal(method.start(replace(case), ct)().array_hu, ct.array_hu)
