"""Stored numbers to the quantity they stand for: value = slope * stored + intercept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.errors import InputError

EXACT_LIMIT = 2**31 - 1


def rescaled(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """Apply slope and intercept; whole numbers stay whole numbers (int32), others float32.

    Args:
        stored: Values as in the file.
        slope: Not 0, finite.
        intercept: Finite.

    Raises:
        InputError: ``BAD_RESCALE``.
    """
    if not (np.isfinite(slope) and np.isfinite(intercept)) or slope == 0:
        raise InputError(
            "BAD_RESCALE",
            f"The rescale slope {slope:g} and intercept {intercept:g} are not usable.",
            "Export the image again; its values cannot be turned into HU.",
        )
    if slope == 1 and intercept == 0:
        return stored
    whole = stored.dtype.kind in "iu" and slope == int(slope) and intercept == int(intercept)
    if whole and _largest(stored) * abs(slope) + abs(intercept) <= EXACT_LIMIT:
        return stored.astype(np.int32) * np.int32(slope) + np.int32(intercept)
    # float64 in between: 0.1 * 10000 in float32 is off by a thousandth of a HU.
    return (stored.astype(np.float64) * slope + intercept).astype(np.float32)


def _largest(stored: NDArray[Any]) -> float:
    return max(abs(float(stored.min())), abs(float(stored.max())))
