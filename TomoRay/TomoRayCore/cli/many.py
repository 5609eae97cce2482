"""``batch``: many cases from a table."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from TomoRayCore.cli.console import Console, add_command, add_common
from TomoRayCore.cli.images import add_model_options

if TYPE_CHECKING:
    from TomoRayCore.case_runner import Outcome

DESCRIPTION = """\
Run every case of a CSV table; a bad case is reported and the next one gets its turn.

Columns: case (a name), and either ct (it is projected and serves as ground truth) or
ap and lat (then ct, if given, is the ground truth); also pa, geometry (geometry.json)
and spacing_mm. Paths are relative to the table.

Every case gets a folder of its name in OUT with the sCT, its provenance, DRRs, metrics
and picture, as far as they apply; OUT/report.csv lists status, error code, message,
seconds and metrics. A second run skips the cases whose inputs, model and outputs are
unchanged. One OUT belongs to one run at a time."""


def add_commands(commands: Any) -> None:
    """Add this group's commands."""
    command = add_command(
        commands,
        "batch",
        _batch,
        summary="many cases from a CSV table, resumable",
        description=DESCRIPTION,
        example="tomoray batch cases.csv out\ntomoray batch cases.csv out --restart --device cpu",
    )
    command.add_argument("table", metavar="CASES.csv", type=Path, help="the table of cases")
    command.add_argument("out", metavar="OUT", type=Path, help="output folder")
    add_model_options(command)
    again = command.add_mutually_exclusive_group()
    again.add_argument(
        "--resume",
        dest="resume",
        action="store_true",
        default=True,
        help="skip cases that an earlier run finished (the default)",
    )
    again.add_argument("--restart", dest="resume", action="store_false", help="run every case anew")
    add_common(command)


def show_outcome(outcome: Outcome, console: Console) -> None:
    """Say in one line what became of a case."""
    code = f" [{outcome.code}]" if outcome.code else ""
    message = f": {outcome.message}" if outcome.message else ""
    console.note(f"{outcome.status:<8}{outcome.case}{code}{message}")


def finish(result: Mapping[str, Any], console: Console) -> int:
    """Print the counts and return the exit code."""
    counts = ", ".join(f"{count} {status}" for status, count in result["counts"].items())
    console.result(result, f"{counts}; see {result['outputs']['report']}")
    return int(result["exit_code"])


def _batch(arguments: argparse.Namespace, console: Console) -> int:
    from TomoRayCore.batch import run_batch

    def show(outcome: Outcome) -> None:
        show_outcome(outcome, console)

    result = run_batch(
        arguments.table,
        arguments.out,
        model=arguments.model,
        device=arguments.device,
        resume=arguments.resume,
        report=console.progress,
        on_case=show,
    )
    return finish(result, console)
