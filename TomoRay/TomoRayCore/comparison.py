"""A synthetic CT beside the truth, and its own projections beside the radiographs it came from."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from TomoRayCore.drr import project
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.io.atomic import write_text
from TomoRayCore.io.radiograph_io import read_radiograph
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.metrics import Metrics, compare
from TomoRayCore.outputs import refuse_overwriting, staged, texts, to_json
from TomoRayCore.progress import Progress, Report
from TomoRayCore.provenance import geometry_of, provenance_of, radiographs_of, views_in_order
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.report import comparison_picture, radiograph_picture, stack
from TomoRayCore.volume import Volume
from TomoRayCore.windows import Window, window_named


def compare_files(
    sct: Path,
    ct: Path,
    out_dir: Path,
    *,
    radiographs: Mapping[str, Path] | None = None,
    window: str = "full",
    report: Report | None = None,
) -> dict[str, Any]:
    """Write ``metrics.json`` and ``comparison.png`` of a synthetic CT and its ground truth.

    Where the radiographs are known, from the argument or from the provenance beside the synthetic
    CT, the picture shows them beside the synthetic CT's projections, and the metrics say how well
    the two correlate: the one check that needs no ground truth.

    Args:
        sct: Synthetic CT.
        ct: Ground truth; both may have any grid and orientation.
        out_dir: Folder of the outputs; created when missing.
        radiographs: File by view, or None for those that the provenance names.
        window: A key of ``windows.WINDOWS``.
        report: Receives the progress.

    Returns:
        ``outputs`` (``metrics``, ``picture``), the ``metrics``, ``warnings`` and ``seconds``.

    Raises:
        InputError: ``WINDOW_UNKNOWN``, ``OVERWRITES_INPUT``, or what reading and comparing raise.
    """
    started = time.monotonic()
    hu_window = window_named(window)
    outputs = {"metrics": out_dir / "metrics.json", "picture": out_dir / "comparison.png"}
    refuse_overwriting(outputs.values(), [sct, ct, *(radiographs or {}).values()])
    progress = Progress(report)
    progress("reading", 0.0, f"Reading {sct.name} and {ct.name}")
    synthetic, truth = read_volume(sct), read_volume(ct)
    warnings = []
    if not synthetic.is_synthetic:
        warnings.append("NOT_MARKED: the first volume carries no mark of a synthetic CT.")
    films, geometry = _films(sct, radiographs, warnings)

    progress("comparing", 0.2, "Computing the metrics")
    measured = compare(synthetic, truth, hu_window)
    metrics = measured.to_dict()
    progress("projecting", 0.5, "Projecting the synthetic CT")
    projections = _projections(synthetic, films, geometry)
    metrics["reprojection_correlation"] = {
        film.view: _correlation(film.pixels, image)
        for film, image in zip(films, projections, strict=True)
    }
    progress("drawing", 0.7, "Drawing the picture")
    picture = _picture(synthetic, truth, measured, hu_window, films, projections)
    with staged(out_dir) as stage:
        picture.save(stage / "comparison.png")
        write_text(stage / "metrics.json", to_json({"sct": sct.name, "ct": ct.name, **metrics}))
    progress("done", 1.0, "Metrics and picture written")
    return {
        "outputs": texts(outputs),
        "metrics": metrics,
        "warnings": warnings,
        "seconds": round(time.monotonic() - started, 3),
    }


def _films(
    sct: Path, named: Mapping[str, Path] | None, warnings: list[str]
) -> tuple[list[Radiograph], AcquisitionGeometry | None]:
    """Return the radiographs to show, and their geometry; none when it is not known."""
    provenance = provenance_of(sct)
    if named:
        films = [read_radiograph(path, view) for view, path in views_in_order(named).items()]
    elif provenance is None:
        return [], None
    else:
        try:
            films = radiographs_of(sct, provenance)
        except InputError as error:
            warnings.append(f"{error.code}: {error.message} {error.remedy}")
            return [], None
    geometry = None if provenance is None else geometry_of(provenance)
    geometry = geometry or next((film.acquisition for film in films if film.acquisition), None)
    if geometry is None or any(film.view not in geometry.labels for film in films):
        warnings.append(
            "GEOMETRY_UNKNOWN: neither the radiographs nor the synthetic CT's provenance say where "
            "source and detector stood, so the projections are not compared."
        )
        return [], None
    return films, geometry


def _projections(
    synthetic: Volume, films: Sequence[Radiograph], geometry: AcquisitionGeometry | None
) -> list[NDArray[np.float32]]:
    """Return the synthetic CT's projections, one a film and of its shape."""
    if geometry is None or not films:
        return []
    views = tuple(geometry.view(film.view).resized(film.shape) for film in films)
    return list(
        project(synthetic, AcquisitionGeometry(geometry.name, geometry.isocentre_lps, views))
    )


def _correlation(film: NDArray[np.float32], image: NDArray[np.float32]) -> float | None:
    """Return Pearson's correlation, which no unknown scale or offset of a film can change."""
    if image.std() == 0:
        return None
    return float(np.corrcoef(film.ravel(), image.ravel())[0, 1])


def _picture(
    synthetic: Volume,
    truth: Volume,
    measured: Metrics,
    window: Window,
    films: Sequence[Radiograph],
    projections: Sequence[NDArray[np.float32]],
) -> Image.Image:
    slices = comparison_picture(synthetic, truth, measured, window)
    if not films:
        return slices
    return stack([slices, radiograph_picture(films, projections)])
