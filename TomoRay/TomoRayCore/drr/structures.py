"""Which part of the attenuation belongs to a structure: by HU, by a mask, or by a function of HU."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.drr.slabs import Slab
from TomoRayCore.errors import InputError

BONE_HU = 300.0
"""Above soft tissue, blood and most contrast of the head, below trabecular bone's cortex."""


@dataclass(frozen=True, eq=False)
class Structure:
    """The share of each voxel's attenuation that counts; exactly one way of saying it.

    Structures that share out every voxel (``BONE`` and ``SOFT_TISSUE``, a mask and its complement)
    add up to the whole DRR.

    Attributes:
        hu_range: Voxels with low <= HU < high.
        mask: (D, H, W) of the volume: booleans, or shares as real numbers.
        weight: Function of an array of HU of any shape that returns shares of the same shape.

    Raises:
        InputError: ``BAD_STRUCTURE``.
    """

    hu_range: tuple[float, float] | None = None
    mask: NDArray[Any] | None = None
    weight: Callable[[NDArray[Any]], NDArray[Any]] | None = None

    def __post_init__(self) -> None:
        if sum(way is not None for way in (self.hu_range, self.mask, self.weight)) != 1:
            raise _bad("A structure needs one of hu_range, mask and weight.")
        if self.hu_range is not None and not self.hu_range[0] < self.hu_range[1]:
            raise _bad(f"The HU range {self.hu_range} is empty.")
        if self.mask is not None:
            self._check_mask(np.asarray(self.mask))

    def check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Refuse a mask of another shape than the volume's."""
        if self.mask is not None and self.mask.shape != shape:
            raise _bad(f"The mask of {name!r} has the shape {self.mask.shape}, the volume {shape}.")

    def of(self, slab: Slab) -> NDArray[np.float32]:
        """Return the structure's part of a slab's attenuation in 1/mm."""
        return np.asarray(np.multiply(slab.mu_per_mm, self._share(slab), dtype=np.float32))

    def _share(self, slab: Slab) -> NDArray[Any]:
        if self.hu_range is not None:
            low, high = self.hu_range
            return np.asarray((slab.hu >= low) & (slab.hu < high))
        if self.mask is not None:
            return self.mask[slab.box]
        share = np.asarray(self.weight(slab.hu) if self.weight is not None else None)
        if share.shape != slab.hu.shape or share.dtype.kind not in "fiub":
            raise _bad(f"A weight function turned {slab.hu.shape} HU into {share.shape} shares.")
        if not np.isfinite(share).all():
            raise _bad("A weight function returned NaN or infinity.")
        return share

    @staticmethod
    def _check_mask(mask: NDArray[Any]) -> None:
        if mask.ndim != 3 or mask.dtype.kind not in "fiub":
            raise _bad(f"A mask needs three dimensions of numbers; got {mask.shape}, {mask.dtype}.")
        if mask.dtype.kind == "f" and not np.isfinite(mask).all():
            raise _bad("A mask holds NaN or infinity.")


BONE = Structure(hu_range=(BONE_HU, math.inf))
SOFT_TISSUE = Structure(hu_range=(-math.inf, BONE_HU))
"""All but bone; what is air attenuates nothing anyway."""


def _bad(message: str) -> InputError:
    return InputError(
        "BAD_STRUCTURE",
        message,
        "Give one of: an HU range (low, high), a mask of the volume's shape, a function of HU.",
    )
