"""DRRs of many CTs in one run: from files, DICOM folders or a table, a folder of outputs each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from TomoRayCore.case_runner import Outcome, Work, run_cases
from TomoRayCore.case_table import Case, Row, read_cases, row_of
from TomoRayCore.drr_case import write_drrs
from TomoRayCore.drr_request import DrrRequest
from TomoRayCore.errors import InputError
from TomoRayCore.io.atomic import full_suffix
from TomoRayCore.outputs import sha256_of
from TomoRayCore.progress import Progress, Report, as_report

TABLE_SUFFIX = ".csv"
NOT_IN_NAMES = re.compile(r"[^\w.\- ]+")


def run_drrs(
    cts: Sequence[Path],
    out_dir: Path,
    request: DrrRequest,
    *,
    resume: bool = True,
    report: Report | None = None,
    on_case: Callable[[Outcome], None] | None = None,
) -> dict[str, Any]:
    """Project every CT into a folder of its own and keep ``report.csv`` up to date after each.

    Args:
        cts: Volume files, DICOM folders, and tables (.csv) with the columns ``case`` and ``ct``.
        out_dir: Gets one folder a case, and the report.
        request: Which DRRs.
        resume: Skip cases that an earlier run finished with the same CT and request.
        report: Receives the progress over all cases.
        on_case: Told after each case.

    Returns:
        As ``case_runner.run_cases``.

    Raises:
        InputError: The request or a table is unusable: no case could succeed.
    """
    request.file_names()
    rows = drr_rows(cts)
    masks = {f"mask {wish.name}": wish.mask for wish in request.wishes() if wish.mask}
    settings = [asdict(request), {name: sha256_of(mask) for name, mask in masks.items()}]

    def run(case: Case, folder: Path, progress: Progress) -> dict[str, Any]:
        return write_drrs(_ct_of(case), folder, request, report=as_report(progress))

    work = Work(run, lambda case: {"ct": _ct_of(case)}, settings)
    return run_cases(rows, out_dir, work, resume=resume, report=report, on_case=on_case)


def drr_rows(cts: Sequence[Path]) -> list[Row]:
    """Return one case a CT; its name is the file's or folder's, and what tells it from others.

    Of files that are called alike, the folders above them become part of the name.
    """
    rows: list[Row] = []
    singles = [path for path in cts if path.suffix.lower() != TABLE_SUFFIX]
    names = dict(zip(singles, _names(singles), strict=True))
    for path in cts:
        if path in names:
            rows.append(row_of(names[path], path))
        else:
            rows += [_with_ct(row) for row in read_cases(path)]
    counts = Counter(row.name.casefold() for row in rows)
    return [row if counts[row.name.casefold()] == 1 else _ambiguous(row) for row in rows]


def _names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each path, as short as keeps them apart."""
    stems = Counter(_place(path) for path in paths)
    parts = [_parts(path, with_suffix=stems[_place(path)] > 1) for path in paths]
    lengths = [1] * len(parts)
    while True:
        names = ["_".join(part[-n:]) for part, n in zip(parts, lengths, strict=True)]
        counts = Counter(name.casefold() for name in names)
        longer = [
            min(n + 1, len(part)) if counts[name.casefold()] > 1 else n
            for name, part, n in zip(names, parts, lengths, strict=True)
        ]
        if longer == lengths:
            return names
        lengths = longer


def _place(path: Path) -> str:
    """Return what two files of one folder share that differ in their suffix alone."""
    whole = path.resolve()
    return str(whole)[: -len(full_suffix(whole)) or None].casefold()


def _parts(path: Path, *, with_suffix: bool) -> list[str]:
    """Return the names of the folders above a CT and its own, fit for folders' names."""
    whole = path.resolve()
    keep = with_suffix or whole.is_dir()
    own = whole.name if keep else whole.name[: -len(full_suffix(whole)) or None]
    names = [*whole.parent.parts[1:], own]
    return [NOT_IN_NAMES.sub("_", name).strip(". _") or "case" for name in names]


def _with_ct(row: Row) -> Row:
    if isinstance(row.case, Case) and row.case.ct is None:
        return Row(
            row.name,
            InputError("BAD_ROW", "The row names no ct.", "Correct this row of the table."),
        )
    return row


def _ambiguous(row: Row) -> Row:
    return Row(
        row.name,
        InputError(
            "DUPLICATE_CASE",
            f"The case {row.name!r} is listed several times (upper and lower case count as "
            "equal), so none of them is done.",
            "Give every case its own name, in a table.",
        ),
    )


def _ct_of(case: Case) -> Path:
    if case.ct is None:
        raise TypeError("rows without a CT are refused before")
    return case.ct
