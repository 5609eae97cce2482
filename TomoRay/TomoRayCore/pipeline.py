"""From files to files: the one implementation behind CLI, worker, batch and the Slicer module.

Each function reads its inputs, checks them, computes, and writes its outputs as a set that appears
whole or not at all. Results are plain types: ``outputs`` maps a name to a path, ``warnings`` lists
what the user should know, the rest says what was done. torch is imported by ``reconstruct_files``
alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from TomoRayCore.checks import check_radiographs
from TomoRayCore.comparison import compare_files
from TomoRayCore.drr_case import drr_files
from TomoRayCore.errors import InputError, SetupError
from TomoRayCore.io.radiograph_io import read_radiograph
from TomoRayCore.io.volume_io import write_volume
from TomoRayCore.outputs import refuse_overwriting, staged, texts, to_json
from TomoRayCore.progress import Progress, Report, as_report
from TomoRayCore.provenance import (
    describe_inputs,
    provenance_path,
    read_geometry,
    views_in_order,
)

if TYPE_CHECKING:
    from TomoRayCore.bundle import Bundle

Result = dict[str, Any]

__all__ = [
    "as_report",
    "case_files",
    "compare_files",
    "drr_files",
    "load_model",
    "phantom_file",
    "reconstruct_files",
]

DEMO_SEED = 2024
"""Of the demo's phantom; the default model has not seen it."""


def reconstruct_files(
    radiographs: Mapping[str, Path],
    out: Path,
    *,
    model: str | Path | Bundle | None = None,
    device: str = "auto",
    geometry: Path | None = None,
    spacing_mm: float | None = None,
    invert: bool = False,
    report: Report | None = None,
) -> Result:
    """Compute the synthetic CT of radiographs; write it and its provenance beside it.

    Args:
        radiographs: File by view (``AP``, ``PA``, ``LAT``): those that the model takes.
        out: ``.nrrd``, ``.nii``, ``.nii.gz`` or ``.mha``; the provenance gets the suffix ``.json``.
        model: Model name, model file, a bundle read before, or None for the default model.
        device: ``auto``, ``cpu`` or ``cuda``.
        geometry: A ``geometry.json``, where the radiographs do not carry their own.
        spacing_mm: Detector pixel spacing, where the files do not state it.
        invert: Swap black and white of files whose polarity is not stated.
        report: Receives the progress.

    Returns:
        ``outputs`` (``sct``, ``provenance``), the provenance itself, ``warnings``, ``seconds``.
    """
    started = time.monotonic()
    progress = Progress(report)
    provenance_out = provenance_path(out)
    sources = views_in_order(radiographs)
    inputs = [*sources.values()] + ([geometry] if geometry else [])
    refuse_overwriting([out, provenance_out], inputs)

    progress("reading", 0.0, "Reading the radiographs")
    images = [
        read_radiograph(path, view, spacing_mm=spacing_mm, invert=invert)
        for view, path in sources.items()
    ]
    acquisition = None if geometry is None else read_geometry(geometry)
    progress("loading", 0.05, "Loading the model")
    bundle = load_model(model)
    warnings = check_radiographs(images, bundle.geometry.labels)
    from TomoRayCore.inference import reconstruct

    reconstruction = reconstruct(
        images,
        acquisition,
        bundle,
        device=device,
        report=as_report(progress.part(0.1, 0.9)),
    )
    _extend(warnings, reconstruction.warnings)
    progress("writing", 0.9, f"Writing {out.name}")
    provenance: Result = {
        "schema": 1,
        "sct": out.name,
        "inputs": describe_inputs(sources, out, spacing_mm, invert),
        **reconstruction.provenance,
        "warnings": warnings,
    }
    with staged(out.parent) as stage:
        write_volume(reconstruction.sct, stage / out.name)
        (stage / provenance_out.name).write_text(to_json(provenance), encoding="utf-8")
    progress("done", 1.0, f"{out.name} written")
    return {
        "outputs": texts({"sct": out, "provenance": provenance_out}),
        "provenance": provenance,
        "warnings": warnings,
        "seconds": round(time.monotonic() - started, 3),
    }


