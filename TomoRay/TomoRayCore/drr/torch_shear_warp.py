"""Sums along the rays of a view of any pose, in torch: a virtual separable view, then a warp.

The virtual view and the warp are those of ``shear_warp``; the transpose applies the transposed
warp and spreads the virtual image, so it is the exact transpose of the projection computed here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from TomoRayCore.drr.shear_warp import ShearPlan, warp_entries
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
        self._warp = ArrayWarp(plan, dtype) if on_cpu else TensorWarp(plan, device, dtype)
        self._kept = _before_detector(plan, shape, device)

    def forward(self, volumes: Tensor) -> Tensor:
        """Return (B, R, C) sums of (B, D, H, W)."""
        if 0 in self._virtual_size:
            return volumes.new_zeros((len(volumes), *self._size))
        seen = volumes if self._kept is None else volumes * self._kept
        virtual = self._virtual.forward(seen)
        return self._warp.forward(virtual.flatten(1)).view(-1, *self._size)

    def add_adjoint(self, images: Tensor, volumes: Tensor) -> None:
        """Add the transpose of (B, R, C) images to (B, D, H, W) in place."""
        if 0 in self._virtual_size:
            return
        virtual = self._warp.adjoint(images.flatten(1)).view(-1, *self._virtual_size)
        if self._kept is None:
            self._virtual.add_adjoint(virtual, volumes)
            return
        spread = torch.zeros_like(volumes)
        self._virtual.add_adjoint(virtual, spread)
        volumes += spread * self._kept


class ArrayWarp:
    """(B, virtual pixels) to (B, pixels) on the CPU, by scipy's sparse products."""

    def __init__(self, plan: ShearPlan, dtype: torch.dtype) -> None:
        index, weight = warp_entries(plan)
        seeing = plan.inside.ravel()
        starts = np.concatenate([[0], np.cumsum(seeing) * index.shape[1]]).astype(np.int32)
        numbers = weight[seeing].ravel().astype(np.float64 if dtype == torch.float64 else "f4")
        entries = numbers, index[seeing].ravel().astype(np.int32), starts
        shape = (seeing.size, int(np.prod(plan.virtual_size)))
        self._matrix: Any = sparse.csr_matrix(entries, shape=shape)

    def forward(self, virtual: Tensor) -> Tensor:
        """Interpolate in each virtual image."""
        return _applied(self._matrix, virtual)

    def adjoint(self, images: Tensor) -> Tensor:
        """Apply the transpose."""
        return _applied(self._matrix.T, images)


class TensorWarp:
    """(B, virtual pixels) to (B, pixels) on any device, by gathering."""

    def __init__(self, plan: ShearPlan, device: torch.device, dtype: torch.dtype) -> None:
        index, weight = warp_entries(plan)
        self._virtual = int(np.prod(plan.virtual_size))
        self._index = torch.as_tensor(index, device=device)
        self._weight = torch.as_tensor(weight, dtype=dtype, device=device)

    def forward(self, virtual: Tensor) -> Tensor:
        """Interpolate in each virtual image."""
        total = virtual.new_zeros((len(virtual), len(self._index)))
        for index, weight in zip(self._index.T, self._weight.T, strict=True):
            total.addcmul_(virtual.index_select(1, index), weight)
        return total

    def adjoint(self, images: Tensor) -> Tensor:
        """Apply the transpose; on CUDA its additions come in an order that varies."""
        total = images.new_zeros((len(images), self._virtual))
        for index, weight in zip(self._index.T, self._weight.T, strict=True):
            total.index_add_(1, index, images * weight)
        return total


def _applied(matrix: Any, images: Tensor) -> Tensor:
    """Return the product of a sparse matrix with each of (B, inputs)."""
    total = torch.empty((len(images), matrix.shape[0]), dtype=images.dtype)
    for image, result in zip(images.detach().numpy(), total.numpy(), strict=True):
        result[:] = matrix @ image
    return total


def _before_detector(
    plan: ShearPlan, shape: tuple[int, int, int], device: torch.device
) -> Tensor | None:
    """Return (D, H, W): which voxels lie before the detector; None where all do."""
    if plan.cut is None:
        return None
    a, b, c, d = (float(number) for number in plan.cut)
    k, j, i = (torch.arange(size, device=device, dtype=torch.float64) for size in shape)
    return c * k[:, None, None] + b * j[:, None] + a * i + d >= 0
