"""An evaluation as a whole: methods on the cases of a split, to a folder of tables."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from TomoRayCore.bundle import Bundle
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.io.atomic import write_text
from TomoRayCore.progress import Report, Step
from TomoRayTraining.cases import Case
from TomoRayTraining.config import DataConfig
from TomoRayTraining.evaluate import evaluate_started
from TomoRayTraining.films import cases_with_films
from TomoRayTraining.methods import (
    GRID,
    RESERVED,
    baseline_methods,
    folder_method,
    model_method,
    two_views,
)
from TomoRayTraining.scorers import SCORERS
from TomoRayTraining.statistics import median_with_quartiles
from TomoRayTraining.table_text import table_text
from TomoRayTraining.tables import (
    INTERVALS,
    TESTS,
    Row,
    Rows,
    bad_evaluation,
    comparisons,
    read_rows,
    results,
    unknown_method,
    write_rows,
)

SHOWN = {
    "drr": "DRRs of each patient's CT, {}",
    "realistic": "DRRs of each patient's CT made realistic, {}",
    "films": "each patient's radiographs",
}
SUMMARY, TABLE = "summary.json", "table.md"
USAGE = ("seconds", "peak_memory_mib")
FACTS = ("split", "input", "voxels", "grid", "definitions", "left_out", "methods")
"""What the summary knows that the CSV files do not."""

NAME = re.compile(r"[\w.+-]+")


def benchmark(
    models: Mapping[str, Bundle],
    cases: Sequence[Case],
    split: str,
    folder: Path,
    *,
    predictions: Mapping[str, Path] | None = None,
    images: str = "drr",
    device: str = "auto",
    reference: str = "mean_head",
    baselines: Sequence[str] = RESERVED,
    scores: str = "plain",
    report: Report | None = None,
) -> dict[str, Any]:
    """Score every method on every case of a split; write a CSV each, summary and table.

    All methods are scored on the grid of the first model's synthetic CTs, about each CT's centre.

    Args:
        models: Model files by the name of their column.
        cases: Of all splits; the baselines are made from those for training.
        split: Whom to evaluate on.
        folder: Where the files go.
        predictions: Folders of volumes by the name of their column.
        images: What to reconstruct from: ``drr``, ``realistic`` or ``films``.
        device: For the networks and SART.
        reference: The method that the others are tested against.
        baselines: Which of ``RESERVED``.
        scores: A key of ``SCORERS``.
        report: Receives progress, from 0 to 1 for each method in turn.

    Raises:
        InputError: ``BAD_CASES``, ``BAD_METHOD`` for names that are taken, ``UNKNOWN_METHOD`` for
            a reference that is none, ``MISSING_PREDICTION``.
    """
    predictions = predictions or {}
    spec = next((bundle.output for bundle in models.values()), GRID)
    geometry = two_views(list(models.values()))
    seen = [bundle.geometry for bundle in models.values()]
    if "nearest_neighbour" in baselines:
        seen.append(geometry)
    chosen, heads = _cases(cases, split, seen if images == "films" else [])
    _check_names([*models, *predictions], [*models, *predictions, *baselines], reference)
    methods = [model_method(name, bundle, device, images) for name, bundle in models.items()]
    methods += [folder_method(name, path, chosen) for name, path in predictions.items()]
    simple, left_out = baseline_methods(heads, spec, geometry, device, images, baselines)
    methods += simple
    if reference in left_out:
        raise unknown_method(reference, [method.name for method in methods])
    scorer = SCORERS[scores](geometry)
    rows: dict[str, list[dict[str, Any]]] = {}
    for method in methods:
        rows[method.name] = evaluate_started(
            chosen,
            method.start,
            _named(report, method.name),
            spec=spec,
            scorer=scorer.score,
            device=method.device,
        )
        if not method.is_timed:
            for row in rows[method.name]:
                row |= dict.fromkeys(USAGE)
        write_rows(folder / f"{method.name}.csv", rows[method.name])
    facts = {
        "split": split,
        "input": SHOWN[images].format(geometry.name),
        "voxels": "scanned slices only",
        "grid": f"{spec.size} voxels of {spec.spacing_mm:g} mm along each edge, about the CT's "
        "centre; air where a prediction does not reach",
        "definitions": dict(scorer.definitions),
        "left_out": left_out,
        "methods": {method.name: dict(method.facts) for method in methods},
    }
    return _written(folder, facts, rows, reference)


def tabulate(folder: Path, reference: str | None = None) -> dict[str, Any]:
    """Write summary and table again from the CSV files, for another reference or after a change.

    Raises:
        InputError: ``BAD_EVALUATION`` for a folder that no evaluation wrote, ``UNKNOWN_METHOD``.
    """
    try:
        facts = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        names, before = list(facts["methods"]), str(facts["reference"])
        kept = {key: facts[key] for key in FACTS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise bad_evaluation(f"{folder / SUMMARY} cannot be used: {error!r}.") from error
    rows = {name: read_rows(folder / f"{name}.csv") for name in names}
    return _written(folder, kept, rows, reference or before)


def _named(report: Report | None, method: str) -> Report | None:
    """Return a report that says which method is at work."""
    if report is None:
        return None
    tell = report

    def named(step: Step) -> None:
        tell(replace(step, message=f"{method}: {step.message}"))

    return named


def _written(folder: Path, facts: Mapping[str, Any], rows: Rows, reference: str) -> dict[str, Any]:
    """Write what the rows say; return the summary."""
    first = next(iter(rows.values()))
    metrics = list(facts["definitions"])
    summary = {
        "split": facts["split"],
        "patients": len({row["patient"] for row in first}),
        "cases": len(first),
        **{key: facts[key] for key in FACTS if key not in ("split", "methods")},
        "intervals": INTERVALS,
        "reference": reference,
        "tests": TESTS,
        "comparisons": comparisons(rows, metrics, reference),
        "results": results(rows, metrics),
        "methods": {
            name: {**facts["methods"][name], "csv": f"{name}.csv", **_used(own)}
            for name, own in rows.items()
        },
    }
    write_text(folder / TABLE, table_text(summary))
    write_text(folder / SUMMARY, json.dumps(summary, indent=2))
    return summary


def _used(rows: Sequence[Row]) -> dict[str, Any]:
    """Return seconds a case as median and quartiles, and the most memory of any case."""
    seconds, memory = ([row[k] for row in rows if row.get(k) is not None] for k in USAGE)
    return {
        "seconds": median_with_quartiles(seconds) if seconds else None,
        "peak_memory_mib": max(memory) if memory else None,
    }


def _cases(
    cases: Sequence[Case], split: str, filmed: Sequence[AcquisitionGeometry]
) -> tuple[list[Case], list[Case]]:
    """Return whom to evaluate on, with films of all these views, and the training heads.

    Completed heads are taken for training where there are any.
    """
    chosen = [case for case in cases if case.split == split]
    for geometry in filmed:
        chosen = cases_with_films(chosen, DataConfig(views=geometry.labels))
    if not chosen:
        raise InputError("BAD_CASES", f"The split {split!r} has no case.", "Add cases to it.")
    training = [case for case in cases if case.split == "train"]
    return chosen, [case for case in training if case.kind == "completed"] or training


def _check_names(given: Sequence[str], all_names: Sequence[str], reference: str) -> None:
    for name in given:
        if all_names.count(name) > 1 or name in RESERVED:
            raise bad_method(f"The name {name!r} is taken.")
        if not NAME.fullmatch(name):
            raise bad_method(f"A method cannot be called {name!r}.")
    if reference not in all_names:
        raise unknown_method(reference, all_names)


def bad_method(message: str) -> InputError:
    """Return the error for a name that no method can have."""
    return InputError(
        "BAD_METHOD",
        message,
        "Give each its own name, NAME=FILE or NAME=FOLDER, of letters, digits and . + - _ .",
    )
