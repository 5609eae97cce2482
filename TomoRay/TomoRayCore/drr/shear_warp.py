"""Any pose from separable sums: a virtual detector parallel to a face of the volume, then a warp.

The virtual detector shares the real one's source (or ray direction), so that its slices are
resampled separably; a ray of the real detector meets it at one point, found by a homography, and
reads the virtual image there by cubic interpolation. This is the shear-warp factorisation (Lacroute
and Levoy, SIGGRAPH 1994) with the sum in place of compositing; each pixel's own path length is
applied after the warp, so obliquity is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.drr.plan import ViewPlan, index_frame
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import ViewGeometry
from TomoRayCore.volume import Grid

PITCH_VOXELS = 0.75
"""Virtual pixel in voxels, at the middle of the volume: what keeps the warp's error small."""

LEAST_COSINE = 0.2
"""Rays must meet the slices at 78 degrees from their normal at most; else the sum is too coarse."""

BORDER = 3
"""Virtual pixels around the shadow, so that cubic interpolation finds its neighbours."""


@dataclass(frozen=True)
class ShearPlan:
    """How one view of any pose is computed on a grid.

    Attributes:
        virtual: Slices and positions of the virtual detector of (R', C') pixels; its ``path_mm``
            is 1, because the path length belongs to the real rays.
        rows: (R, C) row of the virtual image that each real pixel reads, in virtual pixels; 1 to
            R' - 3 where ``inside``, so that all four cubic neighbours exist, else 1.
        columns: (R, C) likewise.
        inside: (R, C) whether the ray of a pixel passes through the volume's shadow at all.
        path_mm: (R, C) length of a ray between neighbouring slices; 0 where not ``inside``.
        cut: None, or (a, b, c, d): only voxels with a i + b j + c k + d >= 0 lie before the
            detector and count.
    """

    virtual: ViewPlan
    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    inside: NDArray[np.bool_]
    path_mm: NDArray[np.float64]
    cut: NDArray[np.float64] | None

    @property
    def virtual_size(self) -> tuple[int, int]:
        """(R', C'); (0, 0) when no ray of the view meets the volume."""
        return self.virtual.row_positions.shape[1], self.virtual.column_positions.shape[1]


def plan_shear(grid: Grid, view: ViewGeometry) -> ShearPlan:
    """Work out the plan of one view.

    Raises:
        InputError: ``VIEW_TOO_STEEP`` when the source is inside the volume or so near to it that
            no face sees all of its rays at a workable angle.
    """
    source, centre, down, along = index_frame(grid, view)
    sizes = np.array(grid.shape[::-1])
    rays = _Rays(grid, view, source, centre, down, along)
    axis, sign = rays.dominant_axis(sizes)
    row_axis, column_axis = (other for other in (2, 1, 0) if other != axis)
    plane = (sizes[axis] - 1) / 2
    hits, toward = rays.hits(axis, plane)
    meets = toward * sign > 0
    lows, counts = [], []
    for other in (row_axis, column_axis):
        low, high = rays.shadow(axis, other, plane, sizes)
        if meets.all():
            low = max(low, float(hits[..., other].min()))
            high = min(high, float(hits[..., other].max()))
        count = int(np.ceil((high - low) / PITCH_VOXELS)) + 1 if high >= low else 0
        lows.append(low - BORDER * PITCH_VOXELS)
        counts.append(count + 2 * BORDER if count else 0)
    if not all(counts):
        counts = [0, 0]
    slices = np.arange(sizes[axis])
    virtual = ViewPlan(
        axes=(2 - axis, 2 - row_axis, 2 - column_axis),
        slices=slices,
        row_positions=rays.positions(slices, axis, row_axis, plane, _steps(lows[0], counts[0])),
        column_positions=rays.positions(
            slices, axis, column_axis, plane, _steps(lows[1], counts[1])
        ),
        path_mm=np.ones((counts[0], counts[1])),
    )
    at = [
        (hits[..., other] - low) / PITCH_VOXELS
        for other, low in zip((row_axis, column_axis), lows, strict=True)
    ]
    inside = meets.copy()
    for position, count in zip(at, counts, strict=True):
        inside &= (position >= 1) & (position <= count - 3)
    path_mm = np.where(inside, rays.length_mm() / np.maximum(np.abs(toward), 1e-12), 0.0)
    rows, columns = (np.where(inside, position, 1.0) for position in at)
    return ShearPlan(virtual, rows, columns, inside, path_mm, rays.cut(sizes))


