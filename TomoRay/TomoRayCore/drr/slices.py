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

_Axis = tuple[NDArray[np.int32], Real]

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
    weights = _Weights(stack, row_positions - first[0], column_positions - first[1])
    for part, by_rows, by_columns in weights.batches():
        block = np.ascontiguousarray(stack[part]).reshape(-1, stack.shape[2])
        resampled = (by_rows @ block).reshape(weights.turned_shape)
        turned = resampled.transpose(0, 2, 1).reshape(-1, weights.turned_shape[1])
        total[weights.image] += (by_columns @ turned).T


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
    weights = _Weights(stack, row_positions, column_positions)
    _, rows, width = weights.turned_shape
    pixels = np.ascontiguousarray(image[weights.image].T)
    for part, by_rows, by_columns in weights.batches(transposed=True):
        turned = (by_columns @ pixels).reshape(-1, width, rows)
        resampled = turned.transpose(0, 2, 1).reshape(-1, width)
        stack[part] += (by_rows @ resampled).reshape(-1, *stack.shape[1:])


class _Weights:
    """Interpolation weights of a whole stack, as sparse matrices of a few slices each.

    The rows' matrix resamples (S * H) voxel rows to (S * R) image rows, each slice on its own; the
    columns' resamples (S * W) voxel columns to C image columns and adds the slices up. The same
    entries read as columns instead of rows are the transposes.

    Attributes:
        image: The part of the image that the stack's rays reach.
        turned_shape: (-1, R, W) of that part.
    """

    def __init__(
        self, stack: Real, row_positions: NDArray[np.float64], column_positions: NDArray[np.float64]
    ) -> None:
        self._count, height, width = stack.shape
        self._sizes = height, width
        self.image = _reached(row_positions, height), _reached(column_positions, width)
        # All slices at once: one by one this would take longer than the products.
        self._rows, self._columns = (
            _numbered(interpolation(positions[:, span], size, stack.dtype), size)
            for positions, span, size in zip(
                (row_positions, column_positions), self.image, self._sizes, strict=True
            )
        )
        self.turned_shape = (-1, self._rows[0].shape[1], width)

    def batches(self, transposed: bool = False) -> Iterator[tuple[slice, Any, Any]]:
        """Yield some slices with their rows' and columns' matrix, valid until the next."""
        matrices: dict[int, tuple[Any, Any]] = {}
        height, width = self._sizes
        rows, columns = self._rows[0].shape[1], self._columns[0].shape[1]
        for start in range(0, self._count if rows and columns else 0, BATCH):
            part = slice(start, min(start + BATCH, self._count))
            count = part.stop - part.start
            if count not in matrices:
                matrices[count] = (
                    _empty(count * rows, count * height, self._rows[1].dtype, transposed),
                    _empty(columns, count * width, self._rows[1].dtype, transposed),
                )
            by_rows, by_columns = matrices[count]
            _fill(by_rows, [entry[part].reshape(-1, 2) for entry in self._rows])
            _fill(
                by_columns,
                [e[part].transpose(1, 0, 2).reshape(columns, -1) for e in self._columns],
            )
            yield part, by_rows, by_columns


def interpolation(
    positions: NDArray[np.float64], size: int, dtype: np.dtype[Any]
) -> tuple[NDArray[np.int32], Real]:
    """Return index and weight of the two neighbours of each position: (..., 2) each.

    Neighbours beyond the border keep a valid index and get weight 0.
    """
    kept = np.minimum(np.fmax(positions, -2), size + 1)  # -2 for what is no number
    lower = np.floor(kept)
    index = np.empty((*positions.shape, 2), np.int32)
    index[..., 0] = lower
    index[..., 1] = index[..., 0] + 1
    weight = np.empty(index.shape, dtype)
    weight[..., 1] = kept - lower
    weight[..., 0] = 1 - weight[..., 1]
    weight[(index < 0) | (index >= size)] = 0
    np.minimum(index, size - 1, out=index)
    return np.maximum(index, 0, out=index), weight


def _numbered(axis: _Axis, size: int) -> _Axis:
    """Turn the indices of each slice into those of its batch, slices one after the other."""
    index, weight = axis
    index += (np.arange(len(index), dtype=np.int32) % BATCH * size)[:, None, None]
    return index, weight


def _reached(positions: NDArray[np.float64], size: int) -> slice:
    """Return the range of positions (last axis) that touch an axis of ``size`` in any slice."""
    at = np.flatnonzero(((positions > -1) & (positions < size)).any(axis=0))
    return slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0)


def _empty(rows: int, columns: int, dtype: np.dtype[Any], transposed: bool) -> Any:
    """Return a sparse matrix to be filled, or the transpose of one that is filled alike."""
    from scipy import sparse  # here: it takes longer to load than the kernel needs for a head

    if transposed:
        return sparse.csc_matrix((columns, rows), dtype=dtype)
    return sparse.csr_matrix((rows, columns), dtype=dtype)


def _fill(matrix: Any, entries: list[NDArray[Any]]) -> None:
    """Replace a matrix by one whose every row holds the same number of entries.

    In place, because a new matrix checks every index, which takes longer than the product.
    """
    index, weight = entries
    matrix.indptr = np.arange(len(index) + 1, dtype=np.int32) * np.int32(index.shape[1])
    matrix.indices, matrix.data = index.reshape(-1), weight.reshape(-1)


def _neighbouring(image: Real) -> bool:
    return image.strides[1] == image.itemsize
