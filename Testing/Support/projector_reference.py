"""Exact references in float64 that the projectors are tested against; slow and simple."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from TomoRayCore.geometry import ViewGeometry
from TomoRayCore.volume import Grid, Volume


@dataclass(frozen=True)
class Ellipsoid:
    """A homogeneous body: centre and semi-axes in LPS mm, rotation about z, HU above its host."""

    centre: tuple[float, float, float]
    semi_axes: tuple[float, float, float]
    angle_deg: float
    added_hu: float

    def local(self, points: np.ndarray) -> np.ndarray:
        """Return points in the frame where the body is the unit sphere."""
        angle = np.radians(self.angle_deg)
        c, s = np.cos(angle), np.sin(angle)
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        return (points - np.array(self.centre)) @ turn.T / np.array(self.semi_axes)

    def directions(self, vectors: np.ndarray) -> np.ndarray:
        """Return direction vectors in that frame."""
        return self.local(vectors + np.array(self.centre))


HEAD = (
    Ellipsoid((2.0, -3.0, 1.0), (70.0, 85.0, 80.0), 7.0, 2000.0),  # skull, 1000 HU
    Ellipsoid((2.0, -3.0, 1.0), (64.0, 79.0, 74.0), 7.0, -965.0),  # brain, 35 HU
    Ellipsoid((20.0, 10.0, 15.0), (12.0, 20.0, 9.0), 20.0, -27.0),  # ventricle, 8 HU
    Ellipsoid((-25.0, -40.0, -20.0), (14.0, 11.0, 17.0), -15.0, -1035.0),  # air cell
    Ellipsoid((-30.0, 25.0, 30.0), (9.0, 9.0, 9.0), 0.0, 1400.0),  # dense
    Ellipsoid((35.0, -20.0, -35.0), (7.0, 12.0, 8.0), 40.0, 900.0),
)


def ellipsoid_volume(bodies: tuple[Ellipsoid, ...], grid: Grid, supersampling: int = 3) -> Volume:
    """Return the bodies in air on a grid, with partial volume."""
    offsets = (np.arange(supersampling) - (supersampling - 1) / 2) / supersampling
    total = np.zeros(grid.shape, np.float32)
    for offset in itertools.product(offsets, repeat=3):
        for body in bodies:
            total += np.float32(body.added_hu) * (_squared_radius(body, grid, offset) <= 1)
    return Volume(total / supersampling**3 - 1000, grid.ijk_to_lps)


def analytic_line_integrals(
    bodies: tuple[Ellipsoid, ...], view: ViewGeometry, mu_water_per_mm: float
) -> np.ndarray:
    """Return the exact (R, C) integrals of mu along the rays to the pixel centres."""
    source, direction = _rays(view)
    total = np.zeros(view.size)
    for body in bodies:
        o, d = body.local(source), body.directions(direction)
        a, b, c = (d * d).sum(-1), (o * d).sum(-1), (o * o).sum(-1) - 1
        chord = 2 * np.sqrt(np.maximum(b * b - a * c, 0)) / a
        total += chord * body.added_hu / 1000 * mu_water_per_mm
    return total


def sampled_line_integrals(
    mu_per_mm: np.ndarray, grid: Grid, view: ViewGeometry, step_mm: float = 0.1
) -> np.ndarray:
    """Return (R, C) integrals of the trilinear interpolant, finely sampled along each ray."""
    source, direction = _rays(view)
    reach = np.linalg.norm(grid.extent_ijk_mm) / 2 + step_mm
    middle = ((np.array(grid.centre_lps) - source) * direction).sum(-1, keepdims=True)
    to_index = np.linalg.inv(grid.ijk_to_lps)
    padded = np.pad(mu_per_mm.astype(np.float64), 1)
    total = np.zeros(view.size)
    for t in np.arange(-reach, reach, step_mm) + step_mm / 2:
        points = source + direction * (middle + t)
        index = points @ to_index[:3, :3].T + to_index[:3, 3]
        positions = np.moveaxis(index[..., ::-1], -1, 0) + 1
        total += ndimage.map_coordinates(padded, positions, order=1, mode="constant")
    return total * step_mm


def siddon_line_integral(
    mu_per_mm: np.ndarray, grid: Grid, start: np.ndarray, end: np.ndarray
) -> float:
    """Return the exact integral through blocky voxels between two points (Siddon 1985)."""
    to_index = np.linalg.inv(grid.ijk_to_lps)
    a, b = (to_index[:3, :3] @ p + to_index[:3, 3] + 0.5 for p in (start, end))
    crossings = [0.0, 1.0]
    for axis, size in enumerate(grid.shape[::-1]):
        if abs(b[axis] - a[axis]) > 1e-12:
            t = (np.arange(size + 1) - a[axis]) / (b[axis] - a[axis])
            crossings += t[(t > 0) & (t < 1)].tolist()
    ts = np.unique(crossings)
    middles = a + (ts[:-1] + ts[1:])[:, None] / 2 * (b - a)
    i, j, k = np.floor(middles).astype(int).T
    d, h, w = grid.shape
    valid = (i >= 0) & (i < w) & (j >= 0) & (j < h) & (k >= 0) & (k < d)
    lengths = np.diff(ts) * np.linalg.norm(end - start)
    return float((mu_per_mm[k[valid], j[valid], i[valid]] * lengths[valid]).sum())


def _rays(view: ViewGeometry) -> tuple[np.ndarray, np.ndarray]:
    """Return ray starts and unit directions, (R, C, 3) each."""
    pixels = view.pixel_centres_lps()
    if view.beam == "parallel":
        direction = np.broadcast_to(-view.normal, pixels.shape)
        return pixels + view.normal * view.sdd_mm, direction
    ray = pixels - np.array(view.source_lps)
    source = np.broadcast_to(np.array(view.source_lps), pixels.shape)
    return source, ray / np.linalg.norm(ray, axis=-1, keepdims=True)


def _squared_radius(body: Ellipsoid, grid: Grid, offset: tuple[float, float, float]) -> np.ndarray:
    """Return (D, H, W): the squared distance from the centre in the body's own frame.

    The frame's coordinates are sums of one term per index, so no array of points is needed.
    """
    axes = body.directions(grid.ijk_to_lps[:3, :3].T).T  # columns: a step along i, j, k
    start = body.local(grid.ijk_to_lps[:3, 3])
    d, h, w = grid.shape
    i, j, k = (np.arange(n) + o for n, o in zip((w, h, d), offset, strict=True))
    squared = np.zeros(grid.shape, np.float32)
    for row in range(3):
        coordinate = (
            (axes[row, 0] * i + start[row]).astype(np.float32)
            + (axes[row, 1] * j).astype(np.float32)[:, None]
            + (axes[row, 2] * k).astype(np.float32)[:, None, None]
        )
        squared += coordinate**2
    return squared
