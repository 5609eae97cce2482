"""Small fixtures that several tests of the engine share."""

from __future__ import annotations

import numpy as np
import pytest

from TomoRayCore.coordinates import compose_affine
from TomoRayCore.volume import Volume

SPACING_IJK_MM = (0.6, 0.9, 1.5)


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


def asymmetric_hu(shape: tuple[int, int, int] = (7, 9, 11)) -> np.ndarray:
    """Return int16 HU without any symmetry, from the whole range of CT numbers."""
    values = np.random.default_rng(3).integers(-1024, 3072, shape).astype(np.int16)
    values[0, 0, 0], values[-1, -1, -1] = -32768, 32767
    return values


@pytest.fixture(params=DIRECTIONS, ids=str)
def placed_volume(request: pytest.FixtureRequest) -> Volume:
    """A small anisotropic volume in each of the orientations that matter."""
    affine = compose_affine(DIRECTIONS[request.param], SPACING_IJK_MM, (-71.25, 33.5, 812.0625))
    return Volume(asymmetric_hu(), affine)


@pytest.fixture
def oblique_volume() -> Volume:
    """One oblique, anisotropic, odd-sized volume."""
    affine = compose_affine(DIRECTIONS["oblique"], SPACING_IJK_MM, (-71.25, 33.5, 812.0625))
    return Volume(asymmetric_hu(), affine)
