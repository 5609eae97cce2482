"""The gatekeeper: what is refused before any work, and what is used with a warning."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from TomoRayCore.errors import InputError
from TomoRayCore.head import HeadLocation, locate_head
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.volume import Volume

MIN_SLICES = 8
MIN_EXTENT_MM = 60.0
"""Along each axis; less of a head gives no radiograph worth reconstructing."""

AIR_AT_MOST_HU = -300.0
BONE_AT_LEAST_HU = 200.0
PERCENTILES_FROM_VOXELS = 500_000
"""Enough of them, evenly spread, to see air and bone: sorting all takes longer than a DRR."""

SAME_IMAGE_CORRELATION = 0.999

KINDS = {"AP": "frontal", "PA": "frontal", "LAT": "lateral"}
NAMES = {"frontal": "frontal (AP or PA)", "lateral": "lateral (LAT)"}


def check_head_ct(volume: Volume) -> list[str]:
    """Refuse a volume that cannot be a head CT; return warnings about one that may be.

    Raises:
        InputError: ``TOO_FEW_SLICES``, ``FIELD_TOO_SMALL`` or ``HU_IMPLAUSIBLE``.
    """
    warnings = check_ct(volume)
    return location_warnings(locate_head(volume)) + warnings


def location_warnings(location: HeadLocation) -> list[str]:
    """Return what to say of views centred on a head that was searched for."""
    if not location.found:
        return ["NO_SKULL: no skull was found; views are centred on the volume's centre."]
    if location.reaches_top:
        return [
            "VERTEX_MISSING: the skull reaches the scan's upper end; what is missing there is "
            "missing in the DRRs, and the isocentre may lie too low (set it by hand)."
        ]
    return []


def check_ct(volume: Volume) -> list[str]:
    """As ``check_head_ct``, without a search for the head."""
    count = min(volume.shape)
    if count < MIN_SLICES:
        raise InputError(
            "TOO_FEW_SLICES",
            f"The CT has {volume.shape[0]} slices of {volume.shape[1]} x {volume.shape[2]} voxels.",
            f"Give a volume with at least {MIN_SLICES} slices that covers the head.",
        )
    extent = volume.grid.extent_ijk_mm
    if min(extent) < MIN_EXTENT_MM:
        raise InputError(
            "FIELD_TOO_SMALL",
            f"The CT covers {extent[0]:.0f} x {extent[1]:.0f} x {extent[2]:.0f} mm.",
            f"Give a volume that covers the head: at least {MIN_EXTENT_MM:.0f} mm each way.",
        )
    low, high = _range_hu(volume)
    if low > AIR_AT_MOST_HU or high < BONE_AT_LEAST_HU:
        raise InputError(
            "HU_IMPLAUSIBLE",
            f"99 % of the voxels are above {low:g} and 99.8 % below {high:g}: "
            "a head CT in HU has air near -1000 and bone above 300.",
            "Check the rescale intercept (often -1024), and that this is a CT.",
        )
    return ["SYNTHETIC_INPUT: this volume is itself a synthetic CT."] * volume.is_synthetic


def check_radiographs(
    radiographs: Sequence[Radiograph], wanted: Sequence[str] = ("AP", "LAT")
) -> list[str]:
    """Refuse a set of images that cannot be one examination; return warnings.

    Args:
        radiographs: In any order.
        wanted: The views that are needed; AP and PA count as the same. No others may be given.

    Raises:
        InputError: ``VIEWS_MISSING`` unless there is one image of each wanted view,
            ``IDENTICAL_VIEWS`` when two images are the same.
    """
    views = [radiograph.view for radiograph in radiographs]
    wanted_kinds = [kind_of_view(view) for view in wanted]
    if sorted(map(kind_of_view, views)) != sorted(wanted_kinds):
        raise InputError(
            "VIEWS_MISSING",
            f"Got the views {', '.join(views) or 'none'}.",
            f"Give {' and '.join(f'one {NAMES.get(k, k)}' for k in wanted_kinds)} image; "
            "these are the views that the model takes.",
        )
    if len(radiographs) == 2 and _same_image(*radiographs):
        raise InputError(
            "IDENTICAL_VIEWS",
            "The frontal and the lateral image are the same picture.",
            "Give two different radiographs.",
        )
    warnings = []
    if {radiograph.quantity for radiograph in radiographs} == {"relative"}:
        warnings.append(
            "UNCALIBRATED: the pixels have no calibrated attenuation; only their contrast is used."
        )
    for radiograph in radiographs:
        if _looks_inverted(radiograph):
            warnings.append(
                f"INVERTED?: the {radiograph.view} image's corners are brighter than its middle; "
                "air must be dark. If the film is inverted, say so (--invert)."
            )
    return warnings


def kind_of_view(view: str) -> str:
    """Return what counts as the same view: ``frontal`` for AP and PA, ``lateral`` for LAT."""
    return KINDS.get(view, view)


def _range_hu(volume: Volume) -> tuple[float, float]:
    """Return the HU that 1 % of the voxels are below, and 99.8 %.

    Of a large volume every n-th voxel along each axis counts. Not by numpy's percentile, whose
    first call loads more than all of this package.
    """
    step = math.ceil((math.prod(volume.shape) / PERCENTILES_FROM_VOXELS) ** (1 / 3))
    values = volume.array_hu[::step, ::step, ::step].ravel()
    ranks = [int(0.01 * (values.size - 1)), math.ceil(0.998 * (values.size - 1))]
    low, high = np.partition(values, ranks)[ranks]
    return float(low), float(high)


def _same_image(first: Radiograph, second: Radiograph) -> bool:
    if first.shape != second.shape:
        return False
    correlation = np.corrcoef(first.pixels.ravel(), second.pixels.ravel())[0, 1]
    return bool(correlation > SAME_IMAGE_CORRELATION)


def _looks_inverted(radiograph: Radiograph) -> bool:
    # Here: it needs scipy, which takes longer to load than a CT's DRRs to compute.
    from TomoRayCore.harmonise import exposed_field

    top, bottom, left, right = exposed_field(radiograph.pixels)
    pixels = radiograph.pixels[top:bottom, left:right]
    rows, columns = (max(1, n // 10) for n in pixels.shape)
    corners = np.concatenate([pixels[:rows, :columns].ravel(), pixels[:rows, -columns:].ravel()])
    middle = pixels[4 * rows : 6 * rows, 4 * columns : 6 * columns]
    return bool(np.median(corners) > np.median(middle))
