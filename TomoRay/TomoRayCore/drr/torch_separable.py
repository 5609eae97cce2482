"""Sums along the rays of a view whose detector is parallel to a face of the volume, in torch.

Each slice is resampled by two 1-D interpolations and the slices are added up (see ``plan``). On
the CPU the primitives of ``slices`` do this on the tensors' own memory. On other devices whole
chunks of slices are gathered by index; the transpose gathers too, by tables turned round, so both
are deterministic and neither depends on a matrix product's precision (TF32).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from TomoRayCore.drr.plan import ViewPlan
from TomoRayCore.drr.slices import interpolation, spread_slices, sum_slices

ELEMENTS_AT_ONCE = 1 << 24
"""Elements of one chunk's resampled slices: 64 MB in float32."""

VOXELS_FOR_THREADS = 1 << 20
"""Fewer voxels are projected sooner than threads start."""

Array = NDArray[Any]


class ViewSums(Protocol):
    """The linear operator of one view, without the path length: samples added up along rays."""

    def forward(self, volumes: Tensor) -> Tensor:
        """Return (B, R, C) sums of (B, D, H, W)."""

    def add_adjoint(self, images: Tensor, volumes: Tensor) -> None:
        """Add the transpose of (B, R, C) images to (B, D, H, W) in place."""


def separable_sums(
    plan: ViewPlan, shape: tuple[int, int, int], device: torch.device, dtype: torch.dtype
) -> ViewSums:
    """Return the operator that suits a device.

    Args:
        plan: Of the view.
        shape: (D, H, W) of a volume.
        device: Where volumes and images live.
        dtype: Their number type, float32 or float64.
    """
    if device.type == "cpu":
        return ArraySums(plan, dtype)
    return TensorSums(plan, shape, device, dtype)


class ArraySums:
    """Works on the memory of CPU tensors through numpy; nothing is copied.

    Volumes large enough for it are cut into ranges of slices, one for each of torch's
    threads: ranges are summed into images of their own, and spread without touching each other.
    """

    def __init__(self, plan: ViewPlan, dtype: torch.dtype) -> None:
        self._plan = plan
        self._first = _range_of(plan).start
        self._dtype = dtype

    def forward(self, volumes: Tensor) -> Tensor:
        """Return (B, R, C) sums of (B, D, H, W)."""
        parts = self._parts(volumes)
        size = self._plan.row_positions.shape[1], self._plan.column_positions.shape[1]
        totals = torch.zeros((len(volumes), len(parts), *size), dtype=self._dtype)
        works = [
            (self._stack(volume, part), part, total)
            for volume, of_volume in zip(volumes.detach().numpy(), totals.numpy(), strict=True)
            for part, total in zip(parts, of_volume, strict=True)
        ]
        _in_threads(self._sum, works)
        return totals.sum(dim=1) if len(parts) > 1 else totals[:, 0]

    def add_adjoint(self, images: Tensor, volumes: Tensor) -> None:
        """Add the transpose of (B, R, C) images to (B, D, H, W) in place."""
        works = [
            (self._stack(volume, part), part, image)
            for image, volume in zip(images.detach().numpy(), volumes.numpy(), strict=True)
            for part in self._parts(volumes)
        ]
        _in_threads(self._spread, works)

    def _sum(self, stack: Array, part: slice, total: Array) -> None:
        plan = self._plan
        sum_slices(stack, plan.row_positions[part], plan.column_positions[part], total)

    def _spread(self, stack: Array, part: slice, image: Array) -> None:
        plan = self._plan
        spread_slices(image, plan.row_positions[part], plan.column_positions[part], stack)

    def _stack(self, volume: Array, part: slice) -> Array:
        shift = self._first
        return volume.transpose(self._plan.axes)[part.start + shift : part.stop + shift]

    def _parts(self, volumes: Tensor) -> list[slice]:
        """Return ranges of the plan's slices, enough for all threads."""
        slices, batch = len(self._plan.slices), max(len(volumes), 1)
        worthwhile = volumes.numel() >= VOXELS_FOR_THREADS
        count = -(-torch.get_num_threads() // batch) if worthwhile else 1
        bounds = np.linspace(0, slices, min(count, slices) + 1 if slices else 2).astype(int)
        return [slice(int(a), int(b)) for a, b in itertools.pairwise(bounds)]


def _in_threads(
    work: Callable[[Array, slice, Array], None], arguments: list[tuple[Array, slice, Array]]
) -> None:
    """Do all pieces of work, on as many threads as torch may use where they are large."""
    threads = min(torch.get_num_threads(), len(arguments))
    if threads < 2 or sum(stack.size for stack, _, _ in arguments) < VOXELS_FOR_THREADS:
        for one in arguments:
            work(*one)
        return
    # Made anew each time: threads kept would be missing after a fork of the process.
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda one: work(*one), arguments))


