"""The sums of ``torch_rays`` as fused CUDA kernels: any pose, batched over volumes and views.

One launch covers all images of a batch; positions and interpolation weights never reach memory.
Arithmetic is in the number type of the lines (float32, or float64), whatever the volume's.

State: run against the float64 references in Triton's interpreter on the CPU, and compiled for
compute capability 8.0 and 9.0; not yet run on a GPU. For that reason ``works_on`` projects a small volume the first time on each device, and the
torch path is taken, with a warning, where the kernels do not compile or differ from it.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from TomoRayCore.drr.torch_pose import RayLines, slice_row_column
from TomoRayCore.errors import InputError

TILE = (8, 16)
"""Detector rows and columns of one program's rays."""

PROGRAMS_WANTED = 2048
"""Where a batch has fewer tiles, the slices are dealt out to several programs a tile."""


class LaunchPlan:
    """Where each image's volume and rays lie in memory; images in the order (batch, view).

    Args:
        rays: One a view; every view has N ray sets.
        shape: (D, H, W) of one volume.
        volumes: How many volumes there are.
        size: (rows, columns) of the detectors.
    """

    def __init__(
        self,
        rays: Sequence[RayLines],
        shape: tuple[int, int, int],
        volumes: int,
        size: tuple[int, int],
    ) -> None:
        depth, height, width = shape
        if depth * height * width >= 1 << 31:
            raise InputError(
                "BAD_GRID",
                f"A volume of {shape} voxels is too large for the CUDA kernels.",
                "Project it on the CPU, or resample it to fewer voxels.",
            )
        sets = len(rays[0].lines)
        self.batch = max(volumes, sets) if volumes else 0
        self.views, self.size = len(rays), size
        strides = (height * width, width, 1)
        table = []
        for number in range(self.batch):
            start = depth * height * width * (number if volumes > 1 else 0)
            for view, one in enumerate(rays):
                member = number if sets > 1 else 0
                axes = slice_row_column(one.axes[member])
                line = member * self.views + view
                table.append([start, *(strides[a] for a in axes), *(shape[a] for a in axes), line])
        device = rays[0].lines.device
        self.table = torch.tensor(table, dtype=torch.int64, device=device).reshape(-1, 8)
        self.limits = torch.stack([one.limits for one in rays], dim=1).contiguous()

    def launch(self, kernel: Any, volume: Tensor, lines: Tensor, result: Tensor) -> None:
        """Run a kernel over all tiles of all images."""
        rows, columns = self.size
        # Triton launches on the current device.
        with torch.cuda.device_of(self.table):  # type: ignore[no-untyped-call]
            kernel[(self._tiles, len(self.table), self.parts)](
                volume,
                self.table,
                lines,
                self.limits,
                result,
                rows,
                columns,
                len(self.table),
                TILE_ROWS=TILE[0],
                TILE_COLUMNS=TILE[1],
            )

    @property
    def parts(self) -> int:
        """How many programs share the slices of one tile."""
        return max(1, min(8, PROGRAMS_WANTED // max(1, self._tiles * len(self.table))))

    @property
    def _tiles(self) -> int:
        return -(-self.size[0] // TILE[0]) * -(-self.size[1] // TILE[1])


def forward(volumes: Tensor, lines: Tensor, plan: LaunchPlan) -> Tensor:
    """Add up bilinear samples: (B, D, H, W) to (images, R*C), without the path length."""
    from TomoRayCore.drr.triton_kernels import forward_kernel

    shape = (plan.parts, len(plan.table), plan.size[0] * plan.size[1])
    sums = torch.empty(shape, dtype=lines.dtype, device=lines.device)
    if sums.numel():
        plan.launch(forward_kernel, volumes.contiguous(), lines.contiguous(), sums)
    return sums.sum(dim=0)


def adjoint(sums: Tensor, lines: Tensor, plan: LaunchPlan, shape: torch.Size) -> Tensor:
    """Return the transpose of ``forward``: (images, R*C) to (B, D, H, W) of the given shape."""
    from TomoRayCore.drr.triton_kernels import adjoint_kernel

    volumes = torch.zeros(shape, dtype=lines.dtype, device=lines.device)
    if sums.numel():
        plan.launch(adjoint_kernel, volumes, lines.contiguous(), sums.contiguous())
    return volumes


def line_gradients(volumes: Tensor, lines: Tensor, plan: LaunchPlan) -> Tensor:
    """Return (images, 4, R*C): the derivatives of ``forward`` by each ray's four numbers."""
    from TomoRayCore.drr.triton_kernels import line_gradient_kernel

    shape = (plan.parts, len(plan.table), 4, plan.size[0] * plan.size[1])
    gradients = torch.empty(shape, dtype=lines.dtype, device=lines.device)
    if gradients.numel():
        plan.launch(line_gradient_kernel, volumes.contiguous(), lines.contiguous(), gradients)
    return gradients.sum(dim=0)


def sum_lines(volumes: Tensor, rays: Sequence[RayLines], size: tuple[int, int]) -> Tensor:
    """Add up samples along rays, differentiably: (B, D, H, W) to (max(B, N), V, R*C).

    Args:
        volumes: B volumes, or one for all ray sets.
        rays: N ray sets a view.
        size: (rows, columns) of every detector.
    """
    plan = LaunchPlan(rays, (*volumes.shape[1:],), len(volumes), size)
    lines = torch.stack([one.lines for one in rays], dim=1)  # (N, V, 4, R * C)
    sums: Tensor = _Sums.apply(volumes, lines, plan)  # type: ignore[no-untyped-call]
    return sums


class _Sums(torch.autograd.Function):
    """Ties ``forward`` to its two derivatives."""

    @staticmethod
    def forward(ctx: Any, volumes: Tensor, lines: Tensor, plan: LaunchPlan) -> Tensor:
        ctx.save_for_backward(volumes, lines)
        ctx.plan = plan
        return forward(volumes, lines, plan).view(plan.batch, plan.views, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        volumes, lines = ctx.saved_tensors
        plan: LaunchPlan = ctx.plan
        by_volume = by_line = None
        if ctx.needs_input_grad[0]:
            sums = gradients[0].to(lines.dtype).flatten(0, 1)
            by_volume = adjoint(sums, lines, plan, volumes.shape).to(volumes.dtype)
        if ctx.needs_input_grad[1]:
            slopes = line_gradients(volumes, lines, plan)
            by_line = (
                slopes.view(plan.batch, plan.views, *slopes.shape[1:]) * gradients[0][:, :, None]
            )
            if len(lines) < len(by_line):
                by_line = by_line.sum(dim=0, keepdim=True)
        return by_volume, by_line, None


def is_usable(device: torch.device) -> bool:
    """Say whether the kernels run on this device, and may: their transpose is not deterministic."""
    return not torch.are_deterministic_algorithms_enabled() and works_on(device)


@functools.cache
def works_on(device: torch.device) -> bool:
    """Say whether the kernels run on this device and give what the torch path gives."""
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return False
    try:
        trouble = _trial(device)
    except Exception as error:  # a compiler, a driver, a launch: each fails with a type of its own
        trouble = f"{type(error).__name__}: {error}"
    if trouble:
        warnings.warn(
            f"The Triton projector does not work on {device} ({trouble}); "
            "slower torch operations take its place.",
            RuntimeWarning,
            stacklevel=3,
        )
    return not trouble


def _trial(device: torch.device) -> str:
    """Project a small volume and back-project; return what is wrong, or nothing."""
    generator = torch.Generator().manual_seed(0)
    volume = torch.rand((1, 6, 5, 7), generator=generator).to(device).requires_grad_()
    lines = torch.rand((1, 4, 20), generator=generator).to(device)
    lines = (lines * torch.tensor([4.0, 6.0, 0.4, 0.4], device=device)[:, None]).requires_grad_()
    limits = torch.tensor([[[0], [5]]], dtype=torch.int32, device=device).repeat(1, 1, 20)
    rays = RayLines((0,), lines, limits, torch.ones((1, 20), device=device))
    from TomoRayCore.drr.torch_rays import sum_lines as plain_sum_lines

    results = []
    for sums in (sum_lines(volume, [rays], (4, 5))[:, 0], plain_sum_lines(volume, rays)):
        gradients = torch.autograd.grad(sums.square().sum(), (volume, lines))
        results.append([sums.detach(), *gradients])
    for name, ours, expected in zip(("forward", "adjoint", "pose"), *results, strict=True):
        if not torch.allclose(ours, expected, rtol=1e-4, atol=1e-4):
            return f"its {name} kernel is off by {float((ours - expected).abs().max()):g}"
    return ""
