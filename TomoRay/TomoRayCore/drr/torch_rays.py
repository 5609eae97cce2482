"""Joseph's projector for any pose, differentiable in the volume and in the pose, on any device.

Every slice of the volume is sampled where the rays cross it, by bilinear interpolation, and the
samples are added up along each ray (Joseph, IEEE Trans Med Imaging 1:192, 1982). Departure: one
slice axis serves all rays of a view, so that a slice is sampled for the whole detector at once.

On CUDA with Triton the fused kernels of ``triton_rays`` do the same sums. Elsewhere they are
taken a few slices at a time and computed again in the backward pass, so memory stays bounded by
the volume and a few images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import grid_sample
from torch.utils.checkpoint import checkpoint

from TomoRayCore.drr import triton_rays
from TomoRayCore.drr.torch_pose import RayLines, ViewPose, fixed_pose, ray_lines
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.volume import Grid

SAMPLES_AT_ONCE = 1 << 20
"""Bilinear samples of one chunk: 8 MB of positions in float32."""


def project_rays(
    mu_per_mm: Tensor, grid: Grid, views: AcquisitionGeometry | Sequence[ViewPose]
) -> Tensor:
    """Project with gradients to the volume and, where ``views`` are poses, to them.

    Args:
        mu_per_mm: (B, 1, D, H, W) in 1/mm on the grid. Half precision is computed in float32.
        grid: The volumes'.
        views: A geometry, or V poses of N arrangements each with detectors of one size. N is B
            or 1; or B is 1 and one volume is seen from N arrangements.

    Returns:
        (max(B, N), V, R, C) dimensionless, float32 (float64 for a float64 volume).

    Raises:
        InputError: ``BAD_SHAPE`` or ``BAD_GEOMETRY``.
    """
    poses = _poses_of(views, mu_per_mm)
    arrangements = _check(mu_per_mm, grid, poses)
    dtype = torch.float64 if mu_per_mm.dtype == torch.float64 else torch.float32
    with torch.autocast(mu_per_mm.device.type, enabled=False):
        volumes = mu_per_mm[:, 0].to(dtype)
        if not arrangements:
            return volumes.sum() * volumes.new_zeros((0, len(poses), *poses[0].size))
        rays = [ray_lines(view, grid).to(dtype) for view in poses]
        return _line_integrals(volumes, rays, poses[0].size)


def _line_integrals(volumes: Tensor, rays: Sequence[RayLines], size: tuple[int, int]) -> Tensor:
    """Return (max(B, N), V, R, C): sums along rays times the length of a ray between slices."""
    if triton_rays.is_usable(volumes.device):
        sums = triton_rays.sum_lines(volumes, rays, size)
    else:
        sums = torch.stack([sum_lines(volumes, one) for one in rays], dim=1)
    images = sums * torch.stack([one.path_mm for one in rays], dim=1)
    return images.reshape(*images.shape[:2], *size)


def sum_lines(volumes: Tensor, rays: RayLines) -> Tensor:
    """Add up bilinear samples along rays: (B, D, H, W) and N sets of P rays to (max(B, N), P).

    The path length is left out. Differentiable in the volumes and in ``rays.lines``.
    """
    batch, count = len(volumes), len(rays.lines)
    if len(set(rays.axes)) > 1:
        return torch.cat(
            [
                sum_lines(volumes if batch == 1 else volumes[n : n + 1], rays.member(n))
                for n in range(count)
            ]
        )
    stack = volumes.movedim(1 + rays.axes[0], 1)  # (B, slice, row, column)
    # One volume with many poses is sampled at all their positions; N sets for N volumes belong
    # together one by one.
    sets = count if batch == 1 else 1
    lines = rays.lines.expand(max(batch, count), -1, -1)
    lines = lines.reshape(batch, sets, *lines.shape[1:])
    limits = rays.limits.expand(max(batch, count), -1, -1)
    limits = limits.reshape(batch, sets, *limits.shape[1:])
    total = torch.zeros_like(lines[:, :, 0])
    if 0 in total.shape:
        return total.flatten(0, 1)
    low, high = int(limits[:, :, 0].min()), int(limits[:, :, 1].max())
    slices = stack.shape[1]
    chunk = max(1, SAMPLES_AT_ONCE // total.numel())
    first = 0
    for part in torch.split(stack, chunk, dim=1):
        if first <= high and first + part.shape[1] > low:
            start = first - (slices - 1) / 2
            chunk_of = (part, lines, limits, first, start)
            total = total + checkpoint(
                _sum_of_chunk, *chunk_of, use_reentrant=False, preserve_rng_state=False
            )
        first += part.shape[1]
    return total.flatten(0, 1)


def _sum_of_chunk(part: Tensor, lines: Tensor, limits: Tensor, first: int, start: float) -> Tensor:
    """Return (B, Q, P): what some slices (B, S, H, W) add to rays (B, Q, 4, P)."""
    batch, count, height, width = part.shape
    number = torch.arange(count, device=part.device)[:, None, None]
    step = number.to(part.dtype) + start
    row, column, row_step, column_step = (lines[:, None, :, n] for n in range(4))
    # grid_sample measures from -1 to 1 between the borders of the outermost pixels.
    across = torch.addcmul((column * 2 + 1) / width - 1, step, column_step * (2 / width))
    down = torch.addcmul((row * 2 + 1) / height - 1, step, row_step * (2 / height))
    places = torch.stack([across, down], dim=-1).flatten(0, 1)  # (B * S, Q, P, 2)
    samples = grid_sample(
        part.flatten(0, 1)[:, None].contiguous(),
        places,
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    samples = samples.view(batch, count, *samples.shape[-2:])
    met = (limits[:, None, :, 0] <= number + first) & (number + first <= limits[:, None, :, 1])
    return torch.where(met, samples, 0.0).sum(dim=1)


def _poses_of(
    views: AcquisitionGeometry | Sequence[ViewPose], mu_per_mm: Tensor
) -> Sequence[ViewPose]:
    """Return one pose a view, all for the same number of arrangements."""
    if isinstance(views, AcquisitionGeometry):
        return [fixed_pose(view, mu_per_mm.device) for view in views.views]
    count = max((len(view.source) for view in views), default=1)
    return [view.expand(count) for view in views]


def _check(mu_per_mm: Tensor, grid: Grid, poses: Sequence[ViewPose]) -> int:
    """Return how many images of each view there will be."""
    if mu_per_mm.shape[1:] != (1, *grid.shape) or not mu_per_mm.is_floating_point():
        raise InputError(
            "BAD_SHAPE",
            f"A {mu_per_mm.dtype} volume of shape {tuple(mu_per_mm.shape)} does not fit the grid "
            f"{grid.shape}.",
            "Give floating-point numbers as (batch, 1, D, H, W) on the grid.",
        )
    counts = {len(view.source) for view in poses} | {len(mu_per_mm)}
    if len({view.size for view in poses}) != 1 or len(counts - {1}) > 1:
        raise InputError(
            "BAD_SHAPE",
            f"Batches of {sorted(counts)} volumes and poses, or detectors of different sizes, "
            "do not go together.",
            "Give every view the same detector size, and one pose for all volumes, one pose a "
            "volume, or one volume for all poses.",
        )
    return 0 if 0 in counts else max(counts)
