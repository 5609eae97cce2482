"""The worker: a job file in, JSON lines and nothing else out, clean stops."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from TomoRayCore import worker
from TomoRayCore.errors import Cancelled, InputError
from TomoRayCore.io.radiograph_io import read_radiograph
from TomoRayCore.io.volume_io import read_volume, write_volume
from TomoRayCore.jobs import read_job
from TomoRayCore.stopping import stoppable
from TomoRayCore.volume import Volume
from TomoRayCore.worker import run_task


def write_job(folder: Path, *tasks: dict[str, Any]) -> Path:
    path = folder / "job.json"
    path.write_text(json.dumps({"schema": 1, "tasks": list(tasks)}), encoding="utf-8")
    return path


def events(text: str) -> list[dict[str, Any]]:
    assert text.isascii()
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def whole_job(
    tmp_path_factory: pytest.TempPathFactory, tiny_ct: Path, tiny_bundle: Path
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The three tasks in a process of their own, in a folder with an awkward name."""
    folder = tmp_path_factory.mktemp("job") / "Kopf über 'alles' $(x)"
    folder.mkdir()
    job = write_job(
        folder,
        {"task": "drr", "ct": str(tiny_ct), "output_dir": "drr", "size": 64, "sad_mm": None},
        {
            "task": "reconstruct",
            "radiographs": {"LAT": "drr/lat.nrrd", "AP": "drr/ap.nrrd"},
            "geometry": None,
            "model": str(tiny_bundle),
            "output": "out/sct.nrrd",
        },
        {"task": "compare", "sct": "out/sct.nrrd", "ct": str(tiny_ct), "output_dir": "compare"},
    )
    done = subprocess.run(
        [sys.executable, "-m", "TomoRayCore.worker", str(job)],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        check=False,
    )
    return folder, done


def test_a_job_ends_with_done_and_one_result_for_each_task(whole_job):
    folder, done = whole_job
    assert done.returncode == 0, done.stderr
    seen = events(done.stdout)
    assert seen[-1] == {"event": "done"}
    results = [event for event in seen if event["event"] == "result"]
    assert [result["task"] for result in results] == ["drr", "reconstruct", "compare"]
    for result in results:
        for path in result["outputs"].values():
            assert Path(path).is_file()
            assert Path(path).is_relative_to(folder)
    pictures = {"AP", "AP_picture", "LAT", "LAT_picture"}
    assert results[0]["outputs"].keys() == pictures | {"geometry", "record"}
    assert results[1]["outputs"].keys() == {"sct", "provenance"}
    assert results[2]["outputs"].keys() == {"metrics", "picture"}


def test_progress_runs_from_0_to_1_over_the_whole_job(whole_job):
    _, done = whole_job
    steps = [event for event in events(done.stdout) if event["event"] == "progress"]
    fractions = [step["fraction"] for step in steps]
    assert fractions[0] == 0
    assert fractions[-1] == 1
    assert fractions == sorted(fractions)
    assert {"reading", "projecting", "network", "writing"} <= {step["stage"] for step in steps}
    assert all(step["message"] and step.keys() >= {"eta_s"} for step in steps)


def test_nothing_unfinished_remains_beside_the_outputs(whole_job):
    folder, _ = whole_job
    assert not [path for path in folder.rglob("*") if ".tomoray" in path.name]


def test_relative_paths_are_relative_to_the_job_file(tmp_path):
    job = write_job(tmp_path, {"task": "drr", "ct": "a/ct.nrrd", "output_dir": "/abs", "size": 64})
    (task,) = read_job(job)
    assert task.arguments["ct"] == tmp_path.resolve() / "a/ct.nrrd"
    assert task.arguments["output_dir"] == Path("/abs")


