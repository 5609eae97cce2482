"""``python -m TomoRayTraining figures``; matplotlib loads only when it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from TomoRayCore.errors import SetupError
from TomoRayCore.windows import WINDOWS


def add_figures(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser("figures", help="draw an evaluation, runs and cases")
    command.add_argument("--evaluation", type=Path, help="folder that `evaluate` wrote")
    command.add_argument(
        "--metrics", nargs="+", default=[], metavar="COLUMN", help="which (those of the summary)"
    )
    command.add_argument(
        "--runs",
        nargs="+",
        default=[],
        metavar="[NAME=]RUN",
        help="folders of training runs, or their log.jsonl",
    )
    command.add_argument(
        "--volumes",
        nargs="+",
        action="append",
        default=[],
        metavar="WORD",
        help="a case to show: CASE CT NAME=SCT [NAME=SCT ...]; may be repeated",
    )
    command.add_argument(
        "--radiographs",
        nargs="+",
        action="append",
        default=[],
        metavar="WORD",
        help="a case's input views: CASE AP=FILE LAT=FILE (DRRs of its CT); may be repeated",
    )
    command.add_argument("--window", default="full", choices=WINDOWS, help="HU window (full)")
    command.add_argument(
        "--uncertainty", type=Path, help="CSV file with the columns sigma_hu and error_hu"
    )
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(command=run_figures)


def run_figures(options: argparse.Namespace) -> None:
    """Draw what the options name; print the files.

    Raises:
        SetupError: ``NO_MATPLOTLIB``.
        InputError: For files that cannot be drawn.
    """
    try:
        from TomoRayTraining.figures.draw import Request, draw
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise SetupError(
            "NO_MATPLOTLIB",
            "Figures need the package matplotlib, which is not installed.",
            'Install it with: pip install -c constraints.txt -e ".[train]"',
        ) from error
    request = Request(
        evaluation=options.evaluation,
        metrics=options.metrics,
        runs=[_run(word) for word in options.runs],
        volumes=options.volumes,
        radiographs=options.radiographs,
        uncertainty=options.uncertainty,
        window=options.window,
    )
    for path in draw(request, options.out):
        print(path)


def _run(word: str) -> tuple[str, Path]:
    """Return a run's name and place; a folder's name is its own."""
    name, mark, path = word.partition("=")
    if mark and name and path and not Path(word).exists():
        return name, Path(path)
    place = Path(word)
    return (place.parent if place.suffix == ".jsonl" else place).resolve().name, place
