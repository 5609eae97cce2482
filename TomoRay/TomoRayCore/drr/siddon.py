"""Line integrals through blocky voxels: the numbers of ``plastimatch drr -i exact``.

A voxel is a box of one attenuation and a ray adds up attenuation times chord (Siddon, Med Phys
12:252, 1985). The interpolating projectors lie closer to the object itself; this one is there to
rerun pipelines that were published with plastimatch.

Departures from the paper:

- A ray is followed slab by slab along the voxel axis it crosses fastest. Within one slab it meets
  at most one face across each of the two other axes, hence at most three voxels, and nothing needs
  sorting.
- As in plastimatch 1.9.4, the voxel in which a ray leaves the volume adds nothing, and a ray ends
  there and not on the detector, provided that the volume begins before the detector. With air
  around the patient neither matters.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.coordinates import compose_affine
from TomoRayCore.drr.attenuation import PLASTIMATCH, MuRule
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry
from TomoRayCore.progress import Progress
from TomoRayCore.resample import reorient_to_lps
from TomoRayCore.volume import Grid, Volume

RAYS_A_BLOCK = 16384
"""Bounds the scratch memory at some 3 MB, small enough for a processor's cache."""

INSET_MM = 1e-6
"""plastimatch makes the volume smaller by this on all sides before it looks where rays leave."""

ALIGNED_TOLERANCE = 1e-4
"""Largest sine between a voxel axis and a world axis (0.006 degrees)."""

Box = tuple[slice, slice, slice]


def siddon_project(
    volume: Volume,
    geometry: AcquisitionGeometry,
    *,
    rule: MuRule = PLASTIMATCH,
    progress: Progress | None = None,
) -> list[NDArray[np.float32]]:
    """Return one (R, C) float32 image a view, with the default rule as plastimatch 1.9.4 has it.

    Calculated in float64. A ray starts at the source (parallel beam: in the plane of the source)
    and passes the pixel's centre; a voxel reaches half a spacing around its centre; outside is
    air.

    Args:
        volume: HU; its axes may run along the world's axes in any order and direction.
        geometry: Source and detector of each view, in the volume's world.
        rule: From HU to attenuation, with the factor on the result.
        progress: Told after each view.

    Raises:
        InputError: ``OBLIQUE_VOLUME`` when the voxel axes do not run along the world's axes.
            plastimatch ignores the direction of such a volume and says nothing, so there are no
            numbers to reproduce.
    """
    volume, grid = _as_plastimatch_reads(volume)
    mu_per_mm = rule.mu_per_mm(volume.array_hu)
    images = []
    for number, view in enumerate(geometry.views, start=1):
        integrals = siddon_integrals(mu_per_mm, grid, view)
        images.append((integrals * rule.output_scale).astype(np.float32))
        if progress is not None:
            progress("projecting", number / len(geometry.views), f"{view.label} projected")
    return images


def siddon_integrals(
    mu_per_mm: NDArray[np.float32], grid: Grid, view: ViewGeometry
) -> NDArray[np.float64]:
    """Return one view's (R, C) line integrals of a (D, H, W) array of mu in 1/mm."""
    box = _nonzero_box(mu_per_mm)
    total = np.zeros(view.size[0] * view.size[1])
    if box is None:
        return total.reshape(view.size)
    rays = _Rays.of(view, grid)
    fastest = np.abs(rays.along).argmax(axis=1)
    for axis in range(3):
        chosen = np.flatnonzero((fastest == axis) & (rays.first < rays.last))
        for start in range(0, len(chosen), RAYS_A_BLOCK):
            block = chosen[start : start + RAYS_A_BLOCK]
            total[block] = _sum_of_slabs(mu_per_mm, box, axis, rays.picked(block))
    return (total * rays.length_mm).reshape(view.size)


@dataclass(frozen=True)
class _Rays:
    """Rays ``start + t * along``, first <= t <= last, in array index space (k, j, i).

    Voxel n of an axis reaches from n to n + 1 there, and t is 1 at the pixel's centre.

    Attributes:
        start: (N, 3).
        along: (N, 3).
        length_mm: (N,) length of ``along`` in the world.
        first: (N,) where a ray enters the volume, or 0 if it starts inside.
        last: (N,) where it enters the last voxel that it meets; not above ``first`` if it meets
            no other.
    """

    start: NDArray[np.float64]
    along: NDArray[np.float64]
    length_mm: NDArray[np.float64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]

    @staticmethod
    def of(view: ViewGeometry, grid: Grid) -> _Rays:
        """Return the rays of a view, row by row."""
        ends = view.pixel_centres_lps().reshape(-1, 3)
        if view.beam == "parallel":
            starts = ends + view.normal * view.sdd_mm
        else:
            starts = np.broadcast_to(np.array(view.source_lps), ends.shape)
        to_index = np.linalg.inv(grid.ijk_to_lps)
        turn = to_index[2::-1, :3].T  # (x, y, z) to (k, j, i)
        start = starts @ turn + to_index[2::-1, 3] + 0.5
        along = (ends - starts) @ turn
        first, last = _first_and_last(start, along, grid)
        return _Rays(start, along, np.linalg.norm(ends - starts, axis=1), first, last)

    def picked(self, chosen: NDArray[np.intp]) -> _Rays:
        """Return some of the rays."""
        parts = (self.start, self.along, self.length_mm, self.first, self.last)
        return _Rays(*(part[chosen] for part in parts))


