"""From one CT to DRR files: read, checked, projected, and written as a set.

Neither this module nor what it imports loads a library beyond numpy, so that a short call stays
short: SimpleITK, pydicom, scipy and Pillow are imported where a file or an option needs them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from TomoRayCore import __version__
from TomoRayCore.checks import check_ct, location_warnings
from TomoRayCore.drr_images import Projected, empty_warnings, project_request, selection_of
from TomoRayCore.drr_request import GEOMETRY, SIDECAR, DrrRequest, Numbers, file_stem
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.head import locate_head
from TomoRayCore.io.drr_file import DrrRecord
from TomoRayCore.io.drr_out import picture_scale, write_drr
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.outputs import refuse_overwriting, sha256_of, staged, texts, to_json
from TomoRayCore.progress import Progress, Report
from TomoRayCore.volume import Volume

KEY_ENDINGS = {"nrrd": "", "png": "_picture", "tiff": "_tiff", "dicom": "_dicom"}
"""How results name the outputs: the view, and for all but the first of these the format."""

SIDECAR_SCHEMA = 1


def drr_files(
    ct: Path,
    out_dir: Path,
    *,
    preset: str = "cranial-biplanar",
    size: int | Sequence[int] = 128,
    views: Sequence[str] = ("AP", "LAT"),
    sad_mm: float | None = None,
    sdd_mm: float | None = None,
    isocentre: str | Sequence[float] | None = None,
    parallel: bool = False,
    spacing_mm: Numbers | None = None,
    detector_mm: Numbers | None = None,
    rotate_deg: float = 0.0,
    detector_offset_mm: Sequence[float] = (0.0, 0.0),
    formats: Sequence[str] = ("nrrd", "png"),
    structures: Sequence[str] = (),
    physics: str | Mapping[str, Any] = "line-integral",
    seed: int = 0,
    window: Sequence[float] | None = None,
    report: Report | None = None,
) -> dict[str, Any]:
    """Project a CT and write each view as ``ap.nrrd``, ``ap.png``, ..., with its geometry.

    Beside the images lie ``geometry.json`` and ``drr.json``, which says how all of it was made.

    Args:
        ct: Volume file, DICOM file or folder.
        out_dir: Folder of the outputs; created when missing.
        preset: A key of ``presets.PRESETS``.
        size: Detector pixels along each edge, or (rows, columns).
        views: ``AP``, ``PA``, ``LAT``, or angles in degrees such as ``30`` or ``120:10``; see
            ``view_names``.
        sad_mm: Source to isocentre, instead of the preset's.
        sdd_mm: Source to detector, instead of the preset's.
        isocentre: ``head`` (also None: located in the CT), ``centre`` of the volume, or LPS mm.
        parallel: A parallel beam, whatever the preset has.
        spacing_mm: Pixel spacing at the detector, one number or (row, column).
        detector_mm: Edge of the detector, one number or (height, width); instead of the spacing.
        rotate_deg: Turn of the detectors in their plane; see ``presets.make_view``.
        detector_offset_mm: Shift of the detectors along their rows and columns.
        formats: Out of ``nrrd``, ``tiff``, ``png``, ``dicom``.
        structures: Parts that get images of their own (``ap-bone.nrrd``): ``bone``, ``soft``,
            ``NAME=LOW:HIGH`` in HU, ``NAME=FILE`` with a mask.
        physics: A name of ``physics.options.PRESETS``, or the fields of a ``DrrOptions``.
        seed: Of the noise.
        window: Lowest and highest value that the PNG pictures show, which then are for eyes only.
        report: Receives the progress.

    Returns:
        ``outputs`` (``AP``, ``AP_picture``, ..., ``geometry``, ``record``), ``isocentre_lps``,
        ``preset``, ``warnings`` and ``seconds``.

    Raises:
        InputError: For a CT, options or a folder that cannot be used.
        SetupError: ``DISK_FULL``.
    """
    return write_drrs(
        ct,
        out_dir,
        DrrRequest(
            preset=preset,
            size=size,
            views=views,
            sad_mm=sad_mm,
            sdd_mm=sdd_mm,
            isocentre=isocentre,
            parallel=parallel,
            spacing_mm=spacing_mm,
            detector_mm=detector_mm,
            rotate_deg=rotate_deg,
            detector_offset_mm=detector_offset_mm,
            formats=formats,
            structures=structures,
            physics=physics,
            seed=seed,
            window=window,
        ),
        report=report,
    )


def write_drrs(
    ct: Path, out_dir: Path, request: DrrRequest, *, report: Report | None = None
) -> dict[str, Any]:
    """As ``drr_files``, with everything that is wanted in one object."""
    started = time.monotonic()
    progress = Progress(report)
    ct = ct if ct.name else ct.resolve()  # "." has no name that a message could say
    # All names first, so that a wrong option is refused before any reading.
    names = request.file_names()
    masks = [wish.mask for wish in request.wishes() if wish.mask is not None]
    refuse_overwriting([out_dir / name for name in names], [ct, *masks])
    _refuse_mixing(ct, out_dir, request)

    progress("reading", 0.0, f"Reading {ct.name}")
    volume = read_volume(ct)
    progress("checking", 0.3, "Checking the CT")
    warnings = check_ct(volume)
    centre_lps, more = _isocentre(volume, request.isocentre)
    warnings = more + warnings
    geometry = request.geometry(centre_lps)
    source_sha256 = sha256_of(ct)
    images = project_request(volume, geometry, request, source_sha256, progress.part(0.4, 0.9))
    warnings = [*warnings, *empty_warnings(images, geometry)]
    progress("writing", 0.9, f"Writing {len(images)} images")
    outputs = _write(out_dir, images, geometry, request, warnings)
    progress("done", 1.0, f"{len(images)} images written")
    return {
        "outputs": texts(outputs),
        "preset": request.preset,
        "isocentre_lps": list(geometry.isocentre_lps),
        "warnings": warnings,
        "seconds": round(time.monotonic() - started, 3),
    }


def _refuse_mixing(ct: Path, out_dir: Path, request: DrrRequest) -> None:
    """Keep DICOM outputs out of the folder that is read as a series."""
    source, target = ct.resolve(), out_dir.resolve()
    if "dicom" in request.formats and source.is_dir() and source in (target, *target.parents):
        raise InputError(
            "OUTPUT_IN_SERIES",
            f"DICOM files in {out_dir} would become part of the CT's folder.",
            "Choose an output folder outside of the CT's.",
        )


def _isocentre(
    volume: Volume, wish: str | Sequence[float] | None
) -> tuple[tuple[float, float, float], list[str]]:
    """Return the isocentre and what to warn about."""
    if wish == "centre":
        return volume.grid.centre_lps, []
    if wish is None or wish == "head":
        location = locate_head(volume)
        return location.isocentre_lps, location_warnings(location)
    if isinstance(wish, str) or len(wish) != 3:
        raise InputError(
            "BAD_ISOCENTRE",
            f"{wish!r} is not an isocentre.",
            "Use head, centre, or three numbers in LPS mm.",
        )
    x, y, z = (float(c) for c in wish)
    return (x, y, z), []


def _write(
    out_dir: Path,
    images: Sequence[Projected],
    geometry: AcquisitionGeometry,
    request: DrrRequest,
    warnings: Sequence[str],
) -> dict[str, Path]:
    outputs: dict[str, Path] = {}
    files: dict[str, dict[str, Any]] = {}
    with staged(out_dir) as stage:
        for image in images:
            part = image.record.structure
            key = f"{image.label}-{part}" if part else image.label
            for name, suffix in zip(
                dict.fromkeys(request.formats), request.suffixes(), strict=True
            ):
                file = f"{file_stem(image.label, part)}{suffix}"
                write_drr(
                    stage / file,
                    image.pixels,
                    geometry,
                    image.label,
                    quantity=image.quantity,
                    record=image.record,
                    window=request.window,
                )
                outputs[f"{key}{KEY_ENDINGS[name]}"] = out_dir / file
                files[file] = {"view": image.label, "structure": part, "quantity": image.quantity}
                if name == "png":
                    scale = picture_scale(image.pixels, image.quantity, request.window)
                    files[file] |= {"value_at_black": scale.black, "value_at_white": scale.white}
        (stage / GEOMETRY).write_text(geometry.to_json() + "\n", encoding="utf-8")
        sidecar = _sidecar(images[0].record, geometry, request, warnings, files)
        (stage / SIDECAR).write_text(to_json(sidecar), encoding="utf-8")
        outputs["geometry"], outputs["record"] = out_dir / GEOMETRY, out_dir / SIDECAR
    return outputs


def _sidecar(
    record: DrrRecord,
    geometry: AcquisitionGeometry,
    request: DrrRequest,
    warnings: Sequence[str],
    files: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Say how a set of DRRs was made, without naming file, folder or patient."""
    options = request.options()
    return {
        "schema": SIDECAR_SCHEMA,
        "tomoray_version": __version__,
        "synthetic": True,
        "preset": request.preset,
        "geometry": geometry.to_dict(),
        "attenuation": dict(record.attenuation),
        "physics": dict(record.physics),
        "structures": [
            {**wish.to_dict(), **selection_of(wish, options)} for wish in request.wishes()
        ],
        "window": request.window,
        "source_sha256": record.source_sha256,
        "files": files,
        "warnings": list(warnings),
    }
