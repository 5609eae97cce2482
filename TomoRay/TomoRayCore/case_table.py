"""The table of a batch: one case a row, read from CSV; and the report, written as CSV."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from TomoRayCore.errors import InputError

COLUMNS = ("case", "ct", "ap", "pa", "lat", "geometry", "spacing_mm")
VIEW_OF_COLUMN = {"ap": "AP", "pa": "PA", "lat": "LAT"}

CASE_NAME = re.compile(r"\w[\w.\- ]{0,79}")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|report)(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices, and the report's own."""

FORMULA_STARTS = ("=", "+", "-", "@")


@dataclass(frozen=True)
class Case:
    """One row: a CT, or radiographs with or without a CT as ground truth; paths are absolute.

    Attributes:
        name: Safe as a folder's name.
        ct: CT to project, or ground truth when there are radiographs.
        radiographs: File by view; empty when DRRs of the CT are to be used.
        geometry: A ``geometry.json`` of the radiographs.
        spacing_mm: The radiographs' detector pixel spacing.
    """

    name: str
    ct: Path | None
    radiographs: Mapping[str, Path]
    geometry: Path | None
    spacing_mm: float | None


@dataclass(frozen=True)
class Row:
    """A row of the table: a usable case, or why it cannot be used."""

    name: str
    case: Case | InputError


def read_cases(path: Path) -> list[Row]:
    """Read a CSV of cases; a bad row is returned with its error, the others stay usable.

    Columns: ``case``, and either ``ct`` or radiographs (``ap`` or ``pa``, and ``lat``); then
    ``ct`` is the ground truth. ``geometry`` and ``spacing_mm`` are optional. Relative paths are
    relative to the CSV. Comma, semicolon or tab separated.

    Raises:
        InputError: ``BAD_TABLE`` when the table as a whole cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad_table(f"{path.name} is not UTF-8 text") from error
    if "\0" in text:
        raise _bad_table(f"{path.name} is not text")
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    try:
        lines = [line for line in csv.reader(io.StringIO(text), delimiter=delimiter) if any(line)]
    except csv.Error as error:
        raise _bad_table(f"{path.name} is not a CSV table: {error}") from error
    columns = [name.strip().lower() for name in lines[0]] if lines else []
    unknown = [name for name in columns if name not in COLUMNS]
    if "case" not in columns or unknown or len(set(columns)) != len(columns):
        raise _bad_table(f"{path.name} has the columns {', '.join(columns) or '(none)'}")
    if len(lines) < 2:
        raise _bad_table(f"{path.name} lists no case")
    folder = path.resolve().parent
    records = [_record(columns, line) for line in lines[1:]]
    counts = Counter(_folded(record.get("case", "")) for record in records)
    return [_row(record, folder, counts) for record in records]


def row_of(name: str, ct: Path) -> Row:
    """Return the case of one CT under a name, or why the name cannot be used."""
    try:
        _check_name(name, {})
        return Row(name, Case(name, ct, {}, None, None))
    except InputError as error:
        return Row(name, error)


def _record(columns: Sequence[str], line: Sequence[str]) -> dict[str, str]:
    record = {name: cell.strip() for name, cell in zip(columns, line, strict=False)}
    if len(line) > len(columns) and any(cell.strip() for cell in line[len(columns) :]):
        record["excess"] = "yes"
    return record


def _row(record: Mapping[str, str], folder: Path, counts: Mapping[str, int]) -> Row:
    name = record.get("case", "")
    try:
        _check_name(name, counts)
        return Row(name, _case(record, folder))
    except InputError as error:
        return Row(name, error)


def _check_name(name: str, counts: Mapping[str, int]) -> None:
    usable = CASE_NAME.fullmatch(name) and not RESERVED.fullmatch(name)
    if not usable or name[-1] in ". " or len(name.encode()) > 200:
        raise InputError(
            "BAD_CASE_NAME",
            f"{name!r} cannot be the name of a folder on every system.",
            "Use up to 80 letters, digits, spaces, dots, hyphens and underscores, starting with "
            "a letter or digit.",
        )
    if counts.get(_folded(name), 1) > 1:
        raise InputError(
            "DUPLICATE_CASE",
            f"The case {name!r} is listed {counts[_folded(name)]} times (upper and lower case "
            "count as equal), so neither is done.",
            "Give every case its own name.",
        )


def _case(record: Mapping[str, str], folder: Path) -> Case:
    def path_of(column: str) -> Path | None:
        return folder / record[column] if record.get(column) else None

    if "excess" in record:
        raise _bad_row("The row has more cells than the table has columns")
    radiographs = {
        view: path
        for column, view in VIEW_OF_COLUMN.items()
        if (path := path_of(column)) is not None
    }
    ct = path_of("ct")
    if ct is None and not radiographs:
        raise _bad_row("The row names neither a ct nor radiographs")
    if not radiographs and (record.get("geometry") or record.get("spacing_mm")):
        raise _bad_row("geometry and spacing_mm describe radiographs, and the row names none")
    spacing_mm = None
    if record.get("spacing_mm"):
        try:
            spacing_mm = float(record["spacing_mm"])
        except ValueError as error:
            raise _bad_row(f"spacing_mm is not a number: {record['spacing_mm']!r}") from error
    return Case(record["case"], ct, radiographs, path_of("geometry"), spacing_mm)


def report_csv(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> str:
    """Return a CSV table whose text cells no spreadsheet takes for a formula."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({column: _cell(row.get(column)) for column in columns})
    return text.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = " ".join(str(value).replace("\0", "").split())
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULA_STARTS) else text


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _bad_table(message: str) -> InputError:
    return InputError(
        "BAD_TABLE",
        f"{message}.",
        f"Give a CSV with the column case and any of {', '.join(COLUMNS[1:])}.",
    )


def _bad_row(message: str) -> InputError:
    return InputError("BAD_ROW", f"{message}.", "Correct this row of the table.")
