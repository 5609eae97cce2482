"""Bringing a volume to another voxel grid: by re-ordering axes (exact) or by interpolation."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.coordinates import Affine, direction_of, spacing_of
from TomoRayCore.volume import AIR_HU, Grid, Volume

if TYPE_CHECKING:
    import SimpleITK as sitk


def reorient_to_lps(volume: Volume) -> Volume:
    """Permute and flip the axes so that i, j, k run closest to left, posterior, superior.

    No voxel is interpolated; an oblique volume stays oblique by what is left over.
    """
    direction = direction_of(volume.ijk_to_lps)
    order = _closest_axes(direction)
    signs = [1 if direction[world, axis] > 0 else -1 for world, axis in enumerate(order)]
    sizes_ijk = volume.shape[::-1]
    old_from_new = np.zeros((4, 4))
    old_from_new[3, 3] = 1
    for new_axis, (old_axis, sign) in enumerate(zip(order, signs, strict=True)):
        old_from_new[old_axis, new_axis] = sign
        if sign < 0:
            old_from_new[old_axis, 3] = sizes_ijk[old_axis] - 1
    array = volume.array_hu.transpose([2 - axis for axis in reversed(order)])
    array = array[tuple(slice(None, None, sign) for sign in reversed(signs))]
    return Volume(array, volume.ijk_to_lps @ old_from_new, volume.metadata)


def resample(volume: Volume, grid: Grid, outside_hu: float = AIR_HU) -> Volume:
    """Return the volume's trilinearly interpolated values on a grid; integers are rounded.

    Args:
        volume: What to sample.
        grid: Where to sample it.
        outside_hu: Value of voxels whose centre lies outside the volume.
    """
    if grid.same_as(volume.grid, tolerance_mm=1e-6):
        return volume
    import SimpleITK as sitk  # here: it takes a while to load, and many need no interpolation

    # In float32: ITK cuts integer results off towards zero instead of rounding them.
    output = sitk.Resample(
        to_sitk(volume.array_hu.astype(np.float32), volume.ijk_to_lps),
        grid.shape[::-1],
        sitk.Transform(3, sitk.sitkIdentity),
        sitk.sitkLinear,
        grid.ijk_to_lps[:3, 3].tolist(),
        grid.spacing_ijk_mm,
        grid.direction.ravel().tolist(),
        float(outside_hu),
    )
    values_hu = sitk.GetArrayFromImage(output)
    if volume.array_hu.dtype == np.int16:
        values_hu = np.rint(values_hu).astype(np.int16)
    return Volume(values_hu, grid.ijk_to_lps, volume.metadata)


def inside(grid: Grid, volume: Grid) -> NDArray[np.bool_]:
    """Return a (D, H, W) mask of the grid's voxels whose centre lies within a volume's voxels."""
    to_index = np.linalg.inv(volume.ijk_to_lps) @ grid.ijk_to_lps
    d, h, w = grid.shape
    i, j, k = np.arange(w), np.arange(h)[:, None], np.arange(d)[:, None, None]
    mask = np.ones(grid.shape, bool)
    for row, size in zip(to_index[:3], volume.shape[::-1], strict=True):
        position = row[0] * i + row[1] * j + row[2] * k + row[3]
        mask &= (position >= -0.5 - 1e-6) & (position <= size - 0.5 + 1e-6)
    return mask


def to_sitk(array: NDArray[np.generic], ijk_to_lps: Affine) -> sitk.Image:
    """Return a SimpleITK image of a (D, H, W) array with its place in the world."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing_of(ijk_to_lps))
    image.SetOrigin(ijk_to_lps[:3, 3].tolist())
    image.SetDirection(direction_of(ijk_to_lps).ravel().tolist())
    return image


def _closest_axes(direction: Affine) -> tuple[int, ...]:
    """Return, for x, y, z in turn, the voxel axis that runs along it; the best joint choice."""
    return max(
        itertools.permutations(range(3)),
        key=lambda order: sum(abs(direction[world, axis]) for world, axis in enumerate(order)),
    )