class TensorSums:
    """Works on tensors of any device, many slices and all volumes at a time."""

    def __init__(
        self,
        plan: ViewPlan,
        shape: tuple[int, int, int],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._axes = plan.axes
        self._slices = _range_of(plan)
        _, height, width = (shape[axis] for axis in plan.axes)
        self._rows = _Bands.interpolating(plan.row_positions, height, device, dtype)
        self._columns = _Bands.interpolating(plan.column_positions, width, device, dtype)
        self._to_rows, self._to_columns = self._rows.transposed(), self._columns.transposed()

    def forward(self, volumes: Tensor) -> Tensor:
        """Return (B, R, C) sums of (B, D, H, W)."""
        stack = self._stack(volumes)
        rows, columns = self._rows.outputs, self._columns.outputs
        total = volumes.new_zeros((len(volumes), columns, rows))
        for part in self._chunks(stack):
            by_row = self._rows.gather(stack[:, part], part)  # (B, S, R, W)
            by_column = self._columns.gather(by_row.transpose(2, 3), part)  # (B, S, C, R)
            total += by_column.sum(dim=1)
        return total.transpose(1, 2)

    def add_adjoint(self, images: Tensor, volumes: Tensor) -> None:
        """Add the transpose of (B, R, C) images to (B, D, H, W) in place."""
        stack = self._stack(volumes)
        turned = images.transpose(1, 2)[:, None]  # (B, 1, C, R)
        for part in self._chunks(stack):
            repeated = turned.expand(-1, part.stop - part.start, -1, -1)
            by_column = self._to_columns.gather(repeated, part)  # (B, S, W, R)
            stack[:, part] += self._to_rows.gather(by_column.transpose(2, 3), part)

    def _stack(self, volumes: Tensor) -> Tensor:
        """Return (B, slice, row, column), without the slices that no ray meets."""
        return volumes.permute(0, *(1 + axis for axis in self._axes))[:, self._slices]

    def _chunks(self, stack: Tensor) -> list[slice]:
        batch, slices, height, width = stack.shape
        largest = max(height, self._rows.outputs) * max(width, self._columns.outputs)
        count = max(1, ELEMENTS_AT_ONCE // max(1, batch * largest))
        return [slice(s, min(s + count, slices)) for s in range(0, slices, count)]


class _Bands:
    """For each of S slices a banded matrix along one axis, as (S, outputs, K) index and weight."""

    def __init__(self, index: Tensor, weight: Tensor, inputs: int) -> None:
        self._index, self._weight, self._inputs = index, weight, inputs
        self.outputs = index.shape[1]

    @staticmethod
    def interpolating(
        positions: NDArray[np.float64], size: int, device: torch.device, dtype: torch.dtype
    ) -> _Bands:
        """Return the matrices that sample ``size`` voxels at (S, outputs) positions."""
        index, weight = interpolation(positions, size, np.dtype(np.float64))
        return _Bands(
            torch.as_tensor(index.astype(np.int64), device=device),
            torch.as_tensor(weight, dtype=dtype, device=device),
            size,
        )

    def transposed(self) -> _Bands:
        """Return the transposed matrices; K is the most samples that one voxel takes part in."""
        slices, outputs, _ = self._index.shape
        entry_slice, entry_output, _ = torch.nonzero(self._weight, as_tuple=True)
        used = self._weight != 0
        target = entry_slice * self._inputs + self._index[used]
        order = torch.argsort(target, stable=True)
        target = target[order]
        count = torch.bincount(target, minlength=slices * self._inputs)
        rank = torch.arange(len(target), device=target.device)
        rank -= (count.cumsum(0) - count)[target]
        width = int(count.max()) if len(target) else 0
        index = target.new_zeros((slices * self._inputs, width))
        weight = self._weight.new_zeros((slices * self._inputs, width))
        index[target, rank] = entry_output[order]
        weight[target, rank] = self._weight[used][order]
        shape = (slices, self._inputs, width)
        return _Bands(index.reshape(shape), weight.reshape(shape), outputs)

    def gather(self, stack: Tensor, part: slice) -> Tensor:
        """Apply the matrices of some slices along axis 2: (B, S, inputs, M) to (B, S, outputs, M).

        Rows of a flat array are picked whole, which reads memory in order.
        """
        batch, slices, _, other = stack.shape
        first = torch.arange(slices, device=stack.device)[:, None] * self._inputs
        flat = stack.reshape(batch, -1, other)
        total = stack.new_zeros((batch, slices * self.outputs, other))
        for number in range(self._index.shape[2]):
            places = (self._index[part, :, number] + first).flatten()
            weight = self._weight[part, :, number].reshape(1, -1, 1)
            total.addcmul_(flat.index_select(1, places), weight)
        return total.reshape(batch, slices, self.outputs, other)


def _range_of(plan: ViewPlan) -> slice:
    """Return the plan's slices, which are neighbours, as a range."""
    if not len(plan.slices):
        return slice(0, 0)
    return slice(int(plan.slices[0]), int(plan.slices[-1]) + 1)
