"""Any pose from separable sums: a virtual detector parallel to a face of the volume, then a warp.

The virtual detector shares the real one's source (or ray direction), so that its slices are
resampled separably; a ray of the real detector meets it at one point, found by a homography, and
reads the virtual image there by cubic interpolation. This is the shear-warp factorisation (Lacroute
and Levoy, SIGGRAPH 1994) with a sum in place of compositing; each pixel's own path length is
applied after the warp, so obliquity is exact.

Cubic interpolation undershoots beside hard edges: next to a head's outline a line integral may be
-0.01 where the head's own reach 4.8. Cutting that off would make the operator no longer linear.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.drr import kernel
from TomoRayCore.drr.plan import Box, ViewPlan, centred, index_frame, ray_lengths_mm
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import ViewGeometry
from TomoRayCore.volume import Grid

PITCH_VOXELS = 0.75
"""Virtual pixel, in voxels at the middle of the volume. A head of 1 mm voxels then errs by 0.14 to
0.21 % of a finely sampled reference, of which 0.15 % at 45 degrees is the slice sum's own."""

LEAST_ACROSS = 64
"""Along an axis of few voxels virtual pixels are smaller, so that this many cross the volume: a
single layer of voxels may be all there is, and every sample would miss its middle."""

LEAST_COSINE = 0.2
"""Rays must meet the slices at 78 degrees from their normal at most: a sum of samples farther
apart says little, and the virtual detector would grow without bound."""

FARTHEST_MAGNIFICATION = 1.2
"""Where only a part of the volume is before the source, virtual pixels at its far side are at most
so many times those on the plane."""

LEAST_AHEAD = 1e-3
"""Slices count from so many voxels before the source on."""

BORDER = 3
"""Virtual pixels around the shadow, so that cubic interpolation finds its neighbours."""

PIXELS_A_BLOCK = 16384
"""Pixels warped at once: bounds the scratch memory at some 5 MB."""


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


def plan_shear(grid: Grid, view: ViewGeometry, matter: Box | None = None) -> ShearPlan:
    """Work out the plan of one view.

    Args:
        grid: Of the volume.
        view: Source and detector.
        matter: Box (k, j, i) of voxels in which the source may not be; None: all of them. It
            decides about nothing else: the plan holds for any values on the grid.

    Raises:
        InputError: ``VIEW_TOO_STEEP`` when the source is inside of ``matter``, or no face sees
            all of the volume's rays, or all of the detector's, at a workable angle.
    """
    rays = _Rays(grid, view)
    axis, sense = rays.dominant_axis(matter)
    image_axes = tuple(other for other in (2, 1, 0) if other != axis)
    slices = rays.aim(axis, sense)
    meets = rays.toward * sense > 0
    hits = [rays.hits(other) for other in image_axes]
    pitches = [_pitch_voxels(grid.shape[2 - other]) for other in image_axes]
    low, counts = [], []
    for other, hit, pitch in zip(image_axes, hits, pitches, strict=True):
        first, last = rays.shadow(other)
        if meets.all():  # otherwise the detector reaches beyond the source and tells no bounds
            first, last = max(first, float(hit.min())), min(last, float(hit.max()))
        low.append(first - BORDER * pitch)
        steps = int(np.ceil((last - first) / pitch)) if last >= first else -np.inf
        counts.append(max(steps + 1 + 2 * BORDER, 0))
    size = (int(counts[0]), int(counts[1])) if min(counts) > 0 and len(slices) else (0, 0)
    positions = [
        rays.positions(slices, other, start + pitch * np.arange(count, dtype=float))
        for other, start, pitch, count in zip(image_axes, low, pitches, size, strict=True)
    ]
    at = [(hit - start) / pitch for hit, start, pitch in zip(hits, low, pitches, strict=True)]
    inside = meets
    for position, count in zip(at, size, strict=True):
        inside = inside & (position >= 1) & (position <= count - 3)
    rows, columns = (np.where(inside, position, 1.0) for position in at)
    return ShearPlan(
        virtual=ViewPlan(
            axes=(2 - axis, 2 - image_axes[0], 2 - image_axes[1]),
            slices=slices,
            row_positions=positions[0],
            column_positions=positions[1],
            path_mm=np.broadcast_to(1.0, size),
        ),
        rows=rows,
        columns=columns,
        inside=inside,
        path_mm=np.where(inside, rays.path_mm(), 0.0),
        cut=_cut(grid, view),
    )


def warp(plan: ShearPlan, virtual: NDArray[Any]) -> NDArray[Any]:
    """Return the (R, C) real image, without path lengths, of a (R', C') virtual image."""
    image = np.zeros(plan.inside.shape, virtual.dtype)
    if kernel.suits(virtual) and virtual.flags.c_contiguous:
        kernel.warp(virtual, plan.rows, plan.columns, plan.inside, image)
        return image
    flat = image.reshape(-1)
    for pixels, matrix in _blocks(plan, virtual.dtype):
        flat[pixels] = matrix @ virtual.reshape(-1)
    return image


