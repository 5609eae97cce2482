"""Many cases, each on its own: resumable, with a truthful report; what a case is, others say.

A case's folder appears only when the case is complete, and holds a marker with the hashes of what
went in and came out. A later run skips a case only if those hashes still hold. One output folder
belongs to one run at a time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from TomoRayCore import __version__
from TomoRayCore.case_table import Case, Row, report_csv
from TomoRayCore.errors import Cancelled, InputError
from TomoRayCore.failures import DONE, FAILED, USAGE_OR_PARTLY_FAILED, explain
from TomoRayCore.io.atomic import write_text
from TomoRayCore.outputs import PARTIAL_PREFIX, plain, sha256_of, to_json
from TomoRayCore.progress import Progress, Report

log = logging.getLogger(__name__)

MARKER = "done.json"
MARKER_SCHEMA = 1
REPORT = "report.csv"


@dataclass(frozen=True)
class Outcome:
    """What became of one case: ``done`` now, ``skipped`` as done before, or ``failed``."""

    case: str
    status: str
    code: str = ""
    message: str = ""
    seconds: float = 0.0
    output: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    def row(self) -> dict[str, Any]:
        """Return the report's row."""
        return {
            "case": self.case,
            "status": self.status,
            "code": self.code,
            "message": self.message,
            "seconds": self.seconds,
            **self.metrics,
            "warnings": " | ".join(self.warnings),
            "output": self.output,
        }


@dataclass(frozen=True)
class Work:
    """What is done with a case.

    Attributes:
        run: Writes a case's files into a folder; returns ``warnings`` and, where there are any,
            ``metrics``.
        inputs: The case's files, by a name each.
        settings: All else that decides the outcome, in JSON's types.
        metrics: Names of the metrics that the report has a column for.
    """

    run: Callable[[Case, Path, Progress], Mapping[str, Any]]
    inputs: Callable[[Case], Mapping[str, Path]]
    settings: Any
    metrics: Sequence[str] = ()

    def key(self, case: Case) -> str:
        """Return a hash of everything that decides the outcome."""
        hashes = sorted((name, sha256_of(path)) for name, path in self.inputs(case).items())
        parts = [__version__, plain(self.settings), case.spacing_mm, hashes]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def columns(self) -> list[str]:
        """Return the columns of the report."""
        first = ("case", "status", "code", "message", "seconds")
        return [*first, *self.metrics, "warnings", "output"]


def run_cases(
    rows: Sequence[Row],
    out_dir: Path,
    work: Work,
    *,
    resume: bool = True,
    report: Report | None = None,
    on_case: Callable[[Outcome], None] | None = None,
) -> dict[str, Any]:
    """Run every case and keep ``report.csv`` up to date after each.

    Args:
        rows: The cases, or why they cannot be used.
        out_dir: Gets one folder a case, and the report.
        work: What to do.
        resume: Skip cases that an earlier run finished with the same inputs and settings.
        report: Receives the progress over all cases.
        on_case: Told after each case.

    Returns:
        ``outputs`` (``report``), ``counts`` by status, ``cases``, ``exit_code`` and ``seconds``.
    """
    started = time.monotonic()
    out_dir.mkdir(parents=True, exist_ok=True)
    _sweep(out_dir)
    progress = Progress(report)
    outcomes: list[Outcome] = []
    for number, row in enumerate(rows):
        share = progress.part(number / len(rows), (number + 1) / len(rows))
        share("case", 0.0, f"Case {row.name} ({number + 1} of {len(rows)})")
        outcomes.append(_run_row(row, out_dir, work, resume, share))
        write_text(out_dir / REPORT, report_csv(work.columns(), [o.row() for o in outcomes]))
        if on_case is not None:
            on_case(outcomes[-1])
    progress("done", 1.0, f"{len(rows)} cases")
    return {
        "outputs": {"report": str(out_dir / REPORT)},
        "counts": _counts(outcomes),
        "cases": [plain(outcome.row()) for outcome in outcomes],
        "exit_code": exit_code_of(outcomes),
        "seconds": round(time.monotonic() - started, 3),
    }


