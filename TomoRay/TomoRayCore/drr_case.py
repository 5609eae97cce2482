"""From one CT to DRR files: what is asked for, projected, and written as a set.

Neither this module nor what it imports loads a library beyond numpy, so that a short call stays
short: SimpleITK, pydicom, scipy and Pillow are imported where a file or an option needs them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore import __version__
from TomoRayCore.checks import check_ct, location_warnings
from TomoRayCore.drr import (
    BONE,
    SOFT_TISSUE,
    WATER_60KEV,
    Structure,
    project,
    project_structures,
)
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.head import locate_head
from TomoRayCore.io.drr_file import DrrRecord, FileQuantity
from TomoRayCore.io.drr_out import SUFFIX_OF_FORMAT, write_drr
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.outputs import refuse_overwriting, sha256_of, staged, texts, to_json
from TomoRayCore.presets import from_preset
from TomoRayCore.progress import Progress, Report
from TomoRayCore.structure_names import StructureWish, structure_wish
from TomoRayCore.volume import AIR_HU, Volume

if TYPE_CHECKING:
    from TomoRayCore.physics.options import DrrOptions

Image = NDArray[np.float32]
Numbers = float | Sequence[float]

KEY_ENDINGS = {"nrrd": "", "png": "_picture", "tiff": "_tiff", "dicom": "_dicom"}
"""How results name the outputs: the view, and for all but the first of these the format."""

MASK_TOLERANCE_MM = 1e-2

GEOMETRY, SIDECAR = "geometry.json", "drr.json"
SIDECAR_SCHEMA = 1

QUANTITIES: dict[str, FileQuantity] = {
    "line-integral": "line_integral",
    "transmission": "transmission",
}
"""What ``physics.simulate`` calls them; its others have no absolute meaning."""


@dataclass(frozen=True)
class DrrRequest:
    """Which DRRs of a CT are wanted; each field is described at ``drr_files``."""

    preset: str = "cranial-biplanar"
    size: int | Sequence[int] = 128
    views: Sequence[str] = ("AP", "LAT")
    sad_mm: float | None = None
    sdd_mm: float | None = None
    isocentre: str | Sequence[float] | None = None
    parallel: bool = False
    spacing_mm: Numbers | None = None
    detector_mm: Numbers | None = None
    rotate_deg: float = 0.0
    detector_offset_mm: Sequence[float] = (0.0, 0.0)
    formats: Sequence[str] = ("nrrd", "png")
    structures: Sequence[str] = ()
    physics: str | Mapping[str, Any] = "line-integral"
    seed: int = 0
    window: Sequence[float] | None = None

    def geometry(self, isocentre_lps: Sequence[float] = (0.0, 0.0, 0.0)) -> AcquisitionGeometry:
        """Return the views about an isocentre; refuses what cannot be built."""
        return from_preset(
            self.preset,
            isocentre_lps=isocentre_lps,
            size=self.size,
            views=self.views,
            sad_mm=self.sad_mm,
            sdd_mm=self.sdd_mm,
            beam="parallel" if self.parallel else None,
            spacing_mm=self.spacing_mm,
            detector_mm=self.detector_mm,
            rotate_deg=self.rotate_deg,
            detector_offset_mm=self.detector_offset_mm,
        )

    def suffixes(self) -> list[str]:
        """Return the files' suffixes; refuses unknown formats and none."""
        unknown = [name for name in self.formats if name not in SUFFIX_OF_FORMAT]
        if unknown or not self.formats:
            raise InputError(
                "FORMAT_UNKNOWN",
                f"There is no DRR format {unknown[0]!r}." if unknown else "No format is named.",
                f"Use one or more of {', '.join(SUFFIX_OF_FORMAT)}.",
            )
        return [SUFFIX_OF_FORMAT[name] for name in dict.fromkeys(self.formats)]

    def wishes(self) -> list[StructureWish]:
        """Return the structures; refuses unknown ones and one name twice."""
        wishes = [structure_wish(text) for text in self.structures]
        names = [wish.name for wish in wishes]
        for name in names:
            if names.count(name) > 1:
                raise InputError(
                    "STRUCTURE_TWICE", f"The structure {name} is asked for twice.", "Rename one."
                )
        return wishes

    def options(self) -> DrrOptions | None:
        """Return what to simulate, or None for plain line integrals."""
        if self.physics == "line-integral":
            return None
        from TomoRayCore.physics.options import DrrOptions, options_named

        if isinstance(self.physics, str):
            options = options_named(self.physics)
        else:
            options = DrrOptions.from_dict(self.physics)
        return None if options == DrrOptions() else options

    def file_names(self) -> list[str]:
        """Return the names of all files that will be written; refuses what cannot be done."""
        parts = ["", *(wish.name for wish in self.wishes())]
        suffixes = self.suffixes()
        self.options()
        return [
            f"{_stem(label, part)}{suffix}"
            for label in self.geometry().labels
            for part in parts
            for suffix in suffixes
        ] + [GEOMETRY, SIDECAR]


