"""Skull, intracranial space and air of a head CT, found from HU alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SKULL_HU = 300.0
"""Where bone begins; cortical bone lies far above, brain and muscle below 100."""

AIR_HU_BELOW = -300.0
"""Half way from fat to air would be -550; lung-like mucosa and thin walls argue for more."""

CLOSED_GAP_MM = 8.0
"""Holes of the skull base and sutures up to this width count as closed."""

WALLS_SEEN = 4
"""A whole head's cavity sees six, one cut off at the top five, in front of an oblique cut four."""

NECK_MM = 5.0
"""Half the width of passages through which the inside is cut off: orbits, foramen magnum."""

FILLED_MM = 12.0
"""Half the width of holes that are filled: rays that slip through a suture leave such ones."""

REGIONS = ("skull", "intracranial", "air")


def head_regions(volume_hu: NDArray[np.generic], spacing_mm: float) -> dict[str, NDArray[np.bool_]]:
    """Return the masks ``skull``, ``intracranial`` and ``air``, each of the volume's shape.

    ``skull``: all bone from ``SKULL_HU``. ``intracranial``: the largest space, neither bone nor
    air, from which bone is met in at least ``WALLS_SEEN`` of the six directions along the grid,
    once gaps in bone are closed; so it is found too where a scan ends below the vertex. ``air``:
    everything below ``AIR_HU_BELOW``, inside the head and around it.

    Args:
        volume_hu: (D, H, W) on an isotropic grid along the patient's axes.
        spacing_mm: Its voxel size; 1 to 4 mm is sensible.
    """
    values = np.asarray(volume_hu, np.float32)
    skull, air = values >= SKULL_HU, values < AIR_HU_BELOW
    wall = _closed(skull, CLOSED_GAP_MM / 2 / spacing_mm)
    inside = (_walls_seen(wall) >= WALLS_SEEN) & ~wall & ~air
    cavity = _closed(_main_part(inside, NECK_MM / spacing_mm), FILLED_MM / spacing_mm)
    cavity &= ~wall & ~air
    return {"skull": skull, "intracranial": cavity, "air": air}


def _closed(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Close gaps up to twice the radius (in voxels), by distances: a ball of any size."""
    if not mask.any():
        return mask
    reach = int(np.ceil(radius)) + 1
    padded = np.pad(mask, reach)
    grown = ndimage.distance_transform_edt(~padded) <= radius
    closed = ndimage.distance_transform_edt(grown) > radius
    inner = tuple(slice(reach, -reach) for _ in range(3))
    return np.asarray(closed[inner] | mask)


def _walls_seen(wall: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Return in how many of the six directions along the axes a voxel has wall before it."""
    seen = np.zeros(wall.shape, np.int8)
    for axis in range(3):
        seen += np.logical_or.accumulate(wall, axis=axis)
        seen += np.flip(np.logical_or.accumulate(np.flip(wall, axis), axis=axis), axis)
    return seen


def _main_part(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Return the largest part once passages narrower than twice the radius are cut."""
    cores = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1] > radius
    labels, count = ndimage.label(cores)
    if count == 0:
        return np.zeros_like(mask)
    largest = labels == 1 + int(np.bincount(labels.ravel())[1:].argmax())
    return np.asarray((ndimage.distance_transform_edt(~largest) <= radius + 1) & mask)