def case_files(
    out_dir: Path,
    *,
    ct: Path | None = None,
    radiographs: Mapping[str, Path] | None = None,
    geometry: Path | None = None,
    spacing_mm: float | None = None,
    model: str | Path | Bundle | None = None,
    device: str = "auto",
    window: str = "full",
    report: Report | None = None,
) -> Result:
    """Do all that can be done with one case: DRRs, ``sct.nrrd``, metrics and picture.

    Args:
        out_dir: Folder of all outputs.
        ct: Projected when there are no radiographs; ground truth in any case.
        radiographs: File by view; empty or None to use DRRs of the CT.
        geometry: As in ``reconstruct_files``.
        spacing_mm: As in ``reconstruct_files``.
        model: As in ``reconstruct_files``.
        device: ``auto``, ``cpu`` or ``cuda``.
        window: HU window of the comparison.
        report: Receives the progress.

    Returns:
        ``outputs`` and ``warnings`` of all steps, ``provenance``, ``metrics`` where there is a
        ground truth, ``seconds``.
    """
    started = time.monotonic()
    progress = Progress(report)
    outputs: dict[str, str] = {}
    warnings: list[str] = []
    given = dict(radiographs or {})
    if not given and ct is None:
        raise InputError(
            "NO_INPUT", "Neither a CT nor radiographs were given.", "Give one of the two."
        )
    model = load_model(model)
    if ct is not None and not given:
        views = model.geometry.labels
        drrs = drr_files(ct, out_dir, views=views, report=as_report(progress.part(0.0, 0.3)))
        given = {view: Path(drrs["outputs"][view]) for view in views}
        _gather(drrs, outputs, warnings)
    sct = out_dir / "sct.nrrd"
    result = reconstruct_files(
        given,
        sct,
        model=model,
        device=device,
        geometry=geometry,
        spacing_mm=spacing_mm,
        report=as_report(progress.part(0.3, 0.8)),
    )
    _gather(result, outputs, warnings)
    if ct is not None:
        compared = compare_files(
            sct, ct, out_dir, window=window, report=as_report(progress.part(0.8, 1.0))
        )
        _gather(compared, outputs, warnings)
        result["metrics"] = compared["metrics"]
    progress("done", 1.0, "All outputs written")
    return {
        **result,
        "outputs": outputs,
        "warnings": warnings,
        "seconds": round(time.monotonic() - started, 3),
    }


def phantom_file(out: Path, *, report: Report | None = None) -> Path:
    """Make the demo's head phantom and write its CT."""
    from TomoRayCore.phantom import make_phantom

    progress = Progress(report)
    progress("phantom", 0.0, "Making a head phantom")
    phantom = make_phantom(seed=DEMO_SEED)
    progress("writing", 0.9, f"Writing {out.name}")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_volume(phantom.ct, out)
    return out


def load_model(model: str | Path | Bundle | None) -> Bundle:
    """Return a checked model by name, file or None for the default one; a bundle as it is.

    Raises:
        InputError: The file is missing, damaged or no model.
        SetupError: ``DEFAULT_MODEL_MISSING``: this installation came without it.
    """
    from TomoRayCore.bundle import DEFAULT_MODEL, model_folder, read_bundle

    if model is None and not (model_folder() / f"{DEFAULT_MODEL}.safetensors").is_file():
        raise SetupError(
            "DEFAULT_MODEL_MISSING",
            f"The default model {DEFAULT_MODEL} did not come with this installation.",
            "Install TomoRay again, or name a model file (--model FILE).",
        )
    return read_bundle(model) if model is None or isinstance(model, str | Path) else model


def _extend(warnings: list[str], more: Sequence[str]) -> None:
    warnings.extend(text for text in more if text not in warnings)


def _gather(result: Result, outputs: dict[str, str], warnings: list[str]) -> None:
    outputs.update(result["outputs"])
    _extend(warnings, result["warnings"])
