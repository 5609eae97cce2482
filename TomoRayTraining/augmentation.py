"""Variation of a head in CT space, before it is projected, so that all views stay consistent."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from TomoRayCore.resample import to_sitk
from TomoRayCore.volume import AIR_HU, Grid, Volume
from TomoRayTraining.config import AugmentationConfig


def augmented(
    volume: Volume, grid: Grid, config: AugmentationConfig, random: np.random.Generator
) -> tuple[Volume, NDArray[np.bool_]]:
    """Return a varied head on a grid and a (D, H, W) mask of the voxels that were scanned.

    Rotation, scaling, shift and mirroring in one interpolation; then, in some, the vertex is cut.
    """
    transform = random_transform(grid.centre_lps, volume.grid.centre_lps, config, random)
    moved = _resampled(volume.array_hu, volume, grid, transform, sitk.sitkLinear, AIR_HU)
    scanned = scanned_slices(volume)
    mask = _resampled(
        np.broadcast_to(scanned[:, None, None], volume.shape).astype(np.uint8),
        volume,
        grid,
        transform,
        sitk.sitkNearestNeighbor,
        0,
    ).astype(bool)
    if random.random() < config.cut_probability:
        rows = round(random.uniform(0, config.cut_mm) / grid.spacing_ijk_mm[2])
        kept = max(0, grid.shape[0] - rows)
        moved = moved.copy()
        moved[kept:] = int(AIR_HU)
        mask[kept:] = False
    return Volume(moved, grid.ijk_to_lps), mask


def unvaried(volume: Volume, grid: Grid) -> tuple[Volume, NDArray[np.bool_]]:
    """Return the head on a grid in its own world, as ``augmented`` does: for heads with films."""
    still = sitk.Transform(3, sitk.sitkIdentity)
    moved = _resampled(volume.array_hu, volume, grid, still, sitk.sitkLinear, AIR_HU)
    scanned = np.broadcast_to(scanned_slices(volume)[:, None, None], volume.shape).astype(np.uint8)
    mask = _resampled(scanned, volume, grid, still, sitk.sitkNearestNeighbor, 0).astype(bool)
    return Volume(moved, grid.ijk_to_lps), mask


def random_transform(
    output_centre: tuple[float, float, float],
    input_centre: tuple[float, float, float],
    config: AugmentationConfig,
    random: np.random.Generator,
) -> sitk.AffineTransform:
    """Return the map from the output's world to the input's: about their centres."""
    angles = random.uniform(-config.rotation_deg, config.rotation_deg, 3)
    scales = 1 + random.uniform(-config.scale, config.scale, 3)
    if config.flip and random.random() < 0.5:
        scales[0] = -scales[0]
    shift = random.uniform(-config.translation_mm, config.translation_mm, 3)
    matrix = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(1 / scales)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix.ravel().tolist())
    transform.SetCenter(output_centre)
    transform.SetTranslation((np.subtract(input_centre, output_centre) + shift).tolist())
    return transform


def scanned_slices(volume: Volume) -> NDArray[np.bool_]:
    """Return (D,): which slices hold anything but one value, that is, were scanned."""
    flat = volume.array_hu.reshape(volume.shape[0], -1)
    return np.asarray(flat.min(axis=1) != flat.max(axis=1))


def _resampled(
    array: NDArray[Any],
    volume: Volume,
    grid: Grid,
    transform: sitk.Transform,
    interpolator: int,
    outside: float,
) -> NDArray[Any]:
    image = sitk.Resample(
        to_sitk(array, volume.ijk_to_lps),
        grid.shape[::-1],
        transform,
        interpolator,
        grid.ijk_to_lps[:3, 3].tolist(),
        grid.spacing_ijk_mm,
        grid.direction.ravel().tolist(),
        outside,
    )
    return np.asarray(sitk.GetArrayFromImage(image))