def unwarp(plan: ShearPlan, image: NDArray[Any]) -> NDArray[Any]:
    """Return the (R', C') transpose of ``warp`` applied to a (R, C) image."""
    virtual = np.zeros(plan.virtual_size, image.dtype)
    if kernel.suits(virtual) and image.flags.c_contiguous:
        kernel.unwarp(virtual, plan.rows, plan.columns, plan.inside, image)
        return virtual
    flat = image.reshape(-1)
    for pixels, matrix in _blocks(plan, image.dtype):
        virtual.reshape(-1)[:] += matrix.T @ flat[pixels]
    return virtual


def cubic_weights(fraction: NDArray[Any]) -> NDArray[Any]:
    """Return (..., 4): weights of the neighbours at -1, 0, 1, 2 of a position 0 <= f <= 1.

    The cubic convolution kernel with a = -1/2 (Keys, IEEE Trans ASSP 29:1153, 1981, equation 15).
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
    index = np.zeros((plan.inside.size, 16), np.int64)
    weight = np.zeros((plan.inside.size, 16))
    seeing = np.flatnonzero(plan.inside)
    index[seeing], weight[seeing] = _entries(plan, seeing, np.float64)
    return index, weight


def _entries(
    plan: ShearPlan, pixels: NDArray[np.intp], dtype: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return index and weight, (N, 16) each, for some pixels that are ``inside``."""
    parts = []
    for positions in (plan.rows, plan.columns):
        at = positions.reshape(-1)[pixels]
        lower = np.floor(at)
        neighbours = lower.astype(np.int32)[:, None] + np.arange(-1, 3, dtype=np.int32)
        parts.append((neighbours, cubic_weights((at - lower).astype(dtype))))
    (rows, row_weights), (columns, column_weights) = parts
    index = (rows * np.int32(plan.virtual_size[1]))[:, :, None] + columns[:, None, :]
    weight = row_weights[:, :, None] * column_weights[:, None, :]
    return index.reshape(-1, 16), weight.reshape(-1, 16)


def _blocks(plan: ShearPlan, dtype: Any) -> Iterator[tuple[NDArray[np.intp], Any]]:
    """Yield some pixels, and the sparse matrix from the virtual image to them, until all are done."""
    from scipy import sparse  # here: it takes longer to load than a parallel view to project

    seeing = np.flatnonzero(plan.inside)
    virtual_pixels = plan.virtual_size[0] * plan.virtual_size[1]
    for start in range(0, len(seeing), PIXELS_A_BLOCK):
        pixels = seeing[start : start + PIXELS_A_BLOCK]
        index, weight = _entries(plan, pixels, dtype)
        starts = np.arange(len(pixels) + 1, dtype=np.int32) * 16
        entries = (weight.ravel(), index.ravel(), starts)
        yield pixels, sparse.csr_matrix(entries, shape=(len(pixels), virtual_pixels))