def test_a_drr_task_takes_every_option_of_the_command_line(tmp_path, tiny_ct):
    mask = read_volume(tiny_ct)
    write_volume(Volume((mask.array_hu > 300) * 1, mask.ijk_to_lps), tmp_path / "skull.nrrd")
    job = write_job(
        tmp_path,
        {
            "task": "drr",
            "ct": str(tiny_ct),
            "output_dir": "drr",
            "size": [40, 32],
            "views": ["ap", "30:10"],
            "spacing_mm": [9, 11],
            "parallel": True,
            "rotate_deg": 5,
            "detector_offset_mm": [1, -2],
            "formats": ["tiff", "dicom"],
            "structures": ["dense=500:", "skull=skull.nrrd"],
            "physics": {"quantity": "transmission", "photons_per_mm2": 1e5},
            "seed": 3,
            "isocentre": "centre",
        },
    )
    (task,) = read_job(job)
    result = run_task(task)
    film = read_radiograph(result["outputs"]["A30T10-skull_dicom"])
    assert film.shape == (40, 32)
    assert film.pixel_spacing_mm == (9, 11)
    assert film.acquisition.view("A30T10").beam == "parallel"
    record = json.loads(Path(result["outputs"]["record"]).read_text(encoding="utf-8"))
    assert record["physics"]["options"]["photons_per_mm2"] == 1e5
    assert record["physics"]["seed"] == 3
    assert [structure["name"] for structure in record["structures"]] == ["dense", "skull"]


def test_a_model_is_a_name_unless_it_looks_like_a_file(tmp_path):
    def model(text: str) -> Any:
        task = {"task": "reconstruct", "radiographs": {"AP": "a"}, "output": "o", "model": text}
        return read_job(write_job(tmp_path, task))[0].arguments["model"]

    assert model("tomoray-head-64") == "tomoray-head-64"
    assert model("mine.safetensors") == tmp_path.resolve() / "mine.safetensors"


DRR = {"task": "drr", "ct": "ct.nrrd", "output_dir": "out"}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not json",
        "[]",
        '{"schema": 1}',
        '{"schema": 1, "tasks": []}',
        json.dumps({"schema": 2, "tasks": [DRR]}),
        json.dumps({"schema": 1, "tasks": [{**DRR, "structures": ["brain"]}]}),
        json.dumps({"schema": 1, "tasks": [{**DRR, "spacing_mm": [1, 2, 3]}]}),
        json.dumps({"schema": 1, "tasks": [{**DRR, "size": [64, 6.5]}]}),
        json.dumps({"schema": 1, "tasks": [{**DRR, "physics": 70}]}),
        json.dumps({"schema": 1, "tasks": [{**DRR, "task": "erase"}]}),
        json.dumps({"schema": 1, "tasks": [{**DRR, "task": ["drr"]}]}),
        json.dumps({"schema": 1, "tasks": [{**DRR, "sise": 64}]}),
        json.dumps({"schema": 1, "tasks": [{**DRR, "size": "64"}]}),
        json.dumps({"schema": 1, "tasks": [{**DRR, "size": True}]}),
        json.dumps({"schema": 1, "tasks": [{**DRR, "isocentre": [1, 2]}]}),
        json.dumps({"schema": 1, "tasks": [{"task": "drr", "ct": "ct.nrrd"}]}),
        json.dumps({"schema": 1, "tasks": [{**DRR, "ct": "a\0b"}]}),
    ],
)
def test_a_bad_job_file_is_refused_with_exit_code_2(tmp_path, capfd, content):
    job = tmp_path / "job.json"
    job.write_text(content, encoding="utf-8")
    assert worker.main([str(job)]) == 2
    (event,) = [event for event in events(capfd.readouterr().out) if event["event"] == "error"]
    assert event["code"] == "BAD_JOB"
    assert event["message"]
    assert event["remedy"]


def test_a_missing_job_file_is_refused_with_exit_code_2(tmp_path, capfd):
    assert worker.main([str(tmp_path / "none.json")]) == 2
    assert events(capfd.readouterr().out)[-1]["code"] == "BAD_JOB"


