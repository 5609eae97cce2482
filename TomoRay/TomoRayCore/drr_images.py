"""From a volume to the images that a request asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.drr import (
    BONE,
    SOFT_TISSUE,
    WATER_60KEV,
    Structure,
    project,
    project_structures,
)
from TomoRayCore.drr_request import DrrRequest
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.io.drr_file import DrrRecord, FileQuantity
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.progress import Progress
from TomoRayCore.structure_names import StructureWish
from TomoRayCore.volume import AIR_HU, Volume

if TYPE_CHECKING:
    from TomoRayCore.physics.options import DrrOptions

Image = NDArray[np.float32]

MASK_TOLERANCE_MM = 1e-2

QUANTITIES: dict[str, FileQuantity] = {
    "line-integral": "line_integral",
    "transmission": "transmission",
}
"""What ``physics.simulate`` calls them; its others have no absolute meaning."""


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


def project_request(
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
            selection = selection_of(wish, options)
            record = replace(image.record, structure=wish.name, selection=selection)
            found.append(replace(image, record=record))
    return found


def selection_of(wish: StructureWish, options: DrrOptions | None) -> dict[str, Any]:
    """Return which share of which voxels a structure is, in JSON's types.

    ``by`` is ``hu-range``, ``mask`` or ``material-share``; ``rule`` says it in words, and the
    other keys are its numbers in HU (null for an open end).
    """
    if wish.mask is not None:
        return {"by": "mask", "rule": "voxels of the mask that are not 0"}
    if wish.built_in and options is not None:
        return _material_share(wish.name)
    low, high = wish.hu_range or _built_in(wish.name).hu_range or (-math.inf, math.inf)
    ends = [f"{low:g} <= HU"] * math.isfinite(low) + [f"HU < {high:g}"] * math.isfinite(high)
    return {
        "by": "hu-range",
        "rule": " and ".join(ends),
        "hu_low": low if math.isfinite(low) else None,
        "hu_high": high if math.isfinite(high) else None,
    }


def _material_share(name: str) -> dict[str, Any]:
    from TomoRayCore.physics.beam import BONE_FROM_HU, ROUNDED_OVER_HU, cortical_bone_hu

    none_hu, all_hu = BONE_FROM_HU - ROUNDED_OVER_HU, round(cortical_bone_hu(), 3)
    rest = "" if name == "bone" else "what bone leaves of each voxel's attenuation: "
    return {
        "by": "material-share",
        "rule": f"{rest}bone's share of a voxel's attenuation grows from 0 at {none_hu:g} HU to "
        f"1 at {all_hu:.0f} HU, cortical bone",
        "bone_none_hu": none_hu,
        "bone_all_hu": all_hu,
    }


def _built_in(name: str) -> Structure:
    return BONE if name == "bone" else SOFT_TISSUE


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
    selections = {wish.name: selection_of(wish, None) for wish in wishes}
    return [
        Projected(
            label,
            pixels,
            "line_integral",
            DrrRecord(
                WATER_60KEV.to_dict(),
                structure=name,
                selection=selections.get(name, {}),
                source_sha256=source_sha256,
            ),
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
            found[wish.name] = _built_in(wish.name)
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
            Projected(
                view.label,
                pixels,
                quantity,
                replace(record, structure=name, selection=_material_share(name)),
            )
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


def empty_warnings(images: Sequence[Projected], geometry: AcquisitionGeometry) -> list[str]:
    """Return a warning for each structure that a view sees nothing of; noise hides it.

    Raises:
        InputError: ``NOTHING_PROJECTED`` when a view sees nothing of the whole volume.
    """
    views: dict[str, list[str]] = {}
    for image in images:
        if not np.ptp(image.pixels):
            views.setdefault(image.record.structure, []).append(image.label)
    if "" in views:
        x, y, z = geometry.isocentre_lps
        raise InputError(
            "NOTHING_PROJECTED",
            f"About the isocentre ({x:g}, {y:g}, {z:g}) mm no ray meets anything but air.",
            "Give an isocentre inside the head: head, centre, or LPS mm within the CT.",
        )
    return [
        f"STRUCTURE_EMPTY: nothing of the structure {name} is seen in {', '.join(labels)}; "
        "its images are empty (check its range in HU or its mask if there should be something)."
        for name, labels in views.items()
    ]
