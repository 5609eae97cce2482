"""Volumes and views in any pose, and how far an image is from a reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from TomoRayCore.coordinates import compose_affine
from TomoRayCore.geometry import ViewGeometry
from TomoRayCore.presets import make_view
from TomoRayCore.volume import Grid


def turned(view: ViewGeometry, angles_deg: tuple[float, float, float]) -> ViewGeometry:
    """Return a view turned about the world's origin, about z, x and y in this order."""
    turn = Rotation.from_euler("zxy", angles_deg, degrees=True).as_matrix()
    return replace(
        view,
        **{
            name: tuple(turn @ np.array(getattr(view, name)))
            for name in ("source_lps", "detector_centre_lps", "u", "v")
        },
    )


def frontal(size: int = 24, field_mm: float = 90.0, beam: str = "cone") -> ViewGeometry:
    """Return a frontal view of a small field about the origin."""
    return make_view(
        "view", 0.0, sad_mm=500, sdd_mm=700, detector_mm=field_mm * 1.4, size=size, beam=beam
    )


def oblique_grid(
    shape: tuple[int, int, int] = (44, 36, 50),
    spacing_ijk_mm: tuple[float, float, float] = (1.2, 1.6, 1.4),
    angles_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
    flips: tuple[int, int, int] = (1, 1, 1),
    centre: tuple[float, float, float] = (1.0, -2.0, 1.5),
) -> Grid:
    """Return a grid about a point, turned and mirrored."""
    turn = Rotation.from_euler("zxy", angles_deg, degrees=True).as_matrix()
    direction = turn * np.array(flips, float)
    middle = (np.array(shape[::-1]) - 1) / 2 * np.array(spacing_ijk_mm)
    origin = np.array(centre) - direction @ middle
    return Grid(shape, compose_affine(direction, spacing_ijk_mm, origin))


def smooth_mu(grid: Grid, width_mm: float = 7.0) -> np.ndarray:
    """Return a few soft blobs in float32, 1/mm, without symmetry and well inside of the grid."""
    d, h, w = grid.shape
    index = np.stack(np.meshgrid(range(w), range(h), range(d), indexing="ij"), -1).T
    world = np.moveaxis(index, 0, -1) @ grid.ijk_to_lps[:3, :3].T + grid.ijk_to_lps[:3, 3]
    mu = np.zeros(grid.shape)
    for centre, height in (((4, -6, 5), 0.03), ((-9, 5, -3), 0.02), ((6, 9, -8), 0.04)):
        distance = ((world - np.array(centre)) ** 2).sum(-1)
        mu += height * np.exp(-distance / (2 * width_mm**2))
    return mu.astype(np.float32)


def rmse_share(image: np.ndarray, reference: np.ndarray) -> float:
    """Return the RMS error in the body, as a share of the reference's mean there."""
    body = reference > 0.1 * reference.max()
    return float(np.sqrt(((image - reference)[body] ** 2).mean()) / reference[body].mean())