class _Rays:
    """The rays of one view in voxel coordinates (i, j, k), and a plane that they are followed to.

    ``aim`` comes before everything but ``dominant_axis``.
    """

    def __init__(self, grid: Grid, view: ViewGeometry) -> None:
        self._grid, self._view = grid, view
        self._sizes = np.array(grid.shape[::-1])
        self._source, self._centre, self._down, self._along = index_frame(grid, view)
        self._direction = -np.linalg.inv(grid.ijk_to_lps)[:3, :3] @ view.normal
        self._cone = view.beam == "cone"
        self._whole = True

    def dominant_axis(self, matter: Box | None) -> tuple[int, float]:
        """Return the voxel axis that the rays follow most, and their sense along it.

        The volume's rays decide, whatever the detector. Where they are too steep, because the
        volume reaches beside or behind the source, the detector's do: all of these run forward
        then, so nothing beside or behind the source is on them.
        """
        if not self._cone:
            along = self._direction * np.array(self._grid.spacing_ijk_mm)
            axis = int(np.abs(along).argmax())
            return axis, float(np.sign(along[axis]))
        ends = [(-1, size) for size in self._sizes]
        corners = np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1).T
        axis, sense, least = self._least_steep(corners)
        if least < LEAST_COSINE and not self._is_inside(matter):
            self._whole = False
            pixels = [self._pixels(axis)[:: self._view.size[0] - 1 or 1] for axis in range(3)]
            ends_of_rows = np.stack(pixels, axis=-1)[:, :: self._view.size[1] - 1 or 1]
            axis, sense, least = self._least_steep(ends_of_rows.reshape(-1, 3))
        if not least >= LEAST_COSINE:
            raise InputError(
                "VIEW_TOO_STEEP",
                f"The source of view {self._view.label} is inside the body, or so near or its "
                "detector so wide that the rays graze every face of the volume.",
                "Move the source away, or make the detector smaller.",
            )
        return axis, sense

    def _least_steep(self, points: NDArray[np.float64]) -> tuple[int, float, float]:
        """Return axis, sense and least cosine of the rays from the source to some points (N, 3).

        A view's rays through a convex body are no steeper than those to its corners.
        """
        toward = (points - self._source) @ self._grid.ijk_to_lps[:3, :3].T
        length = np.maximum(np.linalg.norm(toward, axis=1, keepdims=True), 1e-9)
        cosines = toward @ self._grid.direction / length
        senses = np.sign(cosines.mean(axis=0))
        least = (cosines * senses).min(axis=0)
        axis = int(least.argmax())
        return axis, float(senses[axis]), float(least[axis])

    def _is_inside(self, matter: Box | None) -> bool:
        """Say whether the source is in a box of voxels, or within a voxel of it."""
        ranges = [(0, size) for size in self._sizes]
        if matter is not None:
            ranges = [(part.start, part.stop) for part in reversed(matter)]
        low, stop = np.array(ranges).T
        return bool(((self._source >= low - 1) & (self._source <= stop)).all())

    def aim(self, axis: int, sense: float) -> NDArray[np.intp]:
        """Take a slice in the middle along an axis as the plane; return the slices that count."""
        self._axis = axis
        slices = np.arange(self._sizes[axis])
        self._plane = (float(self._sizes[axis]) - 1) / 2
        if not self._whole:
            ahead = (slices - self._source[axis]) * sense
            slices = slices[ahead > LEAST_AHEAD]
            ahead = ahead[ahead > LEAST_AHEAD]
            far = float(ahead.max(initial=1.0))
            middle = max((far + float(ahead.min(initial=far))) / 2, far / FARTHEST_MAGNIFICATION)
            self._plane = float(self._source[axis] + sense * middle)
        self._slices = slices
        if self._cone:
            self.toward = self._pixels(axis) - self._source[axis]
            safe = np.where(np.abs(self.toward) > 1e-9, self.toward, np.inf)
            self._share = (self._plane - self._source[axis]) / safe
        else:
            self.toward = np.full(self._view.size, self._direction[axis])
            self._share = (self._plane - self._pixels(axis)) / self._direction[axis]
        return slices

    def hits(self, other: int) -> NDArray[np.float64]:
        """Return (R, C): where the rays meet the plane, along another axis."""
        if self._cone:
            source = self._source[other]
            return np.asarray(source + self._share * (self._pixels(other) - source))
        return np.asarray(self._pixels(other) + self._share * self._direction[other])

    def shadow(self, other: int) -> tuple[float, float]:
        """Return the range that the volume covers on the plane along another axis, in voxels."""
        ends = []
        for at in self._slices[[0, -1]] if len(self._slices) else ():
            for border in (-1.0, float(self._sizes[other])):
                share = self._advance(at)
                if self._cone:
                    source = self._source[other]
                    ends.append(float(source + (border - source) / share))
                else:
                    ends.append(float(border - share * self._direction[other]))
        return min(ends, default=0.0), max(ends, default=-1.0)

    def positions(
        self, slices: NDArray[np.intp], other: int, on_plane: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return (S, P): where the rays through points of the plane pass in each slice."""
        share = self._advance(slices)[:, None]
        if self._cone:
            source = self._source[other]
            return np.asarray(source + share * (on_plane - source))
        return np.asarray(on_plane + share * self._direction[other])

    def path_mm(self) -> NDArray[np.float64]:
        """Return (R, C): the length of each ray between neighbouring slices."""
        if not self._cone:  # the direction is 1 mm long
            return np.full(self._view.size, 1 / abs(self._direction[self._axis]))
        return np.asarray(ray_lengths_mm(self._view) / np.maximum(np.abs(self.toward), 1e-9))

    def _advance(self, at: NDArray[Any]) -> NDArray[np.float64]:
        """Return how far slices are: of the way to the plane (cone), or in mm from it."""
        if self._cone:
            source = self._source[self._axis]
            return np.asarray((at - source) / (self._plane - source))
        return np.asarray((at - self._plane) / self._direction[self._axis])

    def _pixels(self, axis: int) -> NDArray[np.float64]:
        """Return (R, C): one voxel coordinate of the pixel centres."""
        rows, columns = self._view.size
        down = self._centre[axis] + centred(rows) * self._down[axis]
        return np.asarray(down[:, None] + centred(columns) * self._along[axis])


def _pitch_voxels(size: int) -> float:
    """Return the virtual pixel along an axis of so many voxels, in voxels."""
    return min(PITCH_VOXELS, (size + 1) / LEAST_ACROSS)


def _cut(grid: Grid, view: ViewGeometry) -> NDArray[np.float64] | None:
    """Return the detector's plane in voxel coordinates when the volume reaches behind it."""
    affine, normal = grid.ijk_to_lps, view.normal
    offset = normal @ (affine[:3, 3] - np.array(view.detector_centre_lps))
    plane = np.append(normal @ affine[:3, :3], offset)
    farthest = offset + np.minimum(plane[:3] * (np.array(grid.shape[::-1]) - 1), 0).sum()
    return plane if farthest < 0 else None
