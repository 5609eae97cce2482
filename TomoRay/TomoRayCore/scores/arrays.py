"""Checks that every score begins with, and the arithmetic that several share."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.errors import InputError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def checked_pair(
    sct_hu: NDArray[np.generic], ct_hu: NDArray[np.generic], dimensions: int = 3
) -> tuple[Array, Array]:
    """Return two arrays of one shape as float64.

    Raises:
        InputError: ``BAD_SHAPE`` for different shapes or another number of dimensions,
            ``NON_FINITE`` for NaN or infinity in either.
    """
    first, second = np.asarray(sct_hu), np.asarray(ct_hu)
    if first.shape != second.shape or first.ndim != dimensions or first.size == 0:
        raise InputError(
            "BAD_SHAPE",
            f"Arrays of shapes {first.shape} and {second.shape} cannot be compared.",
            f"Give two arrays of the same {dimensions} dimensions, none of them empty.",
        )
    pair = first.astype(np.float64), second.astype(np.float64)
    if not all(np.isfinite(array).all() for array in pair):
        raise InputError(
            "NON_FINITE",
            "One of the compared arrays holds NaN or infinity.",
            "Replace such values; air is -1000 HU.",
        )
    return pair


def checked_masks(first: NDArray[np.generic], second: NDArray[np.generic]) -> tuple[Mask, Mask]:
    """Return two arrays of one shape as masks: true where not 0.

    Raises:
        InputError: ``BAD_SHAPE`` for different shapes.
    """
    one, other = np.asarray(first) != 0, np.asarray(second) != 0
    if one.shape != other.shape or one.ndim == 0:
        raise InputError(
            "BAD_SHAPE",
            f"Masks of shapes {one.shape} and {other.shape} cannot be compared.",
            "Give both on the same grid.",
        )
    return one, other


def mean_in(values: Array, mask: Mask) -> float | None:
    """Return the mean inside a mask, None for an empty one."""
    return float(values[mask].mean()) if mask.any() else None


def finite(value: float | None) -> float | None:
    """Return a number, or None for one that is not finite."""
    return None if value is None or not math.isfinite(value) else float(value)


def psnr_db(mean_squared_error: float | None, peak: float) -> float | None:
    """Return the PSNR, None without an error to speak of (infinite) or without voxels."""
    if mean_squared_error is None or mean_squared_error <= 0:
        return None
    return 20 * math.log10(peak) - 10 * math.log10(mean_squared_error)


def cosine(first: Array, second: Array) -> float | None:
    """Return the cosine of the angle between two arrays as vectors, None when one is nought."""
    length = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.sum(first * second)) / length if length > 0 else None
