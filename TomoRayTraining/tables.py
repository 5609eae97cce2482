"""From rows, one a case, to what is said of methods: from the CSV files alone, at any time."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from TomoRayCore.errors import InputError
from TomoRayTraining.rank_tests import holm
from TomoRayTraining.statistics import (
    full_comparison,
    mean_with_interval,
    median_with_quartiles,
    paired_comparison,
)

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]
"""Rows of each method by its name."""

TEXT_COLUMNS = ("case", "patient")
INTERVALS = "95 % percentile bootstrap over patients; a patient's cases are averaged first"
TESTS = {
    "p_signed_rank": "Wilcoxon's signed-rank test, two-sided, of the patients' differences; zeros "
    "left out, ties share their mean rank; exact up to 50 differences",
    "p_signed_rank_holm": "the same, Holm-corrected over the methods compared in this metric",
    "p_holm_all": "the same, Holm-corrected over all methods and metrics compared here",
    "p_rank_sum": "Wilcoxon's rank-sum test, two-sided, as some papers publish it: it takes the "
    "patients of both methods for different people",
    "shift": "Hodges and Lehmann's median of differences with what the signed-rank test does not "
    "reject at 5 %; shift_confidence below 0.95 with fewer than 6 patients",
    "rank_biserial": "effect of the pairs: (positive - negative rank sum) / both, -1 to 1",
    "cliffs_delta": "effect blind to the pairs: share of pairs of patients larger - smaller",
}
"""What the columns of comparisons are; every difference is method - reference."""


def by_patient(rows: Sequence[Row], metric: str) -> dict[str, float]:
    """Return each patient's mean over the cases that have a finite value."""
    found: dict[str, list[float]] = {}
    for row in rows:
        value = row.get(metric)
        if value is not None and math.isfinite(value):
            found.setdefault(str(row["patient"]), []).append(float(value))
    return {patient: sum(values) / len(values) for patient, values in found.items()}


def results(methods: Rows, metrics: Sequence[str], baseline: str = "mean_head") -> dict[str, Any]:
    """Return, for each metric, each method's figures over the patients that have a finite value.

    Each method has ``mean``, ``low``, ``high``, ``patients``, ``median``, ``q1``, ``q3``.
    ``difference`` is the first method's from the baseline, over the patients that both have. A
    metric of which somebody has no value at all (a perfect PSNR) lacks that method; one that
    nobody has is None.
    """
    first = next(iter(methods))
    result: dict[str, Any] = {}
    for metric in metrics:
        values = {name: by_patient(rows, metric) for name, rows in methods.items()}
        described = {name: described_by(own) for name, own in values.items() if own}
        result[metric] = described or None
        if baseline in values and first != baseline:
            ours, theirs = _paired(values[first], values[baseline])
            if ours:
                described["difference"] = paired_comparison(ours, theirs)
    return result


def described_by(values: Mapping[str, float]) -> dict[str, Any]:
    """Return mean with interval, and median with quartiles."""
    numbers = list(values.values())
    return mean_with_interval(numbers) | median_with_quartiles(numbers)


def comparisons(methods: Rows, metrics: Sequence[str], reference: str) -> list[dict[str, Any]]:
    """Return each method against the reference in each metric; ``TESTS`` says what is what.

    Raises:
        InputError: ``UNKNOWN_METHOD`` for a reference that is no method.
    """
    if reference not in methods:
        raise unknown_method(reference, list(methods))
    found: list[dict[str, Any]] = []
    for metric in metrics:
        base = by_patient(methods[reference], metric)
        family = []
        for name, rows in methods.items():
            ours, theirs = _paired(by_patient(rows, metric), base)
            if name != reference and ours:
                pair = {"metric": metric, "first": name, "second": reference}
                family.append(pair | full_comparison(ours, theirs))
        _correct(family, "p_signed_rank_holm")
        found += family
    _correct(found, "p_holm_all")
    return found


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write per-case results as CSV; a metric without a finite value is an empty field."""
    from TomoRayCore.io.atomic import atomic_path

    plain = (str, int, float, type(None))
    flat = [{k: v for k, v in row.items() if isinstance(v, plain)} for row in rows]
    with atomic_path(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(flat[0]))
        writer.writeheader()
        writer.writerows(flat)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read what ``write_rows`` wrote: numbers as they were, an empty field as None.

    Raises:
        InputError: ``BAD_EVALUATION`` for a file without cases and patients, or that is broken.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise bad_evaluation(f"{path} cannot be read: {error}.") from error
    if not rows or any(not row.get(column) for row in rows for column in TEXT_COLUMNS):
        raise bad_evaluation(f"{path} has rows without a case or a patient, or none at all.")
    return [
        {name: text if name in TEXT_COLUMNS else _value(text) for name, text in row.items()}
        for row in rows
    ]


def bad_evaluation(message: str) -> InputError:
    """Return the error for a folder that no evaluation wrote."""
    return InputError("BAD_EVALUATION", message, "Give the folder that `evaluate` wrote.")


def unknown_method(name: str, known: Sequence[str]) -> InputError:
    """Return the error for a reference that is no method."""
    return InputError(
        "UNKNOWN_METHOD",
        f"There is no method {name!r} to compare with.",
        f"Name one of {', '.join(known)}.",
    )


def _value(text: str | None) -> Any:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _paired(
    first: Mapping[str, float], second: Mapping[str, float]
) -> tuple[list[float], list[float]]:
    """Return both methods' values of the patients that both have."""
    both = [patient for patient in first if patient in second]
    return [first[patient] for patient in both], [second[patient] for patient in both]


def _correct(family: Sequence[dict[str, Any]], key: str) -> None:
    for comparison, p in zip(family, holm([c["p_signed_rank"] for c in family]), strict=True):
        comparison[key] = p
