"""Affines between voxel indices, LPS and RAS millimetres.

World is LPS (DICOM, ITK) everywhere in the engine: x grows to the patient's left, y to posterior,
z to superior. Only ``TomoRayLib/MRMLBridge.py`` speaks RAS, and converts with the functions here.
An affine acts on index columns (i, j, k, 1); arrays are indexed (k, j, i).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from TomoRayCore.errors import InputError

Affine = NDArray[np.float64]

LPS_TO_RAS: Affine = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Its own inverse: flips x and y."""

ORTHOGONALITY_TOLERANCE = 1e-3
"""Largest cosine between two voxel axes that still counts as a right angle (0.06 degrees)."""


def compose_affine(
    direction: ArrayLike, spacing_ijk_mm: ArrayLike, origin_lps: ArrayLike
) -> Affine:
    """Return the 4x4 ``ijk_to_lps`` of an ITK image: columns of ``direction`` times spacing."""
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(direction, float).reshape(3, 3) * np.asarray(spacing_ijk_mm, float)
    affine[:3, 3] = np.asarray(origin_lps, float)
    return affine


def spacing_of(affine: Affine) -> tuple[float, float, float]:
    """Return the voxel size along i, j, k in mm."""
    i, j, k = np.linalg.norm(affine[:3, :3], axis=0)
    return float(i), float(j), float(k)


def direction_of(affine: Affine) -> Affine:
    """Return the 3x3 matrix whose columns are the unit vectors of i, j, k in the world."""
    return np.asarray(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0), np.float64)


def transform_points(affine: Affine, points: ArrayLike) -> NDArray[np.float64]:
    """Apply a 4x4 affine to points of shape (..., 3)."""
    return np.asarray(points, float) @ affine[:3, :3].T + affine[:3, 3]


def lps_to_ras(affine_to_lps: Affine) -> Affine:
    """Turn an affine that ends in LPS into the one that ends in RAS, and the other way round."""
    return LPS_TO_RAS @ affine_to_lps


def checked_affine(affine: ArrayLike) -> Affine:
    """Return a read-only copy of a voxel-to-world affine.

    Raises:
        InputError: ``BAD_AFFINE`` for a matrix that is not 4x4, not finite, not invertible, or
            whose voxel axes are not at right angles (gantry tilt, sheared NIfTI).
    """
    matrix = np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise InputError(
            "BAD_AFFINE",
            f"The voxel-to-world matrix must be 4x4 and finite; got shape {matrix.shape}.",
            "Export the image again with a valid orientation.",
        )
    if not np.allclose(matrix[3], [0, 0, 0, 1]) or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
        raise InputError(
            "BAD_AFFINE",
            f"The voxel-to-world matrix is not an invertible affine:\n{matrix}",
            "Export the image again with a valid orientation.",
        )
    direction = direction_of(matrix)
    skew = np.abs(direction.T @ direction - np.eye(3)).max()
    if skew > ORTHOGONALITY_TOLERANCE:
        raise InputError(
            "SHEARED_GEOMETRY",
            f"The voxel axes are not at right angles (largest cosine {skew:.4f}), "
            "as in a series with gantry tilt.",
            "Resample the series to an orthogonal grid first.",
        )
    matrix.setflags(write=False)
    return matrix
