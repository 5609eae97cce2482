"""What an evaluation compares: model files, the baselines, and volumes that somebody else made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from TomoRayCore.bundle import Bundle
from TomoRayCore.devices import pick_device
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.network_io import OutputSpec
from TomoRayCore.presets import from_preset
from TomoRayCore.volume import Volume, canonical_grid
from TomoRayTraining.baselines import NearestNeighbour, Sart, mean_head, moved
from TomoRayTraining.cases import Case
from TomoRayTraining.evaluate import Start, model_start, shown

SUFFIXES = (".nrrd", ".nii.gz", ".nii", ".mha", ".mhd")
RESERVED = ("mean_head", "nearest_neighbour", "sart", "sart_mean_head")
GRID = OutputSpec(128, 2.0, 128, 2.0)
"""Where methods are scored when no model says otherwise."""


@dataclass(frozen=True)
class Method:
    """One column of the table.

    Attributes:
        name: Unique; its CSV file is called so.
        start: Makes a case ready and returns what reconstructs it.
        facts: For the summary: ``kind``, ``description`` and what identifies it; JSON types.
        device: Where it runs.
        is_timed: Whether its time says anything; that of reading a file does not.
    """

    name: str
    start: Start
    facts: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    is_timed: bool = True


def model_method(name: str, bundle: Bundle, device: str, images: str) -> Method:
    """Return a model, run as users run it: its file is in memory, its network is built each time."""
    facts = {
        "kind": "model",
        "model": bundle.name,
        "model_sha256": bundle.sha256,
        "description": "TomoRay model file, through the product's reconstruction",
    }
    return Method(name, model_start(bundle, device, images), facts, device)


def folder_method(name: str, folder: Path, cases: Sequence[Case]) -> Method:
    """Return predictions that lie in a folder, in the CTs' worlds: ``CASE.nrrd``, ``.nii.gz``, ...

    Raises:
        InputError: ``MISSING_PREDICTION`` unless each case has exactly one file.
    """
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set[str]()
    files = {}
    for case in cases:
        own = [case.case + suffix for suffix in SUFFIXES if case.case + suffix in present]
        if len(own) != 1:
            raise InputError(
                "MISSING_PREDICTION",
                f"{folder} has {len(own) or 'no'} files for the case {case.case!r}.",
                f"Put one volume a case there, called by the case: CASE{SUFFIXES[0]}, or with "
                f"{', '.join(SUFFIXES[1:])}.",
            )
        files[case.case] = folder / own[0]

    def start(case: Case, _ct: Volume) -> Callable[[], Volume]:
        return lambda: read_volume(files[case.case])

    description = f"volumes from the folder {folder.name}"
    return Method(name, start, {"kind": "predictions", "description": description}, is_timed=False)


def baseline_methods(
    heads: Sequence[Case],
    spec: OutputSpec,
    geometry: AcquisitionGeometry,
    device: str,
    images: str,
    only: Sequence[str] = RESERVED,
) -> tuple[list[Method], dict[str, str]]:
    """Return the baselines, and which had to be left out and why.

    Args:
        heads: For training, one or more.
        spec: Grid of their volumes.
        geometry: The views that the nearest neighbour and SART look at.
        device: Where SART calculates.
        images: As for ``shown``; SART needs ``drr``.
        only: Names of those wanted.

    Raises:
        InputError: ``BAD_CASES`` without training heads.
    """
    if not heads:
        raise InputError(
            "BAD_CASES",
            "The table has no training heads, which the baselines are made from.",
            "Add the cases that the models were trained on, with split train.",
        )
    about = canonical_grid((0, 0, 0), spec.size, spec.spacing_mm)
    mean_hu = mean_head(heads, about)
    left_out: dict[str, str] = {}

    def mean_start(_case: Case, ct: Volume) -> Callable[[], Volume]:
        return lambda: Volume(mean_hu, moved(about, ct.grid.centre_lps).ijk_to_lps)

    def neighbour() -> Method:
        nearest = NearestNeighbour(heads, geometry)

        def start(case: Case, ct: Volume) -> Callable[[], Volume]:
            given = shown(case, ct, geometry, images)
            grid = moved(about, ct.grid.centre_lps)
            return lambda: nearest.head(nearest.choose(*given)[0], grid)

        return Method("nearest_neighbour", start, _baseline(NEAREST))

    def sart(name: str, is_from_mean: bool) -> Method:
        algorithm, where = Sart(), pick_device(device)

        def start(case: Case, ct: Volume) -> Callable[[], Volume]:
            radiographs, here = shown(case, ct, geometry, images)
            pixels = [radiograph.pixels for radiograph in radiographs]
            grid = moved(about, ct.grid.centre_lps)
            first = mean_hu if is_from_mean else None
            return lambda: algorithm(pixels, here, grid, first, where)

        told = SART.format(
            n=algorithm.iterations,
            relaxation=algorithm.relaxation,
            start="the mean head" if is_from_mean else "no attenuation anywhere",
        )
        return Method(name, start, _baseline(told), device)

    found = []
    for name in only:
        if name == "mean_head":
            found.append(Method(name, mean_start, _baseline(MEAN)))
        elif name == "nearest_neighbour":
            found.append(neighbour())
        elif images == "drr":
            found.append(sart(name, is_from_mean=name == "sart_mean_head"))
        else:
            left_out[name] = "needs line integrals, which films are not"
    return found, left_out


def two_views(bundles: Sequence[Bundle]) -> AcquisitionGeometry:
    """Return what baselines look at: as the first model that has two views, else the preset."""
    several = (bundle.geometry for bundle in bundles if len(bundle.geometry.views) > 1)
    return next(several, from_preset())


MEAN = "voxel-wise mean of the training heads, the same for every patient"
NEAREST = (
    "the training head whose DRRs are most like the images: normalised cross-correlation in the "
    "isocentre's plane (128 pixels of 2 mm), averaged over the views"
)
SART = (
    "simultaneous algebraic reconstruction from the same two images, {n} passes over both views, "
    "relaxation {relaxation:g}, attenuation kept at 0 or above, started from {start}"
)


def _baseline(description: str) -> dict[str, Any]:
    return {"kind": "baseline", "description": description}
