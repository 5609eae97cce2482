"""Synthetic CTs of many cases from a table; see ``case_runner`` for how cases are run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from TomoRayCore.case_runner import Outcome, Work, exit_code_of, run_cases
from TomoRayCore.case_table import Case, read_cases
from TomoRayCore.metrics import DEFINITIONS
from TomoRayCore.pipeline import as_report, case_files, load_model
from TomoRayCore.progress import Progress, Report

__all__ = ["Outcome", "exit_code_of", "run_batch"]


def run_batch(
    table: Path,
    out_dir: Path,
    *,
    model: str | Path | None = None,
    device: str = "auto",
    resume: bool = True,
    report: Report | None = None,
    on_case: Callable[[Outcome], None] | None = None,
) -> dict[str, Any]:
    """Run every case of a table and keep ``report.csv`` up to date after each.

    Args:
        table: CSV; see ``case_table.read_cases``.
        out_dir: Gets one folder a case, and the report.
        model: Model name or file; None for the default model.
        device: ``auto``, ``cpu`` or ``cuda``.
        resume: Skip cases that an earlier run finished with the same inputs and model.
        report: Receives the progress over all cases.
        on_case: Told after each case.

    Returns:
        ``outputs`` (``report``), ``counts`` by status, ``cases``, ``exit_code`` and ``seconds``.

    Raises:
        InputError: The table or the model file is unusable.
        SetupError: The model, torch or the device is missing: no case could succeed.
    """
    from TomoRayCore.devices import pick_device

    rows = read_cases(table)
    bundle = load_model(model)
    pick_device(device)

    def run(case: Case, folder: Path, progress: Progress) -> dict[str, Any]:
        return case_files(
            folder,
            ct=case.ct,
            radiographs=case.radiographs,
            geometry=case.geometry,
            spacing_mm=case.spacing_mm,
            model=bundle,
            device=device,
            report=as_report(progress),
        )

    work = Work(run, _inputs, bundle.sha256, tuple(DEFINITIONS))
    return run_cases(rows, out_dir, work, resume=resume, report=report, on_case=on_case)


def _inputs(case: Case) -> dict[str, Path]:
    others = {"ct": case.ct, "geometry": case.geometry}
    return {**case.radiographs, **{name: path for name, path in others.items() if path}}