def cubic_weights(fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (..., 4): weights of the neighbours at -1, 0, 1, 2 of a position 0 <= f <= 1.

    The cubic convolution kernel with a = -1/2 (Keys, IEEE Trans ASSP 29:1153, 1981).
    """
    f = fraction
    return np.stack(
        [
            ((-0.5 * f + 1.0) * f - 0.5) * f,
            (1.5 * f - 2.5) * f * f + 1.0,
            ((-1.5 * f + 2.0) * f + 0.5) * f,
            (0.5 * f - 0.5) * f * f,
        ],
        axis=-1,
    )


def warp_entries(plan: ShearPlan) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return index and weight, (R * C, 16) each, of the virtual pixels that each pixel reads.

    Indices are into the flattened virtual image. Pixels that see nothing have weight 0.
    """
    width = plan.virtual_size[1]
    parts = []
    for positions in (plan.rows, plan.columns):
        lower = np.floor(positions)
        index = lower.astype(np.int64).reshape(-1, 1) + np.arange(-1, 3)
        parts.append((index, cubic_weights((positions - lower).ravel())))
    (rows, row_weights), (columns, column_weights) = parts
    index = rows[:, :, None] * width + columns[:, None, :]
    weight = row_weights[:, :, None] * column_weights[:, None, :] * plan.inside.reshape(-1, 1, 1)
    index[~plan.inside.ravel()] = 0
    return index.reshape(-1, 16), weight.reshape(-1, 16)


class _Rays:
    """The rays of one view in voxel coordinates (i, j, k)."""

    def __init__(
        self,
        grid: Grid,
        view: ViewGeometry,
        source: NDArray[np.float64],
        centre: NDArray[np.float64],
        down: NDArray[np.float64],
        along: NDArray[np.float64],
    ) -> None:
        self._grid, self._view = grid, view
        self._source = source
        self._cone = view.beam == "cone"
        rows = (np.arange(view.size[0]) - (view.size[0] - 1) / 2)[:, None, None]
        columns = (np.arange(view.size[1]) - (view.size[1] - 1) / 2)[None, :, None]
        self._pixels = centre + rows * down + columns * along
        to_index = np.linalg.inv(grid.ijk_to_lps)[:3, :3]
        self._parallel_step = -to_index @ view.normal

    def dominant_axis(self, sizes: NDArray[np.intp]) -> tuple[int, float]:
        """Return the voxel axis that the volume's rays follow most, and their sense along it."""
        if not self._cone:
            along = self._grid.direction.T @ -self._view.normal
            axis = int(np.abs(along).argmax())
            return axis, float(np.sign(along[axis]))
        corners = np.array(np.meshgrid(*[(-1, n) for n in sizes], indexing="ij")).reshape(3, -1).T
        toward = corners - self._source
        lengths = np.linalg.norm(toward @ self._grid.ijk_to_lps[:3, :3].T, axis=1)
        cosines = toward * np.array(self._grid.spacing_ijk_mm) / lengths[:, None]
        signs = np.sign(cosines.mean(axis=0))
        least = (cosines * signs).min(axis=0)
        axis = int(least.argmax())
        if least[axis] < LEAST_COSINE:
            raise InputError(
                "VIEW_TOO_STEEP",
                f"The source of view {self._view.label} is inside the volume or too near to it.",
                "Move the source away, or crop the volume to the part of interest.",
            )
        return axis, float(signs[axis])

    def hits(self, axis: int, plane: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return where rays meet a plane, (R, C, 3), and their component along the axis, (R, C)."""
        start = self._source if self._cone else self._pixels
        step = self._pixels - self._source if self._cone else self._parallel_step
        toward = np.broadcast_to(step[..., axis], self._pixels.shape[:2])
        safe = np.where(np.abs(toward) > 1e-9, toward, np.inf)
        share = (plane - start[..., axis]) / safe
        return start + share[..., None] * step, toward

    def shadow(
        self, axis: int, other: int, plane: float, sizes: NDArray[np.intp]
    ) -> tuple[float, float]:
        """Return the range that the volume covers on a plane along another axis, in voxels."""
        ends = [
            self._on_plane(slice_, border, axis, other, plane)
            for slice_ in (0.0, float(sizes[axis] - 1))
            for border in (-1.0, float(sizes[other]))
        ]
        return min(ends), max(ends)

    def positions(
        self,
        slices: NDArray[np.intp],
        axis: int,
        other: int,
        plane: float,
        on_plane: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return (S, P): where rays through points of a plane pass in each slice."""
        if self._cone:
            share = (slices - self._source[axis]) / (plane - self._source[axis])
            moved = share[:, None] * (on_plane - self._source[other])
            return np.asarray(self._source[other] + moved)
        slope = self._parallel_step[other] / self._parallel_step[axis]
        return np.asarray(on_plane + ((slices - plane) * slope)[:, None])

    def length_mm(self) -> NDArray[np.float64]:
        """Return the rays' length in mm from source to pixel; a parallel beam's steps are 1 mm."""
        if not self._cone:
            return np.ones(self._view.size)
        ray = self._view.pixel_centres_lps() - np.array(self._view.source_lps)
        return np.asarray(np.linalg.norm(ray, axis=-1))

    def cut(self, sizes: NDArray[np.intp]) -> NDArray[np.float64] | None:
        """Return the detector's plane in voxel coordinates when the volume reaches behind it."""
        affine = self._grid.ijk_to_lps
        normal, centre = self._view.normal, np.array(self._view.detector_centre_lps)
        plane = np.append(normal @ affine[:3, :3], normal @ (affine[:3, 3] - centre))
        lowest = plane[3] + np.minimum(plane[:3] * (sizes - 1), 0).sum()
        return plane if lowest < 0 else None

    def _on_plane(self, slice_: float, at: float, axis: int, other: int, plane: float) -> float:
        """Return where the ray through a point of a slice meets a plane."""
        if self._cone:
            source = self._source
            share = (plane - source[axis]) / (slice_ - source[axis])
            return float(source[other] + share * (at - source[other]))
        slope = self._parallel_step[other] / self._parallel_step[axis]
        return float(at + (plane - slice_) * slope)


def _steps(low: float, count: int) -> NDArray[np.float64]:
    return np.asarray(low + PITCH_VOXELS * np.arange(count))