def test_a_bad_input_ends_the_job_with_its_code_and_exit_code_1(tmp_path, capfd):
    (tmp_path / "ct.nrrd").write_text("this is text")
    assert worker.main([str(write_job(tmp_path, DRR))]) == 1
    last = events(capfd.readouterr().out)[-1]
    assert last["event"] == "error"
    assert last["code"].isupper()
    assert last["remedy"]
    assert not (tmp_path / "out").exists()


def test_what_libraries_print_does_not_reach_the_protocol(tmp_path, capfd, monkeypatch):
    def chatty(*arguments: Any, **options: Any) -> dict[str, Any]:
        print("hello from Python")
        os.write(1, b"hello from C\n")
        return {"outputs": {"AP": Path("ü.nrrd")}, "warnings": ["wärm"], "number": np.float32(1)}

    monkeypatch.setattr("TomoRayCore.pipeline.drr_files", chatty)
    assert worker.main([str(write_job(tmp_path, DRR))]) == 0
    captured = capfd.readouterr()
    kinds = [event["event"] for event in events(captured.out)]
    assert kinds == ["progress", "warning", "result", "done"]
    assert "hello from Python" in captured.err
    assert "hello from C" in captured.err


def test_an_unexpected_failure_is_reported_as_internal(tmp_path, capfd, monkeypatch):
    def broken(*arguments: Any, **options: Any) -> dict[str, Any]:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("TomoRayCore.pipeline.drr_files", broken)
    assert worker.main([str(write_job(tmp_path, DRR))]) == 1
    captured = capfd.readouterr()
    assert events(captured.out)[-1]["code"] == "INTERNAL"
    assert "ZeroDivisionError" in captured.err


def start_job(folder: Path, ct: Path, size: int) -> subprocess.Popen[str]:
    """Start a job and return once it computes."""
    job = write_job(folder, {"task": "drr", "ct": str(ct), "output_dir": "out", "size": size})
    process = subprocess.Popen(
        [sys.executable, "-m", "TomoRayCore.worker", str(job)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert process.stdout is not None
    assert any('"checking"' in line for line in process.stdout)
    return process


def test_sigterm_stops_the_worker_within_two_seconds_and_leaves_nothing(tmp_path, tiny_ct):
    with start_job(tmp_path, tiny_ct, 4096) as process:
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=10)
        assert time.monotonic() - started < 2
    assert process.returncode == 130
    assert events(rest)[-1]["code"] == "CANCELLED"
    assert not (tmp_path / "out").exists()


def test_a_worker_whose_reader_has_gone_stops_and_leaves_nothing(tmp_path, tiny_ct):
    with start_job(tmp_path, tiny_ct, 1024) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=20) == 130
    assert not (tmp_path / "out").exists()


def test_a_stop_that_a_parser_swallowed_still_ends_the_work():
    with pytest.raises(Cancelled), stoppable() as raise_if_stopped:  # noqa: PT012
        with contextlib.suppress(Exception):
            signal.raise_signal(signal.SIGTERM)
        raise_if_stopped()
    with pytest.raises(Cancelled), stoppable():  # noqa: PT012
        try:
            signal.raise_signal(signal.SIGINT)
        except Cancelled as error:
            raise InputError("UNREADABLE_FILE", "m", "r") from error


def test_the_sct_of_the_worker_is_a_marked_volume_on_the_head(whole_job, tiny_ct):
    folder, _ = whole_job
    sct = read_volume(folder / "out" / "sct.nrrd")
    assert sct.is_synthetic
    assert sct.array_hu.dtype == np.int16
    provenance = json.loads((folder / "out" / "sct.json").read_text(encoding="utf-8"))
    geometry = json.loads((folder / "drr" / "geometry.json").read_text(encoding="utf-8"))
    assert np.allclose(sct.grid.centre_lps, geometry["isocentre_lps"], atol=1e-3)
    assert provenance["inputs"]["AP"]["path"] == "../drr/ap.nrrd"
