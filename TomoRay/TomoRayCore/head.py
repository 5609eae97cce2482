"""Finding the head in a CT, so that geometry and sCT are centred where the networks expect it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.resample import reorient_to_lps, resample
from TomoRayCore.volume import Volume, canonical_grid

SKULL_HU = 250.0
COARSE_MM = 2.0
"""Voxels of the search. They lie at whole multiples of it in the world, so that copies of one
head on other grids are searched at the same places."""

UPPER_SKULL_MM = 100.0
"""The part below the top of the skull that centres it: the vault, free of jaw and neck."""

CENTRE_BELOW_TOP_MM = 98.0
"""Isocentre under the top of the skull. With it, and ``CENTRE_BEFORE_MIDDLE_MM``, a located head
sits in a 256 mm cube as heads registered to the Rorden 2012 clinical CT template do (medians over
the template and 54 heads: 96-104 mm and 2-6 mm)."""

CENTRE_BEFORE_MIDDLE_MM = 4.0
"""Isocentre anterior of the vault's middle, in y."""

MIN_SKULL_MM = 60.0
"""A largest bone smaller than this in x or y is not a skull."""


@dataclass(frozen=True)
class HeadLocation:
    """Where the head is.

    Attributes:
        isocentre_lps: Point to centre views and sCT on, LPS mm.
        found: False when no skull was seen and the volume's centre was taken instead.
        reaches_top: The skull touches the scan's upper border: the vertex may be missing, and
            then the isocentre lies too low by the missing height.
    """

    isocentre_lps: tuple[float, float, float]
    found: bool
    reaches_top: bool


def locate_head(volume: Volume) -> HeadLocation:
    """Locate the skull as the largest connected bone and return its isocentre."""
    coarse = _coarse(volume)
    skull = _largest_component(coarse.array_hu > SKULL_HU)
    if skull is None:
        return HeadLocation(volume.grid.centre_lps, found=False, reaches_top=False)
    k, j, i = np.nonzero(skull)
    top = int(k.max())
    vault = k > top - UPPER_SKULL_MM / COARSE_MM
    x_index = (i[vault].min() + i[vault].max()) / 2
    y_index = (j[vault].min() + j[vault].max()) / 2
    size_mm = COARSE_MM * min(np.ptp(i[vault]), np.ptp(j[vault]))
    if size_mm < MIN_SKULL_MM:
        return HeadLocation(volume.grid.centre_lps, found=False, reaches_top=False)
    x, y, z = coarse.ijk_to_lps[:3, 3] + COARSE_MM * np.array([x_index, y_index, top + 0.5])
    return HeadLocation(
        (float(x), float(y - CENTRE_BEFORE_MIDDLE_MM), float(z - CENTRE_BELOW_TOP_MM)),
        found=True,
        reaches_top=top >= coarse.shape[0] - 2,
    )


def _coarse(volume: Volume) -> Volume:
    """Return the volume on an isotropic LPS grid that covers it."""
    upright = reorient_to_lps(volume)
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in upright.shape[::-1]])).reshape(3, -1)
    world = upright.ijk_to_lps[:3, :3] @ corners + upright.ijk_to_lps[:3, 3:]
    low = np.floor(world.min(axis=1) / COARSE_MM) * COARSE_MM
    high = np.ceil(world.max(axis=1) / COARSE_MM) * COARSE_MM
    w, h, d = (max(1, round(n)) for n in (high - low) / COARSE_MM)
    return resample(upright, canonical_grid((low + high) / 2, (d, h, w), COARSE_MM))


def _largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    # Imported here: scipy takes longer to load than a head to project, and not all look for one.
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    if count == 0:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    return np.asarray(labels == 1 + int(sizes.argmax()))
