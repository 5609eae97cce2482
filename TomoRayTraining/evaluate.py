"""Held-out patients through the product's own path, scored."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from TomoRayCore.bundle import Bundle
from TomoRayCore.devices import pick_device
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
from TomoRayTraining.baselines import mean_head, moved
from TomoRayTraining.cases import Case
from TomoRayTraining.config import DataConfig
from TomoRayTraining.films import films_of
from TomoRayTraining.realism import realistic
from TomoRayTraining.resources import measured

Predict = Callable[[Case, Volume], Volume]
Start = Callable[[Case, Volume], Callable[[], Volume]]
"""Makes a case's images and returns what reconstructs them: that alone is timed."""

Scorer = Callable[[Volume, Volume], dict[str, Any]]
"""From a prediction and the CT to a row of metrics."""


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


def shown(
    case: Case, ct: Volume, geometry: AcquisitionGeometry, images: str
) -> tuple[list[Radiograph], AcquisitionGeometry]:
    """Return what a head is reconstructed from, and where source and detector stood.

    Args:
        case: Whose head.
        ct: The same, read.
        geometry: The views, about any point.
        images: The head's own ``drr``, ``realistic`` ones, or its ``films``.
    """
    here = geometry.centred_on(ct.grid.centre_lps)
    if images == "films":
        return films_of(case, DataConfig(views=geometry.labels), ct.grid.centre_lps)
    if images == "realistic":
        return realistic_films_of(ct, here, zlib.crc32(case.case.encode())), here
    return drrs_of(ct, here), here


def model_start(bundle: Bundle, device: str = "auto", images: str = "drr") -> Start:
    """Return what makes a case ready for a model, as every user of it does."""

    def start(case: Case, ct: Volume) -> Callable[[], Volume]:
        radiographs, geometry = shown(case, ct, bundle.geometry, images)
        return lambda: reconstruct(radiographs, geometry, bundle, device).sct

    return start


def model_prediction(bundle: Bundle, device: str = "auto", images: str = "drr") -> Predict:
    """Return a predictor that reconstructs each case from ``images`` as ``shown`` makes them."""
    start = model_start(bundle, device, images)
    return lambda case, ct: start(case, ct)()


def mean_head_prediction(cases: Sequence[Case], spec: OutputSpec) -> Predict:
    """Return the trivial baseline: every patient gets the voxel-wise mean of the training heads."""
    about = canonical_grid((0, 0, 0), spec.size, spec.spacing_mm)
    mean_hu = mean_head(cases, about)

    def predict(_case: Case, ct: Volume) -> Volume:
        return Volume(mean_hu, moved(about, ct.grid.centre_lps).ijk_to_lps)

    return predict


def score(sct: Volume, ct: Volume) -> dict[str, Any]:
    """Return the plain metrics of a case, over its scanned slices, in the full window."""
    truth = resample(ct, sct.grid)
    mask = np.broadcast_to(scanned_slices(truth)[:, None, None], truth.shape)
    return compare(sct, truth, mask=mask).to_dict()


def evaluate(
    cases: Sequence[Case], predict: Predict, report: Report | None = None
) -> list[dict[str, Any]]:
    """Return one row of metrics a case, each on the grid of its own prediction.

    Raises:
        InputError: ``BAD_CASES`` when there are none.
    """
    return evaluate_started(cases, lambda case, ct: partial(predict, case, ct), report)


def evaluate_started(
    cases: Sequence[Case],
    start: Start,
    report: Report | None = None,
    *,
    spec: OutputSpec | None = None,
    scorer: Scorer = score,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """Return one row a case: metrics, ``seconds`` and ``peak_memory_mib`` of the reconstruction.

    Args:
        cases: Of one split.
        start: Makes a case ready; only what it returns is timed.
        report: Receives progress after each case.
        spec: Brings every prediction to a grid of this size and spacing about the CT's centre,
            so that all methods are scored on the same voxels, with air where a prediction does
            not reach. None: each on its own grid.
        scorer: Of a prediction and the CT.
        device: Whose memory is measured.

    Raises:
        InputError: ``BAD_CASES`` when there are none.
    """
    if not cases:
        raise InputError("BAD_CASES", "There is no case to evaluate.", "Add cases to that split.")
    progress, where = Progress(report), pick_device(device)
    rows = []
    for number, case in enumerate(cases, start=1):
        ct = read_volume(case.ct)
        calculate = start(case, ct)
        with measured(where) as usage:
            sct = calculate()
        if spec is not None:
            sct = resample(sct, canonical_grid(ct.grid.centre_lps, spec.size, spec.spacing_mm))
        used = {"seconds": usage.seconds, "peak_memory_mib": usage.peak_memory_mib}
        rows.append({"case": case.case, "patient": case.patient, **scorer(sct, ct), **used})
        progress("evaluating", number / len(cases), case.case)
    return rows
