"""Distances between the surfaces of two masks in mm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from TomoRayCore.errors import InputError
from TomoRayCore.scores.arrays import Array, Mask, checked_masks
from TomoRayCore.scores.card import Card

TOLERANCE_MM = 2.0
PERCENTILE = 95.0

_SURFACE = (
    "surface voxels: those of the mask that share a face with one outside it; the array's border "
    "is no surface"
)
CARDS = {
    "assd_mm": Card(
        "average symmetric surface distance in mm",
        mask=_SURFACE,
        averaging="mean over the surface voxels of both masks together",
    ),
    "hd95_mm": Card(
        "95th percentile of the Hausdorff distance in mm",
        mask=_SURFACE,
        averaging="the larger of both directions' percentiles",
    ),
    "nsd": Card(
        f"normalised surface Dice at {TOLERANCE_MM:g} mm",
        mask=_SURFACE,
        averaging="share of the surface voxels of both masks that lie within the tolerance",
    ),
}
"""The numbers of ``surface_scores``."""


def card_of(card: Card, structure: str) -> Card:
    """Return the card of a number for a structure, given in words."""
    return replace(card, mask=f"{structure}; {card.mask}")


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """How far each surface voxel of a mask lies from the other mask's surface, in mm."""

    forth: Array
    back: Array

    @property
    def assd_mm(self) -> float:
        """Average symmetric surface distance."""
        return float(np.concatenate([self.forth, self.back]).mean())

    @property
    def hd95_mm(self) -> float:
        """Larger of both directions' 95th percentile."""
        return float(max(np.percentile(one, PERCENTILE) for one in (self.forth, self.back)))

    def nsd(self, tolerance_mm: float = TOLERANCE_MM) -> float:
        """Share of both surfaces within a tolerance of each other."""
        # Distances are sums of squares under a root: 2 mm may come out as 2 + 4e-16.
        return float((np.concatenate([self.forth, self.back]) <= tolerance_mm + 1e-9).mean())


def surface_distances(
    first: NDArray[np.generic], second: NDArray[np.generic], spacing_mm: Sequence[float]
) -> SurfaceDistances | None:
    """Return the distances between two masks' surfaces, None when either has no surface.

    Args:
        first: Mask of any dimensions; what is not 0 is inside.
        second: Another one on the same grid.
        spacing_mm: Voxel size along each array axis, in the array's order (k, j, i).

    Raises:
        InputError: ``BAD_SHAPE`` for masks of different shapes, ``BAD_SPACING`` for a spacing that
            does not fit them.
    """
    one, other = checked_masks(first, second)
    spacing = tuple(float(size) for size in spacing_mm)
    if len(spacing) != one.ndim or not all(0 < size < np.inf for size in spacing):
        raise InputError(
            "BAD_SPACING",
            f"The spacing {spacing} does not fit masks of {one.ndim} dimensions.",
            "Give one positive number of mm for each array axis.",
        )
    crop = _around(one | other)
    edge_1, edge_2 = _surface(one)[crop], _surface(other)[crop]
    if not (edge_1.any() and edge_2.any()):
        return None
    to_1 = ndimage.distance_transform_edt(~edge_1, sampling=spacing)
    to_2 = ndimage.distance_transform_edt(~edge_2, sampling=spacing)
    return SurfaceDistances(np.asarray(to_2[edge_1]), np.asarray(to_1[edge_2]))


def surface_scores(
    first: NDArray[np.generic], second: NDArray[np.generic], spacing_mm: Sequence[float]
) -> dict[str, float | None]:
    """Return the numbers of ``CARDS``, None without a surface; see ``surface_distances``."""
    distances = surface_distances(first, second, spacing_mm)
    if distances is None:
        return dict.fromkeys(CARDS)
    return {
        "assd_mm": distances.assd_mm,
        "hd95_mm": distances.hd95_mm,
        "nsd": distances.nsd(),
    }


def _surface(mask: Mask) -> Mask:
    return np.asarray(mask & ~ndimage.binary_erosion(mask, border_value=1))


def _around(mask: Mask) -> tuple[slice, ...]:
    """Return the box of a mask: nothing outside it can change a distance between surfaces."""
    found = ndimage.find_objects(mask.astype(np.int8))
    return tuple(found[0]) if found else (slice(None),) * mask.ndim