def _first_and_last(
    start: NDArray[np.float64], along: NDArray[np.float64], grid: Grid
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (N,) and (N,): where rays enter the volume, and the last voxel they meet there."""
    shape = np.array(grid.shape)
    inset = INSET_MM / np.array(grid.spacing_ijk_mm[::-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        faces = np.stack([inset - start, shape - inset - start]) / along
        # A ray that stands still across an axis gives -inf and inf when it is between the faces,
        # twice the same when it is not.
        enter, leave = faces.min(axis=0).max(axis=1), faces.max(axis=0).min(axis=1)
        first = np.maximum(enter, 0)
        reached = first < np.minimum(leave, 1)
        voxel = np.floor(start + np.where(reached, leave, 0)[:, None] * along)
        near = np.clip(voxel, 0, shape - 1) + (along < 0)
        last = np.where(along != 0, (near - start) / along, -np.inf).max(axis=1)
    return first, np.where(reached, last, 0)


def _sum_of_slabs(
    mu_per_mm: NDArray[np.float32], box: Box, axis: int, rays: _Rays
) -> NDArray[np.float64]:
    """Return (N,): the sums of mu times share of the ray, for rays that run fastest on ``axis``."""
    across = [other for other in range(3) if other != axis]
    stack = mu_per_mm.transpose(axis, *across)[tuple(box[a] for a in (axis, *across))]
    corner = np.array([box[a].start for a in range(3)], float)
    start = (rays.start - corner).T
    along = rays.along.T
    # Rays that stand still across an axis meet no face there; 0 puts the face at the slab's entry.
    inverse = np.divide(1.0, along, out=np.zeros_like(along), where=along != 0)
    padded = np.zeros((stack.shape[1] + 2, stack.shape[2] + 2), np.float32)
    total = np.zeros(len(rays.start))
    for index, slab in enumerate(stack):
        padded[1:-1, 1:-1] = slab
        one, other = (
            np.clip((index + n - start[axis]) * inverse[axis], rays.first, rays.last)
            for n in (0, 1)
        )
        entry, leave = np.minimum(one, other), np.maximum(one, other)
        faces = [
            np.clip(_face(start[a], along[a], inverse[a], entry, leave), entry, leave)
            for a in across
        ]
        stops = [entry, np.minimum(*faces), np.maximum(*faces), leave]
        for low, high in itertools.pairwise(stops):
            middle = (low + high) / 2
            # A border of zeros stands for all voxels outside.
            row, column = (
                np.clip(np.floor(start[a] + middle * along[a]), -1, n).astype(np.intp) + 1
                for a, n in zip(across, slab.shape, strict=True)
            )
            total += (high - low) * padded[row, column]
    return total


def _face(
    start: NDArray[np.float64],
    along: NDArray[np.float64],
    inverse: NDArray[np.float64],
    entry: NDArray[np.float64],
    leave: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return where rays meet the one voxel face of an axis that can lie between two places."""
    highest = np.maximum(start + entry * along, start + leave * along)
    return np.asarray((np.floor(highest) - start) * inverse)


def _nonzero_box(array: NDArray[np.float32]) -> Box | None:
    """Return the box outside of which all is exactly 0."""
    if not array.any():
        return None
    bounds = []
    for axis in range(3):
        used = np.flatnonzero(array.any(axis=tuple(a for a in range(3) if a != axis)))
        bounds.append(slice(int(used[0]), int(used[-1]) + 1))
    return bounds[0], bounds[1], bounds[2]


def _as_plastimatch_reads(volume: Volume) -> tuple[Volume, Grid]:
    """Return the volume along LPS, and its grid in the single precision that plastimatch keeps."""
    along = np.sort(np.abs(volume.grid.direction), axis=0)
    if along[:2].max() > ALIGNED_TOLERANCE:
        raise InputError(
            "OBLIQUE_VOLUME",
            "The volume's axes do not run along left, posterior and superior, and plastimatch "
            "would silently take them as if they did.",
            "Resample the volume to such axes first, or use drr.project, which takes any.",
        )
    if np.abs(volume.grid.direction - np.eye(3)).max() > ALIGNED_TOLERANCE:
        volume = reorient_to_lps(volume)
    spacing = np.array(volume.spacing_ijk_mm, np.float32).astype(float)
    origin = volume.ijk_to_lps[:3, 3].astype(np.float32).astype(float)
    return volume, Grid(volume.shape, compose_affine(np.eye(3), spacing, origin))