def exit_code_of(outcomes: Sequence[Outcome]) -> int:
    """Return 0 when no case failed, 1 when all did, 2 when some did."""
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    if not failed:
        return DONE
    return FAILED if failed == len(outcomes) else USAGE_OR_PARTLY_FAILED


def _run_row(row: Row, out_dir: Path, work: Work, resume: bool, progress: Progress) -> Outcome:
    started = time.monotonic()
    try:
        if isinstance(row.case, InputError):
            raise row.case
        return _run_case(row.case, out_dir, work, resume, progress)
    except Cancelled:
        raise
    except Exception as error:  # whatever is wrong with one case, the next one gets its turn
        log.debug("case %s failed", row.name, exc_info=True)
        explained = explain(error)
        return Outcome(
            case=row.name,
            status="failed",
            code=explained.code,
            message=f"{explained.message} {explained.remedy}",
            seconds=round(time.monotonic() - started, 3),
        )


def _run_case(case: Case, out_dir: Path, work: Work, resume: bool, progress: Progress) -> Outcome:
    started = time.monotonic()
    folder = out_dir / case.name
    key = work.key(case)
    marker = _marker(folder)
    if folder.is_symlink() or (folder.exists() and marker is None):
        raise InputError(
            "OUTPUT_EXISTS",
            f"{case.name} exists in the output folder and is not from an earlier batch.",
            "Move it away, or choose another output folder.",
        )
    if resume and marker is not None and marker["key"] == key and _intact(folder, marker):
        return Outcome(
            case.name,
            "skipped",
            message="done by an earlier run",
            output=case.name,
            metrics=marker["metrics"],
            warnings=marker["warnings"],
        )
    stage = out_dir / f"{PARTIAL_PREFIX}{secrets.token_hex(4)}"
    stage.mkdir()
    try:
        result = work.run(case, stage, progress)
        outcome = Outcome(
            case.name,
            "done",
            seconds=round(time.monotonic() - started, 3),
            output=case.name,
            metrics=_chosen_metrics(result, work.metrics),
            warnings=tuple(result["warnings"]),
        )
        _write_marker(stage, key, outcome)
        _swap(stage, folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return outcome


def _marker(folder: Path) -> dict[str, Any] | None:
    """Return the marker of an earlier run, or None where there is no usable one."""
    try:
        data = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    fields = {"schema": int, "key": str, "files": dict, "metrics": dict, "warnings": list}
    usable = isinstance(data, dict) and all(
        isinstance(data.get(name), kind) for name, kind in fields.items()
    )
    return data if usable and data["schema"] == MARKER_SCHEMA else None


def _write_marker(folder: Path, key: str, outcome: Outcome) -> None:
    marker = {
        "schema": MARKER_SCHEMA,
        "key": key,
        "metrics": outcome.metrics,
        "warnings": outcome.warnings,
        "files": {file.name: sha256_of(file) for file in sorted(folder.iterdir())},
    }
    write_text(folder / MARKER, to_json(marker))


def _intact(folder: Path, marker: Mapping[str, Any]) -> bool:
    return all(
        Path(name).name == name and (folder / name).is_file() and sha256_of(folder / name) == sha
        for name, sha in marker["files"].items()
    )


def _swap(stage: Path, folder: Path) -> None:
    """Put the finished folder in place of an earlier result, if there is one."""
    if folder.exists():
        old = stage.with_name(f"{stage.name}-old")
        folder.rename(old)
        stage.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        stage.rename(folder)


def _sweep(out_dir: Path) -> None:
    """Remove what a killed run left behind."""
    for leftover in out_dir.glob(f"{PARTIAL_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _chosen_metrics(result: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    metrics = result.get("metrics") or {}
    return {name: metrics[name] for name in names if metrics.get(name) is not None}


def _counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    counts = Counter(outcome.status for outcome in outcomes)
    return {status: counts[status] for status in ("done", "failed", "skipped")}
