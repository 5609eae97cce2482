"""An evaluation's folder, read back: one CSV file a method, and what the summary says of them."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from TomoRayCore.errors import InputError
from TomoRayCore.metrics import DEFINITIONS
from TomoRayTraining.figures.significance import Comparison, comparisons_in

NO_METRICS = {"window_low_hu", "window_high_hu", "evaluated_voxels", "evaluated_share"}
"""Columns of numbers that say how a case was measured, not how good it is."""


@dataclass(frozen=True)
class Evaluation:
    """The numbers of one evaluation.

    Attributes:
        methods: In the summary's order, then by file name.
        metrics: Those of the summary, or else all that the tables have.
        cases: Method -> case -> metric -> value; what has no finite value is missing.
        patients: Method -> patient -> metric -> mean over the patient's cases.
        comparisons: Pairs of methods with p values.
        summary: ``summary.json``, or nothing.
    """

    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    cases: Mapping[str, Mapping[str, Mapping[str, float]]]
    patients: Mapping[str, Mapping[str, Mapping[str, float]]]
    comparisons: tuple[Comparison, ...]
    summary: Mapping[str, Any]

    def values(self, method: str, metric: str) -> dict[str, float]:
        """Return a method's value of a metric for each patient that has one."""
        rows = self.patients[method]
        return {patient: row[metric] for patient, row in rows.items() if metric in row}

    def compared(self, metric: str) -> list[Comparison]:
        """Return what is known of differences between methods in one metric."""
        return [c for c in self.comparisons if c.metric == metric]


def read_evaluation(folder: Path, wanted: Sequence[str] = ()) -> Evaluation:
    """Read the tables of an evaluation: every CSV file with a column ``patient``.

    Args:
        folder: What ``evaluate`` wrote.
        wanted: Metrics by column; without any, those of the summary, or else all.

    Raises:
        InputError: ``BAD_EVALUATION`` for a folder without them, or for a file that is broken.
    """
    if not folder.is_dir():
        raise _bad(f"{folder} is not a folder.")
    tables = {path.stem: rows for path in sorted(folder.glob("*.csv")) if (rows := _rows(path))}
    if not tables:
        raise _bad(f"{folder} has no CSV file with a column 'patient' and rows.")
    summary = _summary(folder / "summary.json")
    results = summary.get("results")
    results = results if isinstance(results, dict) else {}
    columns = list(dict.fromkeys(name for rows in tables.values() for name in rows[0]))
    absent = [name for name in wanted if name not in columns]
    if absent:
        raise _bad(f"No table in {folder} has a column {absent[0]!r}.")
    metrics = list(dict.fromkeys(wanted)) or [name for name in results if name in columns]
    metrics = metrics or [
        name for name in columns if name not in NO_METRICS and _is_metric(name, tables)
    ]
    if not metrics:
        raise _bad(f"The tables in {folder} have no column of numbers.")
    cases = {m: _cases(folder / f"{m}.csv", rows, metrics) for m, rows in tables.items()}
    # A metric that nobody has a value of has no figure.
    held = {name for rows in cases.values() for _, _, values in rows for name in values}
    metrics = [name for name in metrics if name in held]
    if not metrics:
        raise _bad(f"The tables in {folder} have no finite number.")
    known = [key for entry in results.values() if isinstance(entry, dict) for key in entry]
    methods = tuple(m for m in dict.fromkeys([*known, *tables]) if m in tables)
    return Evaluation(
        methods=methods,
        metrics=tuple(metrics),
        cases={m: {case: values for case, _, values in cases[m]} for m in methods},
        patients={m: _by_patient(cases[m]) for m in methods},
        comparisons=tuple(comparisons_in(summary, methods, metrics)),
        summary=summary,
    )


def _rows(path: Path) -> list[dict[str, str]]:
    """Return a table's rows, or none of a table that is not one of patients."""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream, strict=True)
            if "patient" not in (reader.fieldnames or ()):
                return []
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise _bad(f"{path} cannot be read: {error}.") from error
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise _bad(f"Line {number} of {path} does not have as many fields as its heading.")
        if not row["patient"]:
            raise _bad(f"Line {number} of {path} names no patient.")
    return rows


def _summary(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise _bad(f"{path} cannot be read: {error}.") from error
    if not isinstance(summary, dict):
        raise _bad(f"{path} does not hold a JSON object.")
    return summary


def _is_metric(name: str, tables: Mapping[str, list[dict[str, str]]]) -> bool:
    """Say whether a column is one of numbers; what the product calls a metric has to be."""
    if name in ("case", "patient"):
        return False
    cells = [row[name] for rows in tables.values() for row in rows if row.get(name)]
    return bool(cells) and (name in DEFINITIONS or all(_number(cell) is not None for cell in cells))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _cases(
    path: Path, rows: list[dict[str, str]], metrics: list[str]
) -> list[tuple[str, str, dict[str, float]]]:
    """Return case, patient and finite values of each row."""
    result = []
    for number, row in enumerate(rows, start=2):
        values = {}
        for name in metrics:
            cell = row.get(name, "")
            value = _number(cell) if cell else math.nan
            if value is None:
                raise _bad(f"Line {number} of {path} has {cell!r} for {name}, not a number.")
            if math.isfinite(value):
                values[name] = value
        result.append((row.get("case") or row["patient"], row["patient"], values))
    return result


def _by_patient(cases: list[tuple[str, str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    collected: dict[str, dict[str, list[float]]] = {}
    for _, patient, values in cases:
        own = collected.setdefault(patient, {})
        for name, value in values.items():
            own.setdefault(name, []).append(value)
    return {
        patient: {name: sum(found) / len(found) for name, found in own.items()}
        for patient, own in collected.items()
    }


def _bad(message: str) -> InputError:
    return InputError(
        "BAD_EVALUATION", message, "Give the folder that `evaluate` wrote, with its CSV files."
    )
