"""A CT or synthetic CT: HU on a right-angled voxel grid with its place in the world."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from TomoRayCore.coordinates import (
    Affine,
    checked_affine,
    compose_affine,
    direction_of,
    spacing_of,
    transform_points,
)
from TomoRayCore.errors import InputError

HU = NDArray[np.int16] | NDArray[np.float32]
"""How a volume stores its values."""

AIR_HU = -1000.0
"""What lies outside a volume."""

SYNTHETIC_KEY = "tomoray_synthetic"
"""Metadata key that marks an image as computed by a network, in every file format that can."""

HU_LIMIT = 100_000.0
"""No CT number is larger: metal saturates near 30 000 even on extended scales."""


@dataclass(frozen=True)
class Grid:
    """Shape (D, H, W) and 4x4 ``ijk_to_lps`` of a voxel grid, without values."""

    shape: tuple[int, int, int]
    ijk_to_lps: Affine

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise InputError(
                "BAD_GRID",
                f"A grid needs three sizes of at least 1; got {self.shape}.",
                "Give it as (slices, rows, columns).",
            )
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "ijk_to_lps", checked_affine(self.ijk_to_lps))

    @property
    def spacing_ijk_mm(self) -> tuple[float, float, float]:
        """Voxel size along i, j, k (the array's last, middle, first axis) in mm."""
        return spacing_of(self.ijk_to_lps)

    @property
    def direction(self) -> Affine:
        """3x3 matrix whose columns are the unit vectors of i, j, k in LPS."""
        return direction_of(self.ijk_to_lps)

    @property
    def centre_lps(self) -> tuple[float, float, float]:
        """World position of the grid's centre in mm."""
        middle = (np.array(self.shape[::-1], float) - 1) / 2
        x, y, z = transform_points(self.ijk_to_lps, middle)
        return float(x), float(y), float(z)

    @property
    def extent_ijk_mm(self) -> tuple[float, float, float]:
        """Edge lengths along i, j, k in mm, voxel border to voxel border."""
        i, j, k = (n * s for n, s in zip(self.shape[::-1], self.spacing_ijk_mm, strict=True))
        return i, j, k

    def same_as(self, other: Grid, tolerance_mm: float = 1e-3) -> bool:
        """Say whether both grids put every voxel within ``tolerance_mm`` of the same place."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape[::-1]])).reshape(3, -1).T
        here = transform_points(self.ijk_to_lps, corners)
        return bool(
            np.abs(here - transform_points(other.ijk_to_lps, corners)).max() <= tolerance_mm
        )


def canonical_grid(
    centre_lps: ArrayLike, size: int | tuple[int, int, int], spacing_mm: float
) -> Grid:
    """Return an isotropic LPS grid around a point.

    Identity direction: k runs inferior to superior, j anterior to posterior, i right to left.

    Args:
        centre_lps: World position of the grid's centre in mm.
        size: Voxels per edge, or (D, H, W).
        spacing_mm: Voxel size in mm.
    """
    shape = (size, size, size) if isinstance(size, int) else size
    half_mm = (np.array(shape[::-1], float) - 1) / 2 * spacing_mm
    origin = np.asarray(centre_lps, float) - half_mm
    return Grid(shape, compose_affine(np.eye(3), [spacing_mm] * 3, origin))


@dataclass(frozen=True, eq=False)
class Volume:
    """HU values with their place in the world; valid once constructed.

    Attributes:
        array_hu: (D, H, W) = (k, j, i), int16 or float32, HU; read-only. Other number types are
            converted: integers that fit become int16, everything else float32.
        ijk_to_lps: 4x4 affine from voxel index (i, j, k) to LPS mm; right-angled axes.
        metadata: Free text that travels with the volume; ``tomoray_synthetic`` marks an sCT.

    Raises:
        InputError: ``NOT_3D``, ``NON_FINITE`` (NaN or infinity), ``HU_RANGE``, ``BAD_AFFINE`` or
            ``SHEARED_GEOMETRY``.
    """

    array_hu: HU
    ijk_to_lps: Affine
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "array_hu", _checked_hu(self.array_hu))
        object.__setattr__(self, "ijk_to_lps", checked_affine(self.ijk_to_lps))
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W)."""
        d, h, w = self.array_hu.shape
        return d, h, w

    @property
    def grid(self) -> Grid:
        """The voxel grid without the values."""
        return Grid(self.shape, self.ijk_to_lps)

    @property
    def spacing_ijk_mm(self) -> tuple[float, float, float]:
        """Voxel size along i, j, k in mm."""
        return spacing_of(self.ijk_to_lps)

    @property
    def is_synthetic(self) -> bool:
        """Whether the metadata say that a network computed this volume."""
        return self.metadata.get(SYNTHETIC_KEY, "").lower() in {"true", "yes", "1"}


def _checked_hu(values: ArrayLike) -> HU:
    array = np.asarray(values)
    if array.ndim != 3 or 0 in array.shape or array.dtype.kind not in "iufb":
        raise InputError(
            "NOT_3D",
            f"A volume needs three dimensions of numbers; got shape {array.shape}, {array.dtype}.",
            "Pick one 3D image (for 4D data one time point, for colour images one channel).",
        )
    if array.dtype == np.int16:  # its numbers are all below the limit
        return _kept(array, np.int16)
    low, high = float(array.min()), float(array.max())  # NaN when one voxel is
    if not math.isfinite(low) or not math.isfinite(high):
        bad = int(array.size - np.isfinite(array).sum())
        raise InputError(
            "NON_FINITE",
            f"{bad} of {array.size} voxels are NaN or infinite.",
            "Replace them (air is -1000 HU) or export the CT again.",
        )
    if max(-low, high) > HU_LIMIT:
        raise InputError(
            "HU_RANGE",
            f"Values from {low:g} to {high:g} are not CT numbers in HU.",
            "Apply the rescale slope and intercept, or pick the right image.",
        )
    whole = array.dtype.kind in "iub" and low >= -32768 and high <= 32767
    return _kept(array, np.int16 if whole else np.float32)


def _kept(array: NDArray[np.generic], dtype: type[np.int16] | type[np.float32]) -> HU:
    """Return a read-only array in C order that nobody else can change."""
    if array.dtype == dtype and array.flags.c_contiguous and _is_constant(array):
        return cast(HU, array)
    checked = cast(HU, np.array(array, dtype=dtype, order="C"))
    checked.setflags(write=False)
    return checked


def _is_constant(array: NDArray[np.generic]) -> bool:
    """Say whether memory is read-only all the way down, as a file's reader returns it."""
    owner: object = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return False
        if owner.base is None:
            return True
        owner = owner.base
    return isinstance(owner, bytes)