@dataclass(frozen=True, eq=False)
class Projected:
    """One image to be written.

    Attributes:
        label: Its view.
        pixels: (R, C).
        quantity: What they mean.
        record: How they were made.
    """

    label: str
    pixels: Image
    quantity: FileQuantity
    record: DrrRecord


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
        window: Values at black and white of the PNG pictures, which then are for eyes only.
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
    images = _project(volume, geometry, request, source_sha256, progress.part(0.4, 0.9))
    _refuse_empty(images, geometry)
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


def _project(
    volume: Volume,
    geometry: AcquisitionGeometry,
    request: DrrRequest,
    source_sha256: str,
    progress: Progress,
) -> list[Projected]:
    """Return all images: of the whole volume first, then of each structure."""
    options, wishes = request.options(), request.wishes()
    if options is None:
        return _line_integrals(volume, geometry, wishes, source_sha256, progress)
    built_in = tuple(wish.name for wish in wishes if wish.built_in)
    others = [wish for wish in wishes if not wish.built_in]
    share = 1 / (1 + len(others))
    whole = replace(options, structures=built_in)
    found = _simulate(volume, geometry, whole, request, source_sha256, progress.part(0, share))
    for number, wish in enumerate(others, start=1):
        part = progress.part(number * share, (number + 1) * share)
        alone = _alone(volume, wish)
        for image in _simulate(alone, geometry, options, request, source_sha256, part):
            record = replace(image.record, structure=wish.name)
            found.append(replace(image, record=record))
    return found


def _line_integrals(
    volume: Volume,
    geometry: AcquisitionGeometry,
    wishes: Sequence[StructureWish],
    source_sha256: str,
    progress: Progress,
) -> list[Projected]:
    """Return line integrals at 60 keV, of everything in one pass over the volume."""
    if not wishes:
        images = {"": project(volume, geometry, progress=progress)}
    else:
        volume, structures = _structures(volume, wishes)
        everything = {"": Structure(hu_range=(-math.inf, math.inf)), **structures}
        images = project_structures(volume, geometry, everything, progress=progress)
    return [
        Projected(
            label,
            pixels,
            "line_integral",
            DrrRecord(WATER_60KEV.to_dict(), structure=name, source_sha256=source_sha256),
        )
        for name, of_structure in images.items()
        for label, pixels in zip(geometry.labels, of_structure, strict=True)
    ]


def _structures(
    volume: Volume, wishes: Sequence[StructureWish]
) -> tuple[Volume, dict[str, Structure]]:
    """Return the volume, its axes in the masks' order if there are any, and what was wished."""
    found: dict[str, Structure] = {}
    for wish in wishes:
        if wish.hu_range is not None:
            found[wish.name] = Structure(hu_range=wish.hu_range)
        elif wish.built_in:
            found[wish.name] = BONE if wish.name == "bone" else SOFT_TISSUE
        else:
            volume, mask = _with_mask(volume, wish)
            found[wish.name] = Structure(mask=mask)
    return volume, found


def _simulate(
    volume: Volume,
    geometry: AcquisitionGeometry,
    options: DrrOptions,
    request: DrrRequest,
    source_sha256: str,
    progress: Progress,
) -> list[Projected]:
    from TomoRayCore.physics.options import DrrOptions
    from TomoRayCore.physics.simulate import simulate

    found = []
    plain = replace(options, structures=()) == DrrOptions()
    for view in simulate(volume, geometry, options, request.seed, progress):
        quantity = QUANTITIES.get(view.quantity, "relative")
        physics = {name: value for name, value in view.applied.items() if name != "mu_rule"}
        if options.noisy:
            physics["seed"] = request.seed
        record = DrrRecord(
            view.applied["mu_rule"], {} if plain else physics, source_sha256=source_sha256
        )
        found.append(Projected(view.label, view.pixels, quantity, record))
        found += [
            Projected(view.label, pixels, quantity, replace(record, structure=name))
            for name, pixels in view.structures.items()
        ]
    return found


