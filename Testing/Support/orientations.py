"""Directions of voxel axes that readers and projectors get wrong, with names."""

from __future__ import annotations

import numpy as np


def rotation(axis: tuple[float, float, float], angle_deg: float) -> np.ndarray:
    """Return the rotation matrix about an axis (Rodrigues)."""
    x, y, z = np.array(axis, float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(angle_deg)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


DIRECTIONS = {
    "identity": np.eye(3),
    "RAS": np.diag([-1.0, -1.0, 1.0]),
    "mirrored": np.diag([1.0, -1.0, 1.0]),
    "feet_first": np.diag([1.0, 1.0, -1.0]),
    "sagittal": np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]], float),
    "coronal": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float),
    "oblique": rotation((1, 2, 3), 23.0),
    "oblique_sagittal": rotation((3, -1, 2), -31.0)
    @ np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]], float),
}
