"""Where source and detector stand, as tensors with gradients, and the rays they make in a volume.

A ray is described by where it crosses the slices of the volume along one array axis: a start
position and a step a slice, in voxels. All of this is computed in float64, from numbers of some
1000 mm to positions of some 0.001 voxel, and only then rounded to the projector's number type.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import Beam, Vector, ViewGeometry, bad_geometry
from TomoRayCore.volume import Grid


@dataclass(frozen=True, eq=False)
class ViewPose:
    """One view's source and detector for a batch of N poses; LPS mm, float64.

    Attributes:
        source: (N, 3) focal spots; for a parallel beam only their side of the detector counts.
        centre: (N, 3) middles of the detector.
        u: (N, 3) unit vectors of growing column.
        v: (N, 3) unit vectors of growing row.
        pixel_spacing_mm: (row, column) spacing.
        size: (rows, columns).
        beam: ``cone`` or ``parallel``.
    """

    source: Tensor
    centre: Tensor
    u: Tensor
    v: Tensor
    pixel_spacing_mm: tuple[float, float]
    size: tuple[int, int]
    beam: Beam = "cone"

    def expand(self, count: int) -> ViewPose:
        """Return a single pose as that of ``count`` arrangements."""
        if len(self.source) != 1:
            return self
        source, centre, u, v = (
            tensor.expand(count, 3) for tensor in (self.source, self.centre, self.u, self.v)
        )
        return ViewPose(source, centre, u, v, self.pixel_spacing_mm, self.size, self.beam)

    def rays(self) -> tuple[Tensor, Tensor]:
        """Return where rays start and where they meet pixel centres, (N, R*C, 3) each."""
        rows, columns = self.size
        down = _centred(rows, self.centre) * self.pixel_spacing_mm[0]
        along = _centred(columns, self.centre) * self.pixel_spacing_mm[1]
        rise = down[:, None, None] * self.v[:, None, None]  # (N, R, 1, 3)
        pixels = self.centre[:, None, None] + rise + along[:, None] * self.u[:, None, None]
        pixels = pixels.flatten(1, 2)
        if self.beam == "cone":
            return self.source[:, None].expand_as(pixels), pixels
        normal = torch.linalg.cross(self.u, self.v)
        distance = ((self.source - self.centre) * normal).sum(-1, keepdim=True)
        return pixels + (normal * distance)[:, None], pixels


def fixed_pose(view: ViewGeometry, device: torch.device | str = "cpu") -> ViewPose:
    """Return the view as it stands: N = 1, no gradient."""
    source, centre, u, v = (
        torch.tensor([vector], dtype=torch.float64, device=device)
        for vector in (view.source_lps, view.detector_centre_lps, view.u, view.v)
    )
    return ViewPose(source, centre, u, v, view.pixel_spacing_mm, view.size, view.beam)


def pose(
    view: ViewGeometry,
    isocentre_lps: Vector,
    rotation_rad: Tensor,
    translation_mm: Tensor,
    sad_change_mm: Tensor | None = None,
    sdd_change_mm: Tensor | None = None,
) -> ViewPose:
    """Move a view's source and detector; differentiable in every tensor.

    First the distances change along the detector's normal, then source and detector turn
    together about the isocentre, then they shift. Moving them by a rigid motion is moving the
    patient by its inverse.

    Args:
        view: Where they stand before.
        isocentre_lps: Centre of rotation, mm.
        rotation_rad: (N, 3) rotation vectors (axis times angle) in LPS.
        translation_mm: (N, 3) shifts in LPS.
        sad_change_mm: (N,) added to the distance from source to isocentre, or None.
        sdd_change_mm: (N,) added to the distance from source to detector, or None.

    Raises:
        InputError: ``BAD_SHAPE`` when these are not N vectors and N numbers.
    """
    count = len(rotation_rad)
    nothing = torch.zeros(count, dtype=torch.float64, device=rotation_rad.device)
    sad_change = nothing if sad_change_mm is None else sad_change_mm.double()
    sdd_change = nothing if sdd_change_mm is None else sdd_change_mm.double()
    shapes = [rotation_rad.shape, translation_mm.shape, sad_change.shape, sdd_change.shape]
    if shapes != [(count, 3), (count, 3), (count,), (count,)]:
        raise InputError(
            "BAD_SHAPE",
            f"Pose parameters of shapes {[tuple(shape) for shape in shapes]} do not fit together.",
            "Give rotation and translation as (N, 3), changes of SAD and SDD as (N,).",
        )
    base = fixed_pose(view, rotation_rad.device)
    normal = torch.as_tensor(view.normal, device=rotation_rad.device)
    pivot = torch.tensor(isocentre_lps, dtype=torch.float64, device=rotation_rad.device)
    turn = torch.linalg.matrix_exp(_cross_matrix(rotation_rad.double()))  # (N, 3, 3)
    shift = translation_mm.double()
    source = base.source - pivot + sad_change[:, None] * normal
    centre = base.centre - pivot - (sdd_change - sad_change)[:, None] * normal
    return ViewPose(
        source=_turned(turn, source) + pivot + shift,
        centre=_turned(turn, centre) + pivot + shift,
        u=_turned(turn, base.u),
        v=_turned(turn, base.v),
        pixel_spacing_mm=view.pixel_spacing_mm,
        size=view.size,
        beam=view.beam,
    )


@dataclass(frozen=True, eq=False)
class RayLines:
    """Where the rays of one view, N sets of P, cross the slices along one array axis.

    Attributes:
        axes: For each set the array axis (0 = k, 1 = j, 2 = i) along which its rays pass slice
            by slice.
        lines: (N, 4, P): row and column position in the slice ``(slices - 1) / 2``, in voxels,
            and their steps from one slice to the next. The row axis is the first of the two
            other array axes.
        limits: (N, 2, P) int32: first and last slice between source and detector that a ray
            may meet; the first is larger than the last where there is none.
        path_mm: (N, P) length of a ray between two slices.
    """

    axes: tuple[int, ...]
    lines: Tensor
    limits: Tensor
    path_mm: Tensor

    def to(self, dtype: torch.dtype) -> RayLines:
        """Return the same rays in the projector's number type."""
        return RayLines(self.axes, self.lines.to(dtype), self.limits, self.path_mm.to(dtype))

    def member(self, number: int) -> RayLines:
        """Return one set."""
        one = slice(number, number + 1)
        return RayLines(self.axes[one], self.lines[one], self.limits[one], self.path_mm[one])


