"""The two primitives of every projector here: resample and sum a stack of slices, and its transpose.

Both are linear and exact transposes of each other. A compiled kernel does the work where there is
one (``kernel``); otherwise numpy and scipy's sparse products do, to the same float32 rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.drr import kernel

Real = NDArray[np.float32] | NDArray[np.float64]

BATCH = 8
"""Slices per sparse product: fewer cost calls, more leave the processor's cache."""


def sum_slices(
    stack: Real,
    row_positions: NDArray[np.float64],
    column_positions: NDArray[np.float64],
    total: Real,
    first: tuple[int, int] = (0, 0),
) -> None:
    """Resample each slice to rows and columns of its own by linear interpolation; add them up.

    Outside a slice there is 0: values fall off linearly over one voxel beyond its border.

    Args:
        stack: (S, H, W), any strides, float32 or float64.
        row_positions: (S, R) where image rows fall in each slice, in voxels.
        column_positions: (S, C) where image columns fall in each slice, in voxels.
        total: (R, C), added to in place.
        first: Row and column that the stack begins with, where it is cut out of larger slices in
            whose voxels the positions are told.
    """
    if kernel.suits(stack, total) and _neighbouring(total):
        kernel.sum_slices(stack, row_positions, column_positions, total, first)  # type: ignore[arg-type]
        return
    for batch in _batches(stack, row_positions - first[0], column_positions - first[1]):
        columns = batch.column_matrix()
        by_row = (batch.row_matrix() @ batch.block()).reshape(batch.turned_shape)
        turned = by_row.transpose(0, 2, 1).reshape(-1, batch.turned_shape[1])
        total[batch.image] += (columns @ turned).T


def spread_slices(
    image: Real,
    row_positions: NDArray[np.float64],
    column_positions: NDArray[np.float64],
    stack: Real,
) -> None:
    """Add the transpose of ``sum_slices`` applied to an image to a stack, in place.

    Args:
        image: (R, C), float32 or float64.
        row_positions: (S, R) where image rows fall in each slice, in voxels.
        column_positions: (S, C) where image columns fall in each slice, in voxels.
        stack: (S, H, W), any strides, of the image's number type.
    """
    if kernel.suits(stack, image):
        films = np.ascontiguousarray(image)
        kernel.spread_slices(films, row_positions, column_positions, stack)  # type: ignore[arg-type]
        return
    for batch in _batches(stack, row_positions, column_positions):
        rows, width = batch.turned_shape[1:]
        part = np.ascontiguousarray(image[batch.image].T)
        turned = (batch.column_matrix().T.tocsr() @ part).reshape(-1, width, rows)
        by_row = turned.transpose(0, 2, 1).reshape(-1, width)
        batch.stack += (batch.row_matrix().T.tocsr() @ by_row).reshape(batch.stack.shape)


class _Batch:
    """A few slices, and the part of the image that their rays reach."""

    def __init__(
        self,
        stack: Real,
        rows: NDArray[np.float64],
        columns: NDArray[np.float64],
        image: tuple[slice, slice],
    ) -> None:
        self.stack = stack
        self.image = image
        self._rows = rows[:, image[0]]
        self._columns = columns[:, image[1]]
        self.turned_shape = (len(stack), self._rows.shape[1], stack.shape[2])

    def block(self) -> NDArray[Any]:
        """Return (S * H, W)."""
        return np.ascontiguousarray(self.stack).reshape(-1, self.stack.shape[2])

    def row_matrix(self) -> Any:
        """Return the sparse (S * R, S * H) matrix that resamples the rows of every slice."""
        slices, height = self.stack.shape[:2]
        index, weight = interpolation(self._rows, height, self.stack.dtype)
        index += (np.arange(slices, dtype=np.int32) * height)[:, None, None]
        return _two_per_row(index.reshape(-1, 2), weight.reshape(-1, 2), slices * height)

    def column_matrix(self) -> Any:
        """Return the sparse (C, S * W) matrix that resamples columns and adds the slices up."""
        slices, _, width = self.stack.shape
        index, weight = interpolation(self._columns, width, self.stack.dtype)
        index += (np.arange(slices, dtype=np.int32) * width)[:, None, None]
        count = self._columns.shape[1]
        return _two_per_row(
            index.transpose(1, 0, 2).reshape(count, -1),
            weight.transpose(1, 0, 2).reshape(count, -1),
            slices * width,
        )


def interpolation(
    positions: NDArray[np.float64], size: int, dtype: np.dtype[Any]
) -> tuple[NDArray[np.int32], Real]:
    """Return index and weight of the two neighbours of each position: (..., 2) each.

    Neighbours beyond the border keep a valid index and get weight 0.
    """
    lower = np.floor(np.clip(positions, -2, size + 1))
    upper_weight = np.clip(positions, -2, size + 1) - lower
    index = np.stack([lower, lower + 1], axis=-1).astype(np.int32)
    weight = np.stack([1 - upper_weight, upper_weight], axis=-1).astype(dtype)
    weight[(index < 0) | (index >= size)] = 0
    return np.clip(index, 0, size - 1, out=index), weight


def reached(positions: NDArray[np.float64], size: int) -> slice:
    """Return the range of positions (last axis) that touch an axis of ``size`` in any slice."""
    touching = np.flatnonzero(((positions > -1) & (positions < size)).any(axis=0))
    return slice(int(touching[0]), int(touching[-1]) + 1) if len(touching) else slice(0, 0)


def _neighbouring(image: Real) -> bool:
    return image.strides[1] == image.itemsize


def _batches(
    stack: Real, row_positions: NDArray[np.float64], column_positions: NDArray[np.float64]
) -> Iterator[_Batch]:
    _, height, width = stack.shape
    for start in range(0, len(stack), BATCH):
        part = slice(start, start + BATCH)
        rows, columns = row_positions[part], column_positions[part]
        image = reached(rows, height), reached(columns, width)
        if all(span.stop > span.start for span in image):
            yield _Batch(stack[part], rows, columns, image)


def _two_per_row(index: NDArray[np.int32], weight: Real, columns: int) -> Any:
    """Return a CSR matrix whose rows all hold the same number of entries."""
    from scipy import sparse  # here: it takes longer to load than the kernel needs for a head

    rows, entries = index.shape
    starts = np.arange(rows + 1, dtype=np.int32) * entries
    return sparse.csr_matrix((weight.ravel(), index.ravel(), starts), shape=(rows, columns))
