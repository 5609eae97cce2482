"""The gatekeeper: what is refused before any work, and what is used with a warning."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from TomoRayCore.errors import InputError
from TomoRayCore.head import HeadLocation, locate_head
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.volume import HU, Volume

MIN_SLICES = 8
MIN_EXTENT_MM = 60.0
"""Along each axis; less of a head gives no radiograph worth reconstructing."""

AIR_AT_MOST_HU = -300.0
BONE_AT_LEAST_HU = 200.0
PERCENTILES_FROM_VOXELS = 500_000
"""Enough of them, evenly spread, to see air and bone: sorting all takes longer than a DRR."""

SAME_IMAGE_CORRELATION = 0.999


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
    low, high = (float(p) for p in np.percentile(_some_voxels(volume), [1, 99.8]))
    if low > AIR_AT_MOST_HU or high < BONE_AT_LEAST_HU:
        raise InputError(
            "HU_IMPLAUSIBLE",
            f"99 % of the voxels are above {low:g} and 99.8 % below {high:g}: "
            "a head CT in HU has air near -1000 and bone above 300.",
            "Check the rescale intercept (often -1024), and that this is a CT.",
        )
    return ["SYNTHETIC_INPUT: this volume is itself a synthetic CT."] * volume.is_synthetic


def check_radiographs(radiographs: Sequence[Radiograph]) -> list[str]:
    """Refuse a set of images that cannot be one examination; return warnings.

    Raises:
        InputError: ``VIEWS_MISSING`` without one frontal and one lateral view,
            ``IDENTICAL_VIEWS`` when two images are the same.
    """
    views = [radiograph.view for radiograph in radiographs]
    frontal = [view for view in views if view in ("AP", "PA")]
    if len(frontal) != 1 or views.count("LAT") != 1 or len(views) != 2:
        raise InputError(
            "VIEWS_MISSING",
            f"Got the views {', '.join(views) or 'none'}.",
            "Give one frontal (AP or PA) and one lateral (LAT) image.",
        )
    if _same_image(radiographs[0], radiographs[1]):
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


def _some_voxels(volume: Volume) -> HU:
    """Return every voxel of a small volume, every n-th along each axis of a large one."""
    size = math.prod(volume.shape)
    step = max(1, math.ceil((size / PERCENTILES_FROM_VOXELS) ** (1 / 3)))
    return volume.array_hu[::step, ::step, ::step]


def _same_image(first: Radiograph, second: Radiograph) -> bool:
    if first.shape != second.shape:
        return False
    correlation = np.corrcoef(first.pixels.ravel(), second.pixels.ravel())[0, 1]
    return bool(correlation > SAME_IMAGE_CORRELATION)


def _looks_inverted(radiograph: Radiograph) -> bool:
    pixels = radiograph.pixels
    rows, columns = (max(1, n // 10) for n in pixels.shape)
    corners = np.concatenate([pixels[:rows, :columns].ravel(), pixels[:rows, -columns:].ravel()])
    middle = pixels[4 * rows : 6 * rows, 4 * columns : 6 * columns]
    return bool(np.median(corners) > np.median(middle))
