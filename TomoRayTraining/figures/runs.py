"""The logs of training runs, as far as they got."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from TomoRayCore.errors import InputError

NOT_TERMS = {"time", "step", "validation"}
Curve = dict[int, float]
"""Value by step; NaN where it was not finite."""


@dataclass(frozen=True)
class Run:
    """What one run wrote about itself.

    Attributes:
        name: For legends.
        terms: Loss terms and gradient norms by name.
        validation: Metrics on the validation split by name.
    """

    name: str
    terms: Mapping[str, Curve]
    validation: Mapping[str, Curve]


def read_runs(named: Sequence[tuple[str, Path]]) -> list[Run]:
    """Read runs: folders with ``log.jsonl``, or such files, with names that may repeat.

    Raises:
        InputError: ``BAD_LOG`` for a file that is missing, empty or broken before its last line.
    """
    names = [name for name, _ in named]
    return [
        read_run(path, name if names.count(name) == 1 else f"{name} ({number})")
        for number, (name, path) in enumerate(named, start=1)
    ]


def read_run(path: Path, name: str) -> Run:
    """Read one run's log. Where a resumed run took a step twice, the later line holds."""
    file = path / "log.jsonl" if path.is_dir() else path
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(f"{file} cannot be read: {error}.") from error
    terms: dict[str, Curve] = {}
    validation: dict[str, Curve] = {}
    for number, line in enumerate(lines, start=1):
        entry = _entry(file, number, line, is_last=number == len(lines))
        if entry is None:
            continue
        step = entry["step"]
        scores = entry.get("validation")
        _collect(validation, step, scores if isinstance(scores, dict) else {})
        _collect(terms, step, {k: v for k, v in entry.items() if k not in NOT_TERMS})
    if not terms and not validation:
        raise _bad(f"{file} holds no step.")
    return Run(name, _in_order(terms), _in_order(validation))


def _entry(file: Path, number: int, line: str, is_last: bool) -> dict[str, Any] | None:
    """Return a line's content; None where it is empty or the run was killed while writing it."""
    if not line.strip():
        return None
    try:
        entry = json.loads(line)
    except ValueError as error:
        if is_last:
            return None
        raise _bad(f"Line {number} of {file} is not JSON.") from error
    if not isinstance(entry, dict) or type(entry.get("step")) is not int:
        raise _bad(f"Line {number} of {file} has no whole number 'step'.")
    return entry


def _collect(curves: dict[str, Curve], step: int, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value)
            curves.setdefault(name, {})[step] = number if math.isfinite(number) else math.nan


def _in_order(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    return {name: dict(sorted(curve.items())) for name, curve in curves.items()}


def _bad(message: str) -> InputError:
    return InputError("BAD_LOG", message, "Give a run's folder or the log.jsonl in it.")
