"""A job's life: every end leaves no process, no folder and no half result behind."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

FAKE_WORKER = Path(__file__).with_name("fake_worker.py")
CANCEL_LIMIT_S = 2.0


@pytest.fixture
def ct(slicer, module, head_volume):
    """Return a CT node."""
    from TomoRayLib import MRMLBridge

    return MRMLBridge.nodeFromVolume(head_volume, "head")


@pytest.fixture
def start(ct):
    """Return a function that starts a DRR job with the fake worker in some mode."""
    from TomoRayLib.BackgroundJob import BackgroundJob
    from TomoRayLib.DrrPlan import DrrPlan

    jobs = []

    def startJob(mode, onChanged=None):
        command = [sys.executable, str(FAKE_WORKER), mode]
        job = BackgroundJob(DrrPlan(ct), onChanged, command)
        jobs.append(job)
        job.start()
        return job

    yield startJob
    for job in jobs:
        job.cancel()


def poll_until(job, reached, seconds=60.0):
    """Poll until ``reached()``, as the timer does."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"still {job.state} after {seconds} s: {list(job.log)}"
        job.poll()
        time.sleep(0.005)


def is_alive(pid):
    """Say whether a process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "State:\tZ" not in status


def assert_nothing_is_left(slicer, job, folder, pids, nodes):
    assert job.folder is None
    assert job.workerPid is None
    assert folder is None or not folder.exists()
    deadline = time.monotonic() + 1.0
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [pid for pid in pids if is_alive(pid)]
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes


@pytest.mark.parametrize("stage", ["CHECKING", "EXPORTING", "RUNNING", "IMPORTING"])
def test_cancel_at_any_stage_is_quick_and_leaves_nothing(slicer, start, stage):
    from TomoRayLib.JobState import JobState

    nodes = slicer.mrmlScene.GetNumberOfNodes()
    job = start("hang" if stage == "RUNNING" else "done")
    if stage == "RUNNING":
        poll_until(job, lambda: job.stage == "child")
        pids = [job.workerPid, int(job.message)]
    else:
        poll_until(job, lambda: job.state is JobState[stage])
        pids = []
    folder = job.folder
    started = time.monotonic()
    job.cancel()
    assert time.monotonic() - started < CANCEL_LIMIT_S
    assert job.state is JobState.CANCELLED
    assert_nothing_is_left(slicer, job, folder, pids, nodes)
    job.poll()
    assert job.state is JobState.CANCELLED


def test_private_folder_is_private(start):
    job = start("hang")
    poll_until(job, lambda: job.stage == "child")
    assert job.folder.stat().st_mode & 0o777 == 0o700
    job.cancel()


def test_progress_of_the_worker_is_the_jobs(start):
    job = start("hang")
    poll_until(job, lambda: job.stage == "child")
    assert (job.fraction, job.etaSeconds) == (0.25, 75.0)
    job.cancel()


def test_closing_the_scene_cancels(slicer, start):
    from TomoRayLib.JobState import JobState

    job = start("hang")
    poll_until(job, lambda: job.stage == "child")
    pids, folder = [job.workerPid, int(job.message)], job.folder
    slicer.mrmlScene.Clear(0)
    assert job.state is JobState.CANCELLED
    assert_nothing_is_left(slicer, job, folder, pids, slicer.mrmlScene.GetNumberOfNodes())


def test_removing_an_input_fails_the_job(slicer, start, ct):
    from TomoRayLib.JobState import JobState

    job = start("hang")
    poll_until(job, lambda: job.stage == "child")
    pids, folder = [job.workerPid, int(job.message)], job.folder
    slicer.mrmlScene.RemoveNode(ct)
    assert job.state is JobState.FAILED
    assert job.error.code == "INPUT_REMOVED"
    assert_nothing_is_left(slicer, job, folder, pids, slicer.mrmlScene.GetNumberOfNodes())


def test_removing_another_node_does_not_disturb(slicer, start):
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    job = start("hang")
    poll_until(job, lambda: job.stage == "child")
    slicer.mrmlScene.RemoveNode(other)
    assert job.isRunning
    job.cancel()


def test_quitting_the_application_ends_the_worker(slicer, start, ct):
    from TomoRayLib.JobTimer import JobTimer

    job = start("hang")
    JobTimer(job).start()
    poll_until(job, lambda: job.stage == "child")
    pids = [job.workerPid, int(job.message)]
    slicer.app.aboutToQuit.emit()
    assert not job.isRunning
    assert not [pid for pid in pids if is_alive(pid)]


def test_crash_of_the_worker_is_told_with_its_last_words(slicer, start):
    from TomoRayLib.JobState import JobState

    nodes = slicer.mrmlScene.GetNumberOfNodes()
    job = start("crash")
    job.wait()
    assert job.state is JobState.FAILED
    assert job.error.code == "WORKER_DIED"
    assert "the roof is on fire" in job.error.message
    assert_nothing_is_left(slicer, job, None, [], nodes)


def test_error_of_the_engine_keeps_its_code_and_remedy(start):
    job = start("refuse")
    job.wait()
    assert (job.error.code, job.error.remedy) == ("HU_IMPLAUSIBLE", "Give HU.")


def test_lines_that_are_no_events_only_reach_the_log(start):
    job = start("noise")
    job.wait()
    assert "hello" in job.log
    assert job.warnings == ["a warning"]
    assert job.error.code == "WORKER_SILENT"


def test_command_that_does_not_exist_fails_with_advice(ct):
    from TomoRayLib.BackgroundJob import BackgroundJob
    from TomoRayLib.DrrPlan import DrrPlan

    job = BackgroundJob(DrrPlan(ct), command=["/no/such/python"])
    job.start()
    job.wait()
    assert job.error.code == "WORKER_START"


def test_failing_import_takes_its_nodes_back(slicer, start, monkeypatch):
    from TomoRayLib.DrrPlan import DrrPlan

    def addAndFail(self, folder, results):
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "half")
        raise RuntimeError("on purpose")

    monkeypatch.setattr(DrrPlan, "importResults", addAndFail)
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    job = start("done")
    job.wait()
    assert job.error.code == "INTERNAL"
    assert_nothing_is_left(slicer, job, None, [], nodes)


def test_nan_in_the_ct_is_refused_before_anything_is_written(slicer, start, ct):
    array = slicer.util.arrayFromVolume(ct).astype(np.float32)
    array[3, 4, 5] = np.nan
    slicer.util.updateVolumeFromArray(ct, array)
    job = start("done")
    job.wait()
    assert job.error.code == "NON_FINITE"
    assert "Writing the inputs" not in job.log


def test_worker_finds_the_engine_without_any_path_of_its_own(monkeypatch):
    import subprocess

    from TomoRayLib.WorkerProcess import workerEnvironment

    monkeypatch.delenv("PYTHONPATH", raising=False)
    command = [sys.executable, "-c", "import TomoRayCore.worker"]
    subprocess.run(command, env=workerEnvironment(), cwd=os.sep, check=True)
