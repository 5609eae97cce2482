"""A volume piece by piece: only what is not air, a few slices at a time, as mu.

So the volume of mu never exists as a whole, and each piece stays in the processor's cache while
all views and structures read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.drr import kernel
from TomoRayCore.drr.attenuation import MuRule
from TomoRayCore.drr.plan import Box
from TomoRayCore.volume import HU

Occupied = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]

MATTER_HU = -500.0
"""Denser than the noise of air, cushions and most of the lung."""

KERNEL_SLICES = 16
NUMPY_BYTES = 2**24
"""How thick slabs are: a few slices for the kernel, to stay in the cache; in numpy, where each call
costs more, as many as this memory holds."""


@dataclass(frozen=True)
class Slab:
    """Some slices of a volume, cropped.

    Attributes:
        box: Where it lies in the volume's array.
        hu: The values there; a view of the volume.
        mu_per_mm: Their attenuation in 1/mm; valid until the next slab is asked for.
    """

    box: Box
    hu: HU
    mu_per_mm: NDArray[np.float32]

    @property
    def corner(self) -> tuple[int, int, int]:
        """Array index of the first voxel."""
        k, j, i = self.box
        return k.start, j.start, i.start


def mu_slabs(array_hu: HU, rule: MuRule) -> Iterator[tuple[float, Slab]]:
    """Yield what is not air, with the share of the volume that is done after each slab."""
    depth, height, width = array_hu.shape
    scratch = np.empty(min(_thickness(height * width), depth) * height * width, np.float32)
    air_hu = kernel.air_hu(rule)
    for done, box in _boxes(array_hu, lambda part: _above(part, air_hu)):
        hu = array_hu[box]
        mu_per_mm = scratch[: hu.size].reshape(hu.shape)
        if not kernel.convert(hu, rule, mu_per_mm):
            for plane_hu, plane_mu in zip(hu, mu_per_mm, strict=True):
                plane_mu[:] = rule.mu_per_mm(plane_hu)
        yield done, Slab(box, hu, mu_per_mm)


def nonzero_boxes(array: NDArray[np.float32] | NDArray[np.float64]) -> Iterator[Box]:
    """Yield boxes, a slab each, outside of which an array is exactly 0."""
    for _, box in _boxes(array, _nonzero):
        yield box


def matter_box(array_hu: HU) -> Box | None:
    """Return the box of what is denser than ``MATTER_HU``, or None where nothing is."""
    return _joined(box for _, box in _boxes(array_hu, lambda part: _above(part, MATTER_HU)))


def nonzero_box(array: NDArray[np.float32] | NDArray[np.float64]) -> Box | None:
    """Return the box outside of which an array is exactly 0, or None where it is all 0."""
    return _joined(nonzero_boxes(array))


def _joined(boxes: Iterable[Box]) -> Box | None:
    ranges = [[(part.start, part.stop) for part in box] for box in boxes]
    if not ranges:
        return None
    low, high = np.min(ranges, axis=0)[:, 0], np.max(ranges, axis=0)[:, 1]
    k, j, i = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return k, j, i


def _boxes(
    array: NDArray[Any], occupied: Callable[[NDArray[Any]], Occupied]
) -> Iterator[tuple[float, Box]]:
    """Yield the box of what is occupied in each slab, and the share that is done after it.

    Slab by slab and not for the whole array: what was looked at is still in the cache when it is
    used, and a head's boxes are smaller than the head's box.
    """
    depth, height, width = array.shape
    thickness = _thickness(height * width)
    for start in range(0, depth, thickness):
        part = array[start : start + thickness]
        slices, rows, columns = (np.flatnonzero(axis) for axis in occupied(part))
        if len(slices):
            k, j, i = (slice(int(at[0]), int(at[-1]) + 1) for at in (slices, rows, columns))
            yield (start + len(part)) / depth, (slice(start + k.start, start + k.stop), j, i)


def _above(part: NDArray[Any], threshold: float) -> Occupied:
    """Return which slices, rows and columns hold anything above a threshold."""
    if (found := kernel.above(part, threshold)) is not None:
        return found
    plane = part.max(axis=0) > threshold
    slices = np.array([one.max() > threshold for one in part])
    return slices, plane.any(axis=1), plane.any(axis=0)


def _nonzero(part: NDArray[Any]) -> Occupied:
    """Return which slices, rows and columns hold anything but 0."""
    bits = part.view(np.uint32 if part.itemsize == 4 else np.uint64)
    if (found := kernel.above(bits, 0)) is not None:
        return found
    # The shift drops the sign, since -0 is 0 too.
    plane = (np.bitwise_or.reduce(bits, axis=0) << 1) != 0
    slices = np.array([np.bitwise_or.reduce(one, axis=None) << 1 for one in bits]) != 0
    return slices, plane.any(axis=1), plane.any(axis=0)


def _thickness(plane: int) -> int:
    """Return how many slices make a slab, for slices of this many voxels."""
    return KERNEL_SLICES if kernel.available() else max(1, NUMPY_BYTES // (4 * plane))
