"""All figures that given files allow, and the report, into one folder: all of them or none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from TomoRayCore.errors import InputError
from TomoRayCore.io.atomic import write_text
from TomoRayCore.outputs import staged
from TomoRayCore.windows import window_named
from TomoRayTraining.figures.boxes import box_figure, overview_figures
from TomoRayTraining.figures.calibration import (
    calibration_error,
    calibration_figure,
    read_uncertainty,
)
from TomoRayTraining.figures.cases import bad_volumes, read_shown, read_views
from TomoRayTraining.figures.curves import curves_figure
from TomoRayTraining.figures.evaluation import Evaluation, read_evaluation
from TomoRayTraining.figures.html import Picture, Section, report
from TomoRayTraining.figures.names import metric_label
from TomoRayTraining.figures.panels import panel_figure
from TomoRayTraining.figures.runs import Run, read_runs
from TomoRayTraining.figures.style import save, shown_name, styled
from TomoRayTraining.figures.tables import comparison_table, definition_table, score_table


@dataclass(frozen=True)
class Request:
    """What to draw from.

    Attributes:
        evaluation: Folder of an evaluation.
        metrics: Columns to draw; without any, those of the summary.
        runs: Name and folder (or log) of training runs.
        volumes: ``CASE CT NAME=SCT ...`` for each case to look at.
        radiographs: ``CASE VIEW=FILE ...`` for cases whose own views shall be shown.
        uncertainty: CSV file with stated and true errors.
        window: HU window of the cases, by name.
    """

    evaluation: Path | None = None
    metrics: Sequence[str] = ()
    runs: Sequence[tuple[str, Path]] = ()
    volumes: Sequence[Sequence[str]] = ()
    radiographs: Sequence[Sequence[str]] = ()
    uncertainty: Path | None = None
    window: str = "full"


def draw(request: Request, out: Path) -> list[Path]:
    """Draw; return the files: a PNG and a PDF of each figure, and ``report.html`` last.

    Raises:
        InputError: ``NOTHING_TO_DRAW``, or what reading raises; then nothing is written.
    """
    if not (request.evaluation or request.runs or request.volumes or request.uncertainty):
        raise InputError(
            "NOTHING_TO_DRAW",
            "No evaluation, run, volume or uncertainty is given.",
            "Give at least --evaluation FOLDER.",
        )
    with styled(), staged(out) as stage:
        evaluation = None
        if request.evaluation is not None:
            evaluation = read_evaluation(request.evaluation, request.metrics)
        sections = []
        if evaluation is not None:
            sections.append(_scores(evaluation, stage))
        if request.volumes:
            sections.append(_cases(request, evaluation, stage))
        if request.runs:
            sections.append(_training(read_runs(request.runs), stage))
        if request.uncertainty is not None:
            sections.append(_calibration(request.uncertainty, stage))
        names = [file.name for file in sorted(stage.iterdir())]
        write_text(stage / "report.html", report("TomoRay: evaluation", sections))
    return [out / name for name in [*names, "report.html"]]


def _scores(evaluation: Evaluation, stage: Path) -> Section:
    pages = overview_figures(evaluation)
    overview = [
        _saved(page, stage, "boxes" if len(pages) == 1 else f"boxes-page{number:02d}", "Box plots.")
        for number, page in enumerate(pages, start=1)
    ]
    for metric in evaluation.metrics:
        _saved(box_figure(evaluation, metric), stage, f"boxes-{metric}", metric_label(metric))
    summary = evaluation.summary
    said = [f"{key}: {summary[key]}" for key in ("split", "input", "voxels") if key in summary]
    patients = {patient for rows in evaluation.patients.values() for patient in rows}
    text = "; ".join([f"Patients: {len(patients)}", *said])
    tables = [score_table(evaluation), comparison_table(evaluation), definition_table(evaluation)]
    return Section("Scores", text + ".", tables, overview)


def _cases(request: Request, evaluation: Evaluation | None, stage: Path) -> Section:
    views = dict(read_views(words) for words in request.radiographs)
    absent = sorted(views.keys() - {words[0] for words in request.volumes})
    if absent:
        raise bad_volumes(f"--radiographs names {absent[0]!r}, --volumes does not.")
    window = window_named(request.window)
    pictures = []
    names = _distinct(_file_name(words[0]) for words in request.volumes)
    for words, name in zip(request.volumes, names, strict=True):
        shown = read_shown(words, views, evaluation, window)
        caption = (
            f"{shown.case}: ground truth with the input views, then "
            f"{', '.join(map(shown_name, shown.scts))} with the signed difference."
        )
        pictures.append(_saved(panel_figure(shown), stage, f"case-{name}", caption))
    return Section("Cases", "Synthetic images; not for diagnosis.", (), pictures)


def _training(runs: Sequence[Run], stage: Path) -> Section:
    names = ", ".join(run.name for run in runs)
    picture = _saved(curves_figure(runs), stage, "training", f"Training curves of {names}.")
    return Section("Training", pictures=[picture])


def _calibration(path: Path, stage: Path) -> Section:
    data = read_uncertainty(path)
    caption = f"Calibration of the uncertainty; ENCE {100 * calibration_error(data):.1f} %."
    picture = _saved(calibration_figure(data), stage, "calibration", caption)
    return Section("Uncertainty", pictures=[picture])


def _saved(figure: Figure, stage: Path, name: str, caption: str) -> Picture:
    png, _ = save(figure, stage, _file_name(name))
    return Picture(png, caption, float(figure.get_figwidth()))


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.+-]", "_", text)


def _distinct(names: Iterable[str]) -> list[str]:
    """Return names of which none repeats, so that no case's figure replaces another's."""
    taken: list[str] = []
    for name in names:
        number, free = 1, name
        while free in taken:
            number += 1
            free = f"{name}-{number}"
        taken.append(free)
    return taken
