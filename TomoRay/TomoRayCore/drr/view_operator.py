"""One view of one grid as a linear operator: part by part of a volume forward, and its transpose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.drr.plan import Box, is_separable, plan_view
from TomoRayCore.drr.shear_warp import ShearPlan, plan_shear, unwarp, warp
from TomoRayCore.drr.slices import spread_slices, sum_slices
from TomoRayCore.geometry import ViewGeometry
from TomoRayCore.volume import Grid


class ViewOperator:
    """From mu on a grid to the line integrals of one view: separable where it can be, else warped.

    A volume may come in parts, in any order: interpolation falls off to 0 over a voxel beyond a
    part's border, and two neighbouring parts' fall-offs add up to interpolation between them.

    Args:
        grid: Of the volume.
        view: Source and detector.
        matter: Where the source may not be, see ``shear_warp.plan_shear``.

    Raises:
        InputError: ``VIEW_TOO_STEEP``, see ``shear_warp``.
    """

    def __init__(self, grid: Grid, view: ViewGeometry, matter: Box | None = None) -> None:
        self._shear: ShearPlan | None = None
        if is_separable(grid, view):
            self._plan = plan_view(grid, view)
        else:
            self._shear = plan_shear(grid, view, matter)
            self._plan = self._shear.virtual

    def new_sum(self, dtype: Any = np.float32) -> NDArray[Any]:
        """Return the zeros that ``add`` adds to."""
        plan = self._plan
        return np.zeros((plan.row_positions.shape[1], plan.column_positions.shape[1]), dtype)

    def add(self, part: NDArray[Any], corner: tuple[int, int, int], total: NDArray[Any]) -> None:
        """Add what a part of the volume contributes.

        Args:
            part: (d, h, w) of mu in 1/mm, any strides.
            corner: Array index (k, j, i) of its first voxel in the grid.
            total: From ``new_sum``, changed in place.
        """
        if self._shear is not None and self._shear.cut is not None:
            part = part * _before(self._shear.cut, part.shape, corner)
        _, first_row, first_column = (corner[axis] for axis in self._plan.axes)
        stack, rows, columns = self._slices(part, corner)
        sum_slices(stack, rows, columns, total, (first_row, first_column))

    def image(self, total: NDArray[Any]) -> NDArray[Any]:
        """Turn a finished sum into the (R, C) line integrals."""
        plain = total if self._shear is None else warp(self._shear, total)
        path_mm = self._plan.path_mm if self._shear is None else self._shear.path_mm
        image = np.empty_like(plain)
        np.multiply(plain, path_mm, out=image, casting="same_kind")
        return image

    def spread(self, image: NDArray[Any], volume: NDArray[Any]) -> None:
        """Add the transpose of projecting, applied to a (R, C) image, to a whole (D, H, W) array."""
        if self._shear is None:
            spread = np.asarray(image * self._plan.path_mm, volume.dtype)
        else:
            spread = unwarp(self._shear, np.asarray(image * self._shear.path_mm, volume.dtype))
        cut = None if self._shear is None else self._shear.cut
        target = volume if cut is None else np.zeros_like(volume)
        stack, rows, columns = self._slices(target, (0, 0, 0))
        spread_slices(spread, rows, columns, stack)
        if cut is not None:
            volume += target * _before(cut, volume.shape, (0, 0, 0))

    def _slices(
        self, part: NDArray[Any], corner: tuple[int, int, int]
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64]]:
        """Return the part's slices that count, and the positions in them."""
        plan = self._plan
        stack = part.transpose(plan.axes)
        start = corner[plan.axes[0]]
        begin, end = (int(plan.slices[0]), int(plan.slices[-1]) + 1) if len(plan.slices) else (0, 0)
        low, high = max(begin, start), min(end, start + len(stack))
        if low >= high:
            low = high = begin = start = 0
        planned = slice(low - begin, high - begin)
        return (
            stack[low - start : high - start],
            plan.row_positions[planned],
            plan.column_positions[planned],
        )


def _before(
    cut: NDArray[np.float64], shape: tuple[int, ...], corner: tuple[int, int, int]
) -> NDArray[np.bool_]:
    """Return which voxels of a part lie before the detector."""
    k, j, i = (start + np.arange(n) for start, n in zip(corner, shape, strict=True))
    behind_plane = (cut[2] * k)[:, None, None] + (cut[1] * j)[:, None] + cut[0] * i + cut[3]
    return np.asarray(behind_plane >= 0)
