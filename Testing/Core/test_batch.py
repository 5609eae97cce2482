"""Many cases: a bad one stops nothing, a finished one is not done again, the report is true."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from TomoRayCore.batch import Outcome, exit_code_of, run_batch
from TomoRayCore.case_table import read_cases, report_csv
from TomoRayCore.errors import Cancelled, InputError
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.pipeline import drr_files
from TomoRayCore.progress import Step


def write_table(folder: Path, text: str) -> Path:
    path = folder / "cases.csv"
    path.write_text(text, encoding="utf-8")
    return path


def read_report(out: Path) -> dict[str, dict[str, str]]:
    with (out / "report.csv").open(encoding="utf-8", newline="") as stream:
        return {row["case"]: row for row in csv.DictReader(stream)}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, tiny_ct: Path) -> Path:
    """A CT, its DRRs, and things that are neither."""
    folder = tmp_path_factory.mktemp("inputs")
    shutil.copy(tiny_ct, folder / "head.nrrd")
    drr_files(tiny_ct, folder / "drr", size=64)
    (folder / "text.nrrd").write_text("this is text")
    return folder


TABLE = """\
case,ct,ap,lat,spacing_mm
good-ct,head.nrrd,,,
text,text.nrrd,,,
films,,drr/ap.nrrd,drr/lat.nrrd,
gone,none.nrrd,,,
"""

FILMS = "case,ap,lat\nfilms,{0}/drr/ap.nrrd,{0}/drr/lat.nrrd\n"


@pytest.fixture(scope="module")
def first_run(
    tmp_path_factory: pytest.TempPathFactory, inputs: Path, tiny_bundle: Path
) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("batch") / "out"
    table = write_table(inputs, TABLE)
    return out, run_batch(table, out, model=tiny_bundle, device="cpu")


def test_a_bad_case_is_reported_and_the_others_are_done(first_run):
    out, result = first_run
    assert result["counts"] == {"done": 2, "failed": 2, "skipped": 0}
    assert result["exit_code"] == 2
    report = read_report(out)
    assert [report[name]["status"] for name in ("good-ct", "text", "films", "gone")] == [
        "done",
        "failed",
        "done",
        "failed",
    ]
    assert report["gone"]["code"] == "FILE_NOT_FOUND"
    assert report["text"]["message"]
    assert float(report["good-ct"]["mae_hu"]) > 0
    assert float(report["good-ct"]["seconds"]) > 0


def test_only_finished_cases_have_a_folder(first_run):
    out, _ = first_run
    assert sorted(path.name for path in out.iterdir()) == ["films", "good-ct", "report.csv"]
    assert {path.name for path in (out / "films").iterdir()} == {
        "sct.nrrd",
        "sct.json",
        "done.json",
    }
    assert {"sct.nrrd", "metrics.json", "comparison.png", "ap.png", "done.json"} <= {
        path.name for path in (out / "good-ct").iterdir()
    }


def test_a_second_run_skips_what_is_done_and_touches_nothing(
    tmp_path, first_run, inputs, tiny_bundle
):
    out = tmp_path / "out"
    shutil.copytree(first_run[0], out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*/*")}
    result = run_batch(inputs / "cases.csv", out, model=tiny_bundle, device="cpu")
    assert result["counts"] == {"done": 0, "failed": 2, "skipped": 2}
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*/*")} == before
    report = read_report(out)
    assert report["good-ct"]["mae_hu"] == read_report(first_run[0])["good-ct"]["mae_hu"]


def test_a_case_whose_output_was_damaged_is_done_again(tmp_path, first_run, inputs, tiny_bundle):
    out = tmp_path / "out"
    shutil.copytree(first_run[0], out)
    sct = out / "films" / "sct.nrrd"
    sound = sct.read_bytes()
    sct.write_bytes(sound[:-100])
    result = run_batch(inputs / "cases.csv", out, model=tiny_bundle, device="cpu")
    assert result["counts"]["done"] == 1
    assert np.array_equal(
        read_volume(sct).array_hu, read_volume(first_run[0] / "films" / "sct.nrrd").array_hu
    )


def test_restart_does_every_case_again(tmp_path, first_run, inputs, tiny_bundle):
    out = tmp_path / "out"
    shutil.copytree(first_run[0], out)
    table = write_table(tmp_path, FILMS.format(inputs))
    result = run_batch(table, out, model=tiny_bundle, device="cpu")
    assert result["counts"] == {"done": 0, "failed": 0, "skipped": 1}
    result = run_batch(table, out, model=tiny_bundle, device="cpu", resume=False)
    assert result["counts"] == {"done": 1, "failed": 0, "skipped": 0}


def test_changed_inputs_are_done_again(tmp_path, inputs, tiny_bundle):
    folder = tmp_path / "in"
    shutil.copytree(inputs, folder)
    table = write_table(folder, "case,ap,lat\na,drr/ap.nrrd,drr/lat.nrrd\n")
    run_batch(table, tmp_path / "out", model=tiny_bundle, device="cpu")
    shutil.copy(folder / "drr/ap.png", folder / "drr/other.png")
    write_table(folder, "case,ap,lat\na,drr/other.png,drr/lat.nrrd\n")
    result = run_batch(table, tmp_path / "out", model=tiny_bundle, device="cpu")
    assert result["counts"] == {"done": 1, "failed": 0, "skipped": 0}
    provenance = json.loads((tmp_path / "out" / "a" / "sct.json").read_text())
    assert provenance["inputs"]["AP"]["file"] == "other.png"


def test_a_stopped_batch_keeps_finished_cases_and_nothing_half_done(tmp_path, inputs, tiny_bundle):
    row = f"{inputs}/drr/ap.nrrd,{inputs}/drr/lat.nrrd"
    table = write_table(tmp_path, f"case,ap,lat\na,{row}\nb,{row}\n")

    def stop(step: Step) -> None:
        if step.fraction > 0.8:
            raise Cancelled

    with pytest.raises(Cancelled):
        run_batch(table, tmp_path / "out", model=tiny_bundle, device="cpu", report=stop)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "report.csv"]
    assert read_report(tmp_path / "out").keys() == {"a"}


def test_leftovers_of_a_killed_run_are_swept(tmp_path, inputs, tiny_bundle):
    leftover = tmp_path / "out" / ".tomoray-partial-dead"
    leftover.mkdir(parents=True)
    (leftover / "sct.nrrd").write_bytes(b"half")
    table = write_table(tmp_path, "case,ct\na,none.nrrd\n")
    run_batch(table, tmp_path / "out", model=tiny_bundle, device="cpu")
    assert not leftover.exists()


def test_a_folder_that_is_not_ours_is_not_replaced(tmp_path, inputs, tiny_bundle):
    precious = tmp_path / "out" / "a" / "thesis.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("years of work")
    table = write_table(tmp_path, f"case,ct\na,{inputs}/head.nrrd\n")
    result = run_batch(table, tmp_path / "out", model=tiny_bundle, device="cpu")
    assert result["cases"][0]["code"] == "OUTPUT_EXISTS"
    assert precious.read_text() == "years of work"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../up",
        "a/b",
        "a\\b",
        "/abs",
        "C:",
        "con",
        "LPT1.txt",
        "report.csv",
        ".hidden",
        "dot.",
        "=cmd()",
        "a\tb",
        "x" * 300,
        "right\u202eleft",
    ],
)
def test_a_case_name_never_leads_out_of_the_output_folder(tmp_path, name):
    quoted = name.replace('"', '""')
    table = write_table(tmp_path, f'case,ct\n"{quoted}",x.nrrd\nfine,x.nrrd\n')
    bad, fine = read_cases(table)
    assert isinstance(bad.case, InputError)
    assert bad.case.code == "BAD_CASE_NAME"
    assert not isinstance(fine.case, InputError)


@pytest.mark.parametrize("name", ["p-01", "Fall 3", "頭部", "été_2", "a.b"])
def test_ordinary_names_in_any_script_are_allowed(tmp_path, name):
    (row,) = read_cases(write_table(tmp_path, f"case,ct\n{name},x.nrrd\n"))
    assert not isinstance(row.case, InputError)


def test_names_that_some_systems_cannot_tell_apart_are_refused(tmp_path):
    rows = read_cases(write_table(tmp_path, "case,ct\nHead,x\nhead,y\nother,z\n"))
    codes = [getattr(row.case, "code", None) for row in rows]
    assert codes == ["DUPLICATE_CASE", "DUPLICATE_CASE", None]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "case,ct\n",
        "name,ct\na,b\n",
        "case,ct,colour\na,b,red\n",
        "case,case\na,b\n",
        "case,ct\na,\0\n",
    ],
)
def test_a_table_that_is_none_is_refused_as_a_whole(tmp_path, text):
    with pytest.raises(InputError, match="BAD_TABLE"):
        read_cases(write_table(tmp_path, text))


@pytest.mark.parametrize("row", ["a,,,,", "a,,x,y,wide", "a,x,,,0.3", "a,x,,,,,,too many"], ids=str)
def test_a_row_that_says_too_little_or_too_much_is_refused(tmp_path, row):
    (only,) = read_cases(write_table(tmp_path, f"case,ct,ap,lat,spacing_mm\n{row}\n"))
    assert isinstance(only.case, InputError)
    assert only.case.code == "BAD_ROW"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_from_spreadsheets_are_read(tmp_path, delimiter):
    lines = [["Case", "AP", "LAT", "spacing_mm"], ["a", "x.png", "y.png", "0.25"]]
    text = "\ufeff" + "\r\n".join(delimiter.join(line) for line in lines) + "\r\n\r\n"
    (row,) = read_cases(write_table(tmp_path, text))
    assert not isinstance(row.case, InputError)
    assert row.case.radiographs == {
        "AP": tmp_path.resolve() / "x.png",
        "LAT": tmp_path.resolve() / "y.png",
    }
    assert row.case.spacing_mm == 0.25


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=x", "\r@x", "\n=x"])
def test_no_cell_of_the_report_is_a_formula(text):
    table = report_csv(["case", "number"], [{"case": text, "number": -1.5}])
    (row,) = csv.DictReader(io.StringIO(table))
    assert row["case"].startswith("'")
    assert table.count("\n") == 2
    assert row["number"] == "-1.5"


@pytest.mark.parametrize(
    ("statuses", "code"),
    [("done", 0), ("done skipped", 0), ("done failed", 2), ("skipped failed", 2), ("failed", 1)],
)
def test_the_exit_code_says_none_some_or_all_failed(statuses, code):
    assert exit_code_of([Outcome("a", status) for status in statuses.split()]) == code


def test_a_bad_model_stops_the_batch_before_the_first_case(tmp_path, inputs):
    (tmp_path / "bad.safetensors").write_text("text")
    table = write_table(tmp_path, f"case,ct\na,{inputs}/head.nrrd\n")
    with pytest.raises(InputError, match="MODEL_NOT_SAFETENSORS"):
        run_batch(table, tmp_path / "out", model=tmp_path / "bad.safetensors")
    assert not (tmp_path / "out").exists()
