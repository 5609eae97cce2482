"""Which heads there are and which split each patient belongs to, as a text file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from TomoRayCore.errors import InputError
from TomoRayCore.io.atomic import write_text

Split = Literal["train", "val", "test"]
COLUMNS = ("case", "patient", "split", "kind", "ct")
VIEW_OF_COLUMN = {"ap": "AP", "pa": "PA", "lat": "LAT"}
OPTIONAL = (*VIEW_OF_COLUMN, "geometry")
"""Radiographs of the same head, and where source and detector stood in the CT's world."""


@dataclass(frozen=True)
class Case:
    """One head.

    Attributes:
        case: Unique name.
        patient: Whose head; a patient is in one split only.
        split: ``train``, ``val`` or ``test``.
        kind: ``whole`` or ``cut`` (real; the vertex was scanned or not), ``completed`` (real with a
            borrowed vault, training only) or ``phantom``.
        ct: Volume file on any grid; the training frame is the volume's centre.
        films: Radiograph files of the same head by view; none in most cases.
        film_geometry: A ``geometry.json`` of the films, in the CT's world, or None.
    """

    case: str
    patient: str
    split: Split
    kind: str
    ct: Path
    films: Mapping[str, Path] = field(default_factory=dict, hash=False)
    film_geometry: Path | None = None


def read_cases(path: Path) -> list[Case]:
    """Read a case table; paths may be relative to it. ``OPTIONAL`` columns may be missing.

    Raises:
        InputError: ``BAD_CASES`` for missing columns, unknown splits, repeated names, or a
            patient in two splits.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:  # Excel begins with a mark
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _bad(f"{path} cannot be read: {error}.") from error
    cases = []
    for number, row in enumerate(rows, start=2):
        missing = [column for column in COLUMNS if not row.get(column)]
        if missing:
            raise _bad(f"{path.name}, line {number}: the column {missing[0]!r} is empty.")
        if row["split"] not in get_args(Split):
            raise _bad(f"{path.name}, line {number}: {row['split']!r} is no split.")
        split: Split = row["split"]  # type: ignore[assignment]
        films = {view: path.parent / row[c] for c, view in VIEW_OF_COLUMN.items() if row.get(c)}
        geometry = path.parent / row["geometry"] if row.get("geometry") else None
        ct = path.parent / row["ct"]
        cases.append(Case(row["case"], row["patient"], split, row["kind"], ct, films, geometry))
    check_cases(cases)
    return cases


def write_cases(path: Path, cases: Sequence[Case]) -> None:
    """Write a case table that ``read_cases`` reads back."""
    check_cases(cases)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    optional = [name for name in OPTIONAL if any(_optional(case, name) for case in cases)]
    writer.writerow([*COLUMNS, *optional])
    for c in cases:
        written = [c.case, c.patient, c.split, c.kind, c.ct.as_posix()]
        writer.writerow(written + [_optional(c, name) for name in optional])
    write_text(path, text.getvalue())


def _optional(case: Case, column: str) -> str:
    file = case.film_geometry
    if column in VIEW_OF_COLUMN:
        file = case.films.get(VIEW_OF_COLUMN[column])
    return "" if file is None else file.as_posix()


def check_cases(cases: Sequence[Case]) -> None:
    """Refuse an empty table, repeated names, patients in two splits, a geometry without films."""
    if not cases:
        raise _bad("There are no cases.")
    names = [case.case for case in cases]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise _bad(f"The case {repeated[0]!r} is listed twice.")
    lone = [case.case for case in cases if case.film_geometry is not None and not case.films]
    if lone:
        raise _bad(f"The case {lone[0]!r} has a geometry of films and no films.")
    split_of: dict[str, str] = {}
    for case in cases:
        if split_of.setdefault(case.patient, case.split) != case.split:
            raise _bad(
                f"Patient {case.patient!r} is in {split_of[case.patient]} and in {case.split}."
            )


def cases_of_collection(folder: Path) -> list[Case]:
    """List a collection: ``manifest.csv`` and volumes in ``heads_2mm``.

    The manifest has the columns ``id``, ``split`` and ``vertex_missing_mm``.
    Files of ``heads_2mm_completed`` are added as training cases of the same patients; a completed
    file of a patient outside the training split is left out.
    """
    try:
        with (folder / "manifest.csv").open(newline="", encoding="utf-8") as stream:
            rows = {row["id"]: row for row in csv.DictReader(stream)}
        cut = {name: float(row["vertex_missing_mm"] or 0) > 0 for name, row in rows.items()}
        splits = {name: row["split"] for name, row in rows.items()}
    except (OSError, KeyError, ValueError) as error:
        raise _bad(f"{folder} has no manifest.csv with id, split, vertex_missing_mm.") from error
    cases = []
    for name in ("heads_2mm", "heads_2mm_completed"):
        for path in sorted((folder / name).glob("*.nii.gz")):
            patient = path.name.removesuffix(".nii.gz")
            completed = name == "heads_2mm_completed"
            split = splits.get(patient, "")
            if split not in get_args(Split) or (completed and split != "train"):
                continue
            kind = "completed" if completed else "cut" if cut[patient] else "whole"
            known: Split = split  # type: ignore[assignment]
            cases.append(Case(f"{patient}-{kind}", patient, known, kind, path.resolve()))
    if not cases:
        raise _bad(f"{folder} has no heads_2mm/ID.nii.gz whose ID the manifest puts in a split.")
    return cases


def _bad(message: str) -> InputError:
    return InputError("BAD_CASES", message, f"The table needs {', '.join(COLUMNS)}.")
