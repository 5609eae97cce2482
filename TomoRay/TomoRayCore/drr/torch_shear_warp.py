"""Sums along the rays of a view of any pose, in torch: a virtual separable view, then a warp.

The virtual view and the warp are those of ``shear_warp``; the transpose applies the transposed
warp and spreads the virtual image, so it is the exact transpose of the projection computed here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from TomoRayCore.drr.shear_warp import ShearPlan, unwarp, warp, warp_entries
from TomoRayCore.drr.torch_separable import separable_sums


class ShearWarpSums:
    """The operator of one view; see ``torch_separable.ViewSums``.

    Args:
        plan: Of the view.
        shape: (D, H, W) of a volume.
        device: Where volumes and images live.
        dtype: Their number type, float32 or float64.
    """

    def __init__(
        self,
        plan: ShearPlan,
        shape: tuple[int, int, int],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._size = plan.rows.shape
        self._virtual_size = plan.virtual_size
        self._virtual = separable_sums(plan.virtual, shape, device, dtype)
        on_cpu = device.type == "cpu"
        self._warp = ArrayWarp(plan) if on_cpu else TensorWarp(plan, device, dtype)
        self._kept = _before_detector(plan, shape, device)

    def forward(self, volumes: Tensor) -> Tensor:
        """Return (B, R, C) sums of (B, D, H, W)."""
        if 0 in self._virtual_size:
            return volumes.new_zeros((len(volumes), *self._size))
        seen = volumes if self._kept is None else volumes * self._kept
        return self._warp.forward(self._virtual.forward(seen))

    def add_adjoint(self, images: Tensor, volumes: Tensor) -> None:
        """Add the transpose of (B, R, C) images to (B, D, H, W) in place."""
        if 0 in self._virtual_size:
            return
        virtual = self._warp.adjoint(images)
        if self._kept is None:
            self._virtual.add_adjoint(virtual, volumes)
            return
        spread = torch.zeros_like(volumes)
        self._virtual.add_adjoint(virtual, spread)
        volumes += spread * self._kept


class ArrayWarp:
    """(B, R', C') to (B, R, C) on the memory of CPU tensors, by ``shear_warp``."""

    def __init__(self, plan: ShearPlan) -> None:
        self._plan = plan

    def forward(self, virtual: Tensor) -> Tensor:
        """Interpolate in each virtual image."""
        images = [torch.from_numpy(warp(self._plan, one)) for one in virtual.numpy()]
        return torch.stack(images) if images else virtual.new_zeros((0, *self._plan.rows.shape))

    def adjoint(self, images: Tensor) -> Tensor:
        """Apply the transpose."""
        virtual = [torch.from_numpy(unwarp(self._plan, one)) for one in images.numpy()]
        return torch.stack(virtual) if virtual else images.new_zeros((0, *self._plan.virtual_size))


class TensorWarp:
    """(B, R', C') to (B, R, C) on any device, by gathering."""

    def __init__(self, plan: ShearPlan, device: torch.device, dtype: torch.dtype) -> None:
        index, weight = warp_entries(plan)
        self._size, self._virtual_size = plan.rows.shape, plan.virtual_size
        self._index = torch.as_tensor(index, device=device)
        self._weight = torch.as_tensor(weight, dtype=dtype, device=device)

    def forward(self, virtual: Tensor) -> Tensor:
        """Interpolate in each virtual image."""
        flat = virtual.flatten(1)
        total = flat.new_zeros((len(flat), len(self._index)))
        for index, weight in zip(self._index.T, self._weight.T, strict=True):
            total.addcmul_(flat.index_select(1, index), weight)
        return total.view(-1, *self._size)

    def adjoint(self, images: Tensor) -> Tensor:
        """Apply the transpose; on CUDA its additions come in an order that varies."""
        rows, columns = self._virtual_size
        total = images.new_zeros((len(images), rows * columns))
        for index, weight in zip(self._index.T, self._weight.T, strict=True):
            total.index_add_(1, index, images.flatten(1) * weight)
        return total.view(-1, rows, columns)


def _before_detector(
    plan: ShearPlan, shape: tuple[int, int, int], device: torch.device
) -> Tensor | None:
    """Return (D, H, W): which voxels lie before the detector; None where all do."""
    if plan.cut is None:
        return None
    a, b, c, d = (float(number) for number in plan.cut)
    k, j, i = (torch.arange(size, device=device, dtype=torch.float64) for size in shape)
    return c * k[:, None, None] + b * j[:, None] + a * i + d >= 0
