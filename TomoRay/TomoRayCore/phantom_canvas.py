"""Coordinates, signed distances and anti-aliased painting for the procedural phantom.

Shapes are described in *template* millimetres: LPS axes, the midsagittal plane at x = 0, the
vertex at z = 118. A canvas carries, for every voxel, where it lies in the template; pose, size
and asymmetry of one head are in that map, so anatomy is written down once. A signed distance is
negative inside, in mm; the share of a voxel that a shape covers follows from it linearly over one
voxel, which gives edges the partial volume of a scanner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.volume import AIR_HU, Grid

Field = NDArray[np.floating[Any]]
"""Values on voxels; float32 at run time (the type stubs widen some results)."""
Point = tuple[float, float, float]

WARP_MARGIN_MM = 12.0
"""Windows are cut with the affine part of the map; the warp moves nothing farther than this."""


@dataclass(frozen=True)
class Region:
    """Part of a canvas: array slices and the template coordinates of its voxels."""

    where: tuple[slice, slice, slice]
    x: Field
    y: Field
    z: Field


class Canvas:
    """HU and labels under construction.

    Args:
        grid: Canonical LPS grid to paint on.
        template_to_world: 4x4 affine: pose and size of this head.
        bumps: Plane waves (wave vector in 1/mm, phase, displacement in mm) of the asymmetry.
    """

    def __init__(
        self,
        grid: Grid,
        template_to_world: NDArray[np.float64],
        bumps: Sequence[tuple[Point, float, Point]] = (),
    ) -> None:
        self.voxel_mm = grid.spacing_ijk_mm[0]
        self.hu: Field = np.full(grid.shape, AIR_HU, np.float32)
        self.labels: NDArray[np.uint8] = np.zeros(grid.shape, np.uint8)
        self._to_index = np.linalg.inv(grid.ijk_to_lps) @ template_to_world
        to_template = np.linalg.inv(template_to_world) @ grid.ijk_to_lps
        k, j, i = np.ogrid[tuple(slice(0, n) for n in grid.shape)]
        x, y, z = (
            (row[0] * i + row[1] * j + row[2] * k + row[3]).astype(np.float32)
            for row in to_template[:3]
        )
        shifts = [np.zeros_like(x) for _ in range(3)]
        for wave, phase, amplitude in bumps:
            ripple = np.sin(x * wave[0] + y * wave[1] + z * wave[2] + phase)
            for shift, size in zip(shifts, amplitude, strict=True):
                shift += ripple * size
        self.whole = Region(
            (slice(None), slice(None), slice(None)), x + shifts[0], y + shifts[1], z + shifts[2]
        )

    def box(self, low: Point, high: Point) -> Region:
        """Return the voxels that may lie in a box of template coordinates."""
        corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1)
        at = self._to_index[:3, :3] @ corners + self._to_index[:3, 3:]
        margin = WARP_MARGIN_MM / self.voxel_mm + 1
        where = tuple(
            slice(
                int(np.clip(np.floor(at[axis].min() - margin), 0, n)),
                int(np.clip(np.ceil(at[axis].max() + margin), 0, n)),
            )
            for axis, n in zip((2, 1, 0), self.hu.shape, strict=True)
        )
        k, j, i = where
        whole = self.whole
        return Region((k, j, i), whole.x[k, j, i], whole.y[k, j, i], whole.z[k, j, i])

    def around(self, points: Sequence[Point], reach_mm: float) -> Region:
        """Return the voxels that may lie within ``reach_mm`` of the box around some points."""
        array = np.array(points)
        low, high = array.min(0) - reach_mm, array.max(0) + reach_mm
        return self.box(_point(low), _point(high))

    def cover(self, distance_mm: Field) -> Field:
        """Return the share of each voxel, 0 to 1, that lies inside a signed distance."""
        share: Field = np.clip(0.5 - distance_mm / self.voxel_mm, 0, 1)
        return share

    def paint(self, region: Region, share: Field, value_hu: Field | float, label: int) -> None:
        """Blend HU in by share; voxels at least half covered take the label."""
        part = self.hu[region.where]
        part += share * (value_hu - part)
        self.labels[region.where][share >= 0.5] = label

    def fill(self, region: Region, distance_mm: Field, value_hu: Field | float, label: int) -> None:
        """Paint what is inside a signed distance."""
        self.paint(region, self.cover(distance_mm), value_hu, label)


def _point(array: NDArray[np.float64]) -> Point:
    x, y, z = (float(c) for c in array)
    return x, y, z


def mirrored(point: Point, side: int) -> Point:
    """Return a point given for the left side on the side with sign ``side`` of x."""
    return side * point[0], point[1], point[2]


def ellipsoid(at: Region, centre: Point, radii: Point) -> Field:
    """Signed distance of an axis-parallel ellipsoid, first-order exact at its surface."""
    u = (at.x - centre[0]) / radii[0]
    v = (at.y - centre[1]) / radii[1]
    w = (at.z - centre[2]) / radii[2]
    level = np.sqrt(u * u + v * v + w * w)
    slope = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2 + (w / radii[2]) ** 2)
    distance: Field = level * (level - 1) / np.maximum(slope, 1e-6)
    return distance


def capsule(
    at: Region,
    start: Point,
    end: Point,
    radius_start: float,
    radius_end: float | None = None,
    stretch: Point = (1.0, 1.0, 1.0),
) -> Field:
    """Signed distance of a rounded cone; ``stretch`` widens its cross-section per axis.

    Along a stretched axis the distance counts in units of the stretch, so edges soften there.
    """
    radius_end = radius_start if radius_end is None else radius_end
    axis = [(e - s) / f for s, e, f in zip(start, end, stretch, strict=True)]
    x, y, z = ((c - s) / f for c, s, f in zip((at.x, at.y, at.z), start, stretch, strict=True))
    length2 = max(sum(a * a for a in axis), 1e-9)
    along = np.clip((x * axis[0] + y * axis[1] + z * axis[2]) / length2, 0, 1)
    off2 = (x - along * axis[0]) ** 2 + (y - along * axis[1]) ** 2 + (z - along * axis[2]) ** 2
    distance: Field = np.sqrt(off2) - (radius_start + (radius_end - radius_start) * along)
    return distance


def chain(
    at: Region,
    points: Sequence[Point],
    radii: Sequence[float],
    stretch: Point = (1.0, 1.0, 1.0),
) -> Field:
    """Signed distance of a tube through points, with a radius in mm at each."""
    distance = capsule(at, points[0], points[1], radii[0], radii[1], stretch)
    for n in range(1, len(points) - 1):
        piece = capsule(at, points[n], points[n + 1], radii[n], radii[n + 1], stretch)
        np.minimum(distance, piece, out=distance)
    return distance


def blend_union(a: Field, b: Field, width_mm: float) -> Field:
    """Union of two signed distances whose seam is rounded over ``width_mm``."""
    nearness = np.maximum(width_mm - np.abs(a - b), 0) / width_mm
    union: Field = np.minimum(a, b) - nearness * nearness * (width_mm / 4)
    return union


def blend_cut(a: Field, b: Field, width_mm: float) -> Field:
    """Intersection of two signed distances whose seam is rounded over ``width_mm``."""
    return -blend_union(-a, -b, width_mm)


def bump(at: Region, centre: Point, widths: Point) -> Field:
    """Smooth hill of height 1: a Gaussian with these standard deviations in mm."""
    value: Field = np.exp(
        -0.5
        * (
            ((at.x - centre[0]) / widths[0]) ** 2
            + ((at.y - centre[1]) / widths[1]) ** 2
            + ((at.z - centre[2]) / widths[2]) ** 2
        )
    )
    return value


def random_waves(
    at: Region, rng: np.random.Generator, wavelength_mm: tuple[float, float], count: int = 6
) -> Field:
    """Smooth random texture with variance about 1, the same in the template at any voxel size."""
    total = np.zeros_like(at.x)
    for _ in range(count):
        heading = rng.normal(size=3)
        wave = heading / np.linalg.norm(heading) * (2 * np.pi / rng.uniform(*wavelength_mm))
        kx, ky, kz = _point(wave)
        total += np.sin(at.x * kx + at.y * ky + at.z * kz + float(rng.uniform(0, 2 * np.pi)))
    total *= float(np.sqrt(2 / count))
    return total


def unit_slope(distance: Field, voxel_mm: float) -> Field:
    """Rescale an implicit function so that it grows by about 1 per mm."""
    if min(distance.shape) < 2:
        return distance
    dz, dy, dx = np.gradient(distance, voxel_mm)
    slope: Field = np.sqrt(dx * dx + dy * dy + dz * dz)
    return np.asarray(distance / np.maximum(slope, 0.3), np.float32)