def _alone(volume: Volume, wish: StructureWish) -> Volume:
    """Return the volume with air in place of all but one structure."""
    if wish.hu_range is not None:
        low, high = wish.hu_range
        inside = (volume.array_hu >= low) & (volume.array_hu < high)
    else:
        volume, inside = _with_mask(volume, wish)
    air = volume.array_hu.dtype.type(AIR_HU)
    return Volume(np.where(inside, volume.array_hu, air), volume.ijk_to_lps, volume.metadata)


def _with_mask(volume: Volume, wish: StructureWish) -> tuple[Volume, NDArray[np.bool_]]:
    """Return the volume and a mask from a file with the same order of axes."""
    from TomoRayCore.resample import reorient_to_lps

    if wish.mask is None:
        raise TypeError("a structure with a mask is needed")
    upright, mask = reorient_to_lps(volume), reorient_to_lps(read_volume(wish.mask))
    if not upright.grid.same_as(mask.grid, MASK_TOLERANCE_MM):
        raise InputError(
            "MASK_MISMATCH",
            f"The mask {wish.mask.name} does not lie on the voxels of the CT.",
            "Resample the mask to the CT's grid.",
        )
    return upright, mask.array_hu != 0


def _refuse_empty(images: Sequence[Projected], geometry: AcquisitionGeometry) -> None:
    """Refuse images without contrast; noise hides them."""
    blank = [image.record.structure for image in images if not np.ptp(image.pixels)]
    if "" not in blank and blank:
        raise InputError(
            "STRUCTURE_EMPTY",
            f"Nothing of the structure {blank[0]} is seen.",
            "Check its range in HU or its mask.",
        )
    if blank:
        x, y, z = geometry.isocentre_lps
        raise InputError(
            "NOTHING_PROJECTED",
            f"About the isocentre ({x:g}, {y:g}, {z:g}) mm no ray meets anything but air.",
            "Give an isocentre inside the head: head, centre, or LPS mm within the CT.",
        )


def _write(
    out_dir: Path,
    images: Sequence[Projected],
    geometry: AcquisitionGeometry,
    request: DrrRequest,
    warnings: Sequence[str],
) -> dict[str, Path]:
    outputs: dict[str, Path] = {}
    files: dict[str, dict[str, str]] = {}
    window = None if request.window is None else _two(request.window)
    with staged(out_dir) as stage:
        for image in images:
            part = image.record.structure
            key = f"{image.label}-{part}" if part else image.label
            for name, suffix in zip(
                dict.fromkeys(request.formats), request.suffixes(), strict=True
            ):
                file = f"{_stem(image.label, part)}{suffix}"
                write_drr(
                    stage / file,
                    image.pixels,
                    geometry,
                    image.label,
                    quantity=image.quantity,
                    record=image.record,
                    window=window,
                )
                outputs[f"{key}{KEY_ENDINGS[name]}"] = out_dir / file
                files[file] = {"view": image.label, "structure": part, "quantity": image.quantity}
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
    files: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """Say how a set of DRRs was made, without naming file, folder or patient."""
    return {
        "schema": SIDECAR_SCHEMA,
        "tomoray_version": __version__,
        "synthetic": True,
        "preset": request.preset,
        "geometry": geometry.to_dict(),
        "attenuation": dict(record.attenuation),
        "physics": dict(record.physics),
        "structures": [wish.to_dict() for wish in request.wishes()],
        "window": request.window,
        "source_sha256": record.source_sha256,
        "files": files,
        "warnings": list(warnings),
    }


def _stem(label: str, structure: str) -> str:
    return f"{label.lower()}-{structure}" if structure else label.lower()


def _two(numbers: Sequence[float]) -> tuple[float, float]:
    try:
        low, high = (float(number) for number in numbers)
    except (TypeError, ValueError) as error:
        raise InputError(
            "BAD_WINDOW",
            f"The window {numbers!r} is not two numbers.",
            "Give the values at black and at white.",
        ) from error
    return low, high
