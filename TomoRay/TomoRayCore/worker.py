"""``python -m TomoRayCore.worker job.json``: a job file in, JSON lines out.

The Slicer module runs its long work as this process. Standard output carries one ASCII JSON object
a line and nothing else; whatever libraries print goes to standard error:

- ``{"event": "progress", "stage", "fraction", "eta_s", "message"}``: fraction over the whole job
- ``{"event": "warning", "message"}``
- ``{"event": "result", "task", "outputs": {name: path}, "data": {...}}``: one a task
- at the end ``{"event": "done"}`` or ``{"event": "error", "code", "message", "remedy"}``

Exit codes: 0 done, 1 failed, 2 bad job file, 3 environment, 130 stopped. SIGTERM and SIGINT stop
the job and remove what was half done, and so does a reader who closes the pipe.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import Any

from TomoRayCore.errors import Cancelled
from TomoRayCore.failures import DONE, USAGE_OR_PARTLY_FAILED, exit_code, explain
from TomoRayCore.jobs import Task, read_job
from TomoRayCore.outputs import plain
from TomoRayCore.progress import Progress, Report, Step
from TomoRayCore.stopping import RaiseIfStopped, stoppable

Emit = Callable[[Mapping[str, Any]], None]

WEIGHTS = {"drr": 1.0, "reconstruct": 4.0, "compare": 1.0}
"""A task's share of the job's progress: about how long each takes on a CPU."""

USAGE = "usage: python -m TomoRayCore.worker JOB.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one job file and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if len(arguments) != 1 or arguments[0] in {"-h", "--help"}:
        sys.stderr.write(f"{USAGE}\n\n{__doc__}")
        return DONE if arguments in (["-h"], ["--help"]) else USAGE_OR_PARTLY_FAILED
    with private_stdout() as stream:
        return _run_job_file(Path(arguments[0]), _emitter(stream))


def _run_job_file(job_file: Path, emit: Emit) -> int:
    try:
        with stoppable() as raise_if_stopped:
            _run(read_job(job_file), emit, raise_if_stopped)
            emit({"event": "done"})
    except (Exception, KeyboardInterrupt) as error:
        explained = explain(error)
        if explained.code == "INTERNAL":
            traceback.print_exc(file=sys.stderr)
        _last_words(emit, explained.code, explained.message, explained.remedy)
        return USAGE_OR_PARTLY_FAILED if explained.code == "BAD_JOB" else exit_code(error)
    return DONE


def _run(tasks: Sequence[Task], emit: Emit, raise_if_stopped: RaiseIfStopped) -> None:
    def report(step: Step) -> None:
        raise_if_stopped()
        emit(
            {
                "event": "progress",
                "stage": step.stage,
                "fraction": round(step.fraction, 4),
                "eta_s": None if step.eta_s is None else round(step.eta_s, 1),
                "message": step.message,
            }
        )

    progress = Progress(report)
    progress("starting", 0.0, "Loading TomoRay")
    from TomoRayCore.pipeline import as_report

    total, done = sum(WEIGHTS[task.kind] for task in tasks), 0.0
    for task in tasks:
        share = progress.part(done / total, (done + WEIGHTS[task.kind]) / total)
        result = run_task(task, as_report(share))
        done += WEIGHTS[task.kind]
        for warning in result.pop("warnings"):
            emit({"event": "warning", "message": warning})
        outputs = result.pop("outputs")
        emit({"event": "result", "task": task.kind, "outputs": outputs, "data": result})


def run_task(task: Task, report: Report | None = None) -> dict[str, Any]:
    """Run one checked task through the pipeline and return the pipeline's result."""
    from TomoRayCore.pipeline import compare_files, drr_files, reconstruct_files

    arguments = dict(task.arguments)
    if task.kind == "drr":
        return drr_files(
            arguments.pop("ct"), arguments.pop("output_dir"), **arguments, report=report
        )
    if task.kind == "reconstruct":
        radiographs, out = arguments.pop("radiographs"), arguments.pop("output")
        return reconstruct_files(radiographs, out, **arguments, report=report)
    sct, ct, out_dir = (arguments.pop(name) for name in ("sct", "ct", "output_dir"))
    return compare_files(sct, ct, out_dir, **arguments, report=report)


@contextmanager
def private_stdout() -> Iterator[RawIOBase]:
    """Yield a stream on the real standard output, and send all other output to standard error.

    The redirection happens below Python, so that prints from C and C++ libraries cannot slip into
    the protocol either.
    """
    sys.stdout.flush()
    saved_fd = os.dup(1)
    saved_stdout = sys.stdout
    try:
        # Unbuffered: a buffer would raise once more on closing when the reader has gone.
        with os.fdopen(os.dup(saved_fd), "wb", buffering=0) as stream:
            os.dup2(2, 1)
            sys.stdout = sys.stderr
            yield stream
    finally:
        sys.stdout = saved_stdout
        os.dup2(saved_fd, 1)
        os.close(saved_fd)


def _emitter(stream: RawIOBase) -> Emit:
    def emit(event: Mapping[str, Any]) -> None:
        line = json.dumps(plain(event), ensure_ascii=True, allow_nan=False).encode() + b"\n"
        try:
            while line:
                line = line[stream.write(line) or 0 :]
        except BrokenPipeError as error:
            raise Cancelled("nobody reads the progress any more") from error

    return emit


def _last_words(emit: Emit, code: str, message: str, remedy: str) -> None:
    try:
        emit({"event": "error", "code": code, "message": message, "remedy": remedy})
    except Cancelled:
        sys.stderr.write(f"{code}: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
