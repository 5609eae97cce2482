"""The torch projector: batched, differentiable, with an explicit adjoint.

Linear and deterministic on the CPU; the backward pass is the exact transpose of the forward one,
not a second discretisation, so optimisers see true gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from TomoRayCore.drr.plan import ViewPlan, plan_view
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.volume import Grid


class SeparableProjector:
    """The linear operator from mu on a grid to line integrals on detectors.

    Args:
        grid: Voxel grid of the volumes.
        geometry: Views, all with the same detector size, each parallel to a face of the grid.
        device: Where volumes and images live.
        dtype: float32, or float64 for tests of exactness.

    Raises:
        InputError: ``NOT_SEPARABLE``, or ``BAD_GEOMETRY`` for detectors of different sizes.
    """

    def __init__(
        self,
        grid: Grid,
        geometry: AcquisitionGeometry,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        sizes = {view.size for view in geometry.views}
        if len(sizes) != 1:
            raise InputError(
                "BAD_GEOMETRY",
                f"The views have detectors of different sizes: {sorted(sizes)}.",
                "Give all views the same number of rows and columns.",
            )
        self.shape = grid.shape
        self.size = sizes.pop()
        self.dtype = dtype
        self._views = [
            _TorchView(plan_view(grid, view), grid, torch.device(device), dtype)
            for view in geometry.views
        ]

    def forward(self, mu_per_mm: Tensor) -> Tensor:
        """Project: (B, 1, D, H, W) in 1/mm to (B, V, R, C), dimensionless; no gradient kept."""
        volume = mu_per_mm[:, 0].to(self.dtype)
        return torch.stack([view.forward(volume) for view in self._views], dim=1)

    def adjoint(self, projections: Tensor) -> Tensor:
        """Back-project: (B, V, R, C) to (B, 1, D, H, W), the transpose of ``forward``."""
        images = projections.to(self.dtype)
        total = torch.zeros((len(images), *self.shape), dtype=self.dtype, device=projections.device)
        for number, view in enumerate(self._views):
            view.add_adjoint(images[:, number], total)
        return total[:, None]

    def __call__(self, mu_per_mm: Tensor) -> Tensor:
        """Project with gradients with respect to the volume."""
        if mu_per_mm.shape[1:] != (1, *self.shape):
            raise InputError(
                "BAD_SHAPE",
                f"Volumes of shape {tuple(mu_per_mm.shape)} do not fit the grid {self.shape}.",
                "Give (batch, 1, D, H, W) on the projector's grid.",
            )
        with torch.autocast(mu_per_mm.device.type, enabled=False):
            projections: Tensor = _Projection.apply(mu_per_mm, self)  # type: ignore[no-untyped-call]
        return projections


class _Projection(torch.autograd.Function):
    """Ties ``SeparableProjector.forward`` to its adjoint."""

    @staticmethod
    def forward(ctx: Any, mu_per_mm: Tensor, projector: SeparableProjector) -> Tensor:
        ctx.projector = projector
        ctx.input_dtype = mu_per_mm.dtype
        return projector.forward(mu_per_mm)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.projector.adjoint(gradients[0]).to(ctx.input_dtype), None


class _TorchView:
    """One view's plan as index and weight tensors."""

    def __init__(
        self, plan: ViewPlan, grid: Grid, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._axes = plan.axes
        self._slices = [int(index) for index in plan.slices]
        _, height, width = (grid.shape[axis] for axis in plan.axes)
        self._rows = _Interpolation(plan.row_positions, height, device, dtype)
        self._columns = _Interpolation(plan.column_positions, width, device, dtype)
        self._path_mm = torch.as_tensor(plan.path_mm, dtype=dtype, device=device)

    def forward(self, volume: Tensor) -> Tensor:
        stack = volume.permute(0, *(1 + axis for axis in self._axes))  # (B, slice, row, column)
        total = torch.zeros(
            (len(volume), *self._path_mm.shape), dtype=volume.dtype, device=volume.device
        )
        for place, index in enumerate(self._slices):
            by_row = self._rows.gather(stack[:, index], place, dim=1)
            total += self._columns.gather(by_row, place, dim=2)
        return total * self._path_mm

    def add_adjoint(self, images: Tensor, total: Tensor) -> None:
        stack = total.permute(0, *(1 + axis for axis in self._axes))
        weighted = images * self._path_mm
        for place, index in enumerate(self._slices):
            by_row = self._columns.scatter(weighted, place, dim=2)
            stack[:, index] += self._rows.scatter(by_row, place, dim=1)


class _Interpolation:
    """Linear interpolation along one axis at (N, P) positions, 0 outside, and its transpose.

    Neighbours beyond the border keep a valid index and get weight 0.
    """

    def __init__(
        self,
        positions: np.ndarray[Any, np.dtype[np.float64]],
        size: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._size = size
        lower = np.floor(positions)
        upper_weight = positions - lower
        self._index, self._weight = [], []
        for neighbour, weight in ((lower, 1 - upper_weight), (lower + 1, upper_weight)):
            valid = (neighbour >= 0) & (neighbour <= size - 1)
            index = np.clip(neighbour, 0, size - 1).astype(np.int64)
            self._index.append(torch.as_tensor(index, device=device))
            self._weight.append(
                torch.as_tensor(np.where(valid, weight, 0.0), dtype=dtype, device=device)
            )

    def gather(self, image: Tensor, place: int, dim: int) -> Tensor:
        """Return (B, ...) with axis ``dim`` sampled at the positions of one slice."""
        parts = [
            image.index_select(dim, index[place]) * _along(weight[place], dim)
            for index, weight in zip(self._index, self._weight, strict=True)
        ]
        return parts[0] + parts[1]

    def scatter(self, image: Tensor, place: int, dim: int) -> Tensor:
        """Return the transpose of ``gather`` applied to an image."""
        shape = list(image.shape)
        shape[dim] = self._size
        total = torch.zeros(shape, dtype=image.dtype, device=image.device)
        for index, weight in zip(self._index, self._weight, strict=True):
            total.index_add_(dim, index[place], image * _along(weight[place], dim))
        return total


def _along(weights: Tensor, dim: int) -> Tensor:
    return weights[None, :, None] if dim == 1 else weights[None, None, :]


def project(mu_per_mm: Tensor, grid: Grid, geometry: AcquisitionGeometry) -> Tensor:
    """Project once: (B, 1, D, H, W) in 1/mm to (B, V, R, C), differentiable.

    Keep a ``SeparableProjector`` instead where the same geometry is used again.
    """
    dtype = torch.float64 if mu_per_mm.dtype == torch.float64 else torch.float32
    projector = SeparableProjector(grid, geometry, mu_per_mm.device, dtype)
    return projector(mu_per_mm)