def ray_lines(view_pose: ViewPose, grid: Grid) -> RayLines:
    """Work out the rays of a view in a grid.

    Each pose's slice axis is the one along which its central ray meets most slices.

    Raises:
        InputError: ``BAD_GEOMETRY`` when a ray runs along the slices instead of across them (a
            fan wider than 90 degrees).
    """
    start, end = view_pose.rays()
    path_mm = torch.linalg.vector_norm(end - start, dim=-1)
    axes = _slice_axes(view_pose, grid)
    start, end = (_reordered(_to_index(points, grid), axes) for points in (start, end))
    along, across = end - start, (end - start)[..., 0]
    if (across.abs() < 1e-6 * torch.linalg.vector_norm(along, dim=-1)).any():
        raise bad_geometry("Some rays of a view run along the slices of the volume, not across.")
    steps = along[..., 1:] / across[..., None]
    sizes = torch.tensor([[grid.shape[a] for a in slice_row_column(axis)] for axis in axes]).to(
        start
    )
    middle = (sizes[:, None, 0] - 1) / 2
    crossings = start[..., 1:] + (middle - start[..., 0])[..., None] * steps
    lines = torch.cat([crossings, steps], dim=-1).movedim(-1, 1)
    with torch.no_grad():
        nearest = start[..., 0]
        if view_pose.beam == "parallel":  # its source is a direction: nothing lies behind it
            nearest = torch.where(across > 0, -torch.inf, torch.inf)
        limits = _limits(nearest, end[..., 0], lines, sizes)
    return RayLines(tuple(axes), lines, limits, path_mm / across.abs())


def _slice_axes(view_pose: ViewPose, grid: Grid) -> list[int]:
    normal = torch.linalg.cross(view_pose.u, view_pose.v)
    ray = view_pose.centre - view_pose.source if view_pose.beam == "cone" else normal
    linear = torch.as_tensor(np.linalg.inv(grid.ijk_to_lps)[2::-1, :3].copy())
    along = ray.detach().cpu() @ linear.T
    return [int(axis) for axis in along.abs().argmax(dim=-1)]


def slice_row_column(axis: int) -> tuple[int, ...]:
    """Return the three array axes in the order in which rays see them."""
    return (axis, *(other for other in range(3) if other != axis))


def _reordered(points: Tensor, axes: list[int]) -> Tensor:
    """Return (N, P, 3) positions in the order slice, row, column."""
    order = torch.tensor([slice_row_column(axis) for axis in axes], device=points.device)
    return points.gather(-1, order[:, None].expand_as(points))


def _limits(nearest: Tensor, farthest: Tensor, lines: Tensor, sizes: Tensor) -> Tensor:
    """Return (N, 2, P): the slices after the source, up to the detector, and near the volume.

    Beyond the volume's neighbours a sample is 0, so rays need not be followed there.

    Args:
        nearest: (N, P) the source's position along the slice axis.
        farthest: (N, P) the pixel's.
        lines: (N, 4, P) of ``RayLines``.
        sizes: (N, 3) numbers of slices, rows and columns.
    """
    forward, count = farthest > nearest, sizes[:, 0, None]
    low = torch.where(forward, nearest.floor() + 1, farthest.ceil())
    high = torch.where(forward, farthest.floor(), nearest.ceil() - 1)
    for number in (0, 1):
        crossing, step = lines[:, number], lines[:, 2 + number]
        safe = torch.where(step.abs() < 1e-9, 1e-9, step)
        size = sizes[:, 1 + number, None]
        bounds = torch.stack([(-2 - crossing) / safe, (size + 1 - crossing) / safe])
        low = torch.maximum(low, (count - 1) / 2 + bounds.amin(0).floor())
        high = torch.minimum(high, (count - 1) / 2 + bounds.amax(0).ceil())
    low = torch.minimum(low.clamp(min=0), count)
    high = torch.minimum(high.clamp(min=-1), count - 1)
    return torch.stack([low, high], dim=1).to(torch.int32)


def _to_index(points_lps: Tensor, grid: Grid) -> Tensor:
    """Return array positions (k, j, i) of points of shape (..., 3)."""
    inverse = np.linalg.inv(grid.ijk_to_lps)[2::-1].copy()
    matrix = torch.as_tensor(inverse, device=points_lps.device)
    return points_lps @ matrix[:, :3].T + matrix[:, 3]


def _cross_matrix(vectors: Tensor) -> Tensor:
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _turned(turn: Tensor, vectors: Tensor) -> Tensor:
    return (turn @ vectors[..., None])[..., 0]


def _centred(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, dtype=torch.float64, device=like.device) - (count - 1) / 2
