"""Held-out patients through the product's own path, next to the trivial baseline."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.bundle import Bundle
from TomoRayCore.drr import project
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.inference import reconstruct
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.metrics import compare
from TomoRayCore.network_io import OutputSpec
from TomoRayCore.progress import Progress, Report
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.resample import resample
from TomoRayCore.volume import Volume, canonical_grid
from TomoRayTraining.augmentation import scanned_slices
from TomoRayTraining.cases import Case
from TomoRayTraining.config import DataConfig
from TomoRayTraining.films import films_of
from TomoRayTraining.realism import realistic
from TomoRayTraining.statistics import mean_with_interval, paired_comparison
from TomoRayTraining.validate import about_centre

Predict = Callable[[Case, Volume], Volume]


def drrs_of(volume: Volume, geometry: AcquisitionGeometry) -> list[Radiograph]:
    """Return the views that a reconstruction of this head starts from."""
    return [
        Radiograph(image, view.label, view.pixel_spacing_mm, "line_integral", {}, geometry)
        for image, view in zip(project(volume, geometry), geometry.views, strict=True)
    ]


def realistic_films_of(
    volume: Volume, geometry: AcquisitionGeometry, seed: int
) -> list[Radiograph]:
    """Return the same views as films that nobody could tell to be DRRs."""
    images = realistic(project(volume, geometry), geometry, np.random.default_rng(seed))
    return [
        Radiograph(image, view.label, view.pixel_spacing_mm)
        for image, view in zip(images, geometry.views, strict=True)
    ]


def model_prediction(bundle: Bundle, device: str = "auto", images: str = "drr") -> Predict:
    """Return a predictor that reconstructs each case.

    Args:
        bundle: The model.
        device: ``auto``, ``cpu`` or ``cuda``.
        images: From each case's own ``drr``, from ``realistic`` ones, or from its ``films``.
    """

    def predict(case: Case, ct: Volume) -> Volume:
        geometry = bundle.geometry.centred_on(ct.grid.centre_lps)
        if images == "films":
            data = DataConfig(views=bundle.geometry.labels)
            radiographs, geometry = films_of(case, data, ct.grid.centre_lps)
        elif images == "realistic":
            seed = zlib.crc32(case.case.encode())
            radiographs = realistic_films_of(ct, geometry, seed)
        else:
            radiographs = drrs_of(ct, geometry)
        return reconstruct(radiographs, geometry, bundle, device).sct

    return predict


def mean_head_prediction(cases: Sequence[Case], spec: OutputSpec) -> Predict:
    """Return the trivial baseline: every patient gets the voxel-wise mean of the training heads.

    Means are over the heads that were scanned at a voxel, around each volume's centre.
    """
    total: NDArray[np.float64] = np.zeros((spec.size,) * 3)
    count = np.zeros(spec.size)
    for case in cases:
        ct = about_centre(read_volume(case.ct), spec)
        scanned = scanned_slices(ct)
        total[scanned] += ct.array_hu[scanned]
        count += scanned
    mean_hu = total / np.maximum(count, 1)[:, None, None]
    mean_hu[count == 0] = -1000

    def predict(_case: Case, ct: Volume) -> Volume:
        grid = canonical_grid(ct.grid.centre_lps, spec.size, spec.spacing_mm)
        return Volume(np.rint(mean_hu).astype(np.int16), grid.ijk_to_lps)

    return predict


def evaluate(
    cases: Sequence[Case], predict: Predict, report: Report | None = None
) -> list[dict[str, Any]]:
    """Return one row of metrics a case, over its scanned slices, in the full window.

    Raises:
        InputError: ``BAD_CASES`` when there are none.
    """
    if not cases:
        raise InputError("BAD_CASES", "There is no case to evaluate.", "Add cases to that split.")
    progress = Progress(report)
    rows = []
    for number, case in enumerate(cases, start=1):
        ct = read_volume(case.ct)
        sct = predict(case, ct)
        truth = resample(ct, sct.grid)
        mask = np.broadcast_to(scanned_slices(truth)[:, None, None], truth.shape)
        metrics = compare(sct, truth, mask=mask).to_dict()
        rows.append({"case": case.case, "patient": case.patient, **metrics})
        progress("evaluating", number / len(cases), case.case)
    return rows


def summary(
    model: Sequence[dict[str, Any]], baseline: Sequence[dict[str, Any]], names: Sequence[str]
) -> dict[str, Any]:
    """Return, for each metric, model and mean head with intervals and their paired difference.

    A patient for whom either has no finite value (a perfect PSNR) is left out of that metric.
    """
    result: dict[str, Any] = {}
    for name in names:
        pairs = [(row[name], other[name]) for row, other in zip(model, baseline, strict=True)]
        pairs = [pair for pair in pairs if None not in pair]
        if not pairs:
            result[name] = None
            continue
        ours, theirs = ([float(value) for value in column] for column in zip(*pairs, strict=True))
        result[name] = {
            "model": mean_with_interval(ours),
            "mean_head": mean_with_interval(theirs),
            "difference": paired_comparison(ours, theirs),
        }
    return result


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write per-case results as CSV; a metric without a finite value is an empty field."""
    import csv

    from TomoRayCore.io.atomic import atomic_path

    plain = (str, int, float, type(None))
    flat = [{k: v for k, v in row.items() if isinstance(v, plain)} for row in rows]
    with atomic_path(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(flat[0]))
        writer.writeheader()
        writer.writerows(flat)
