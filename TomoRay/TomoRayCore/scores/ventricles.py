"""Cerebral ventricles of a head CT, found from HU alone.

Fluid is what lies darker than the brain by half the contrast between the two, in a volume whose
own brain calibrates the threshold; ventricles are its connected parts away from the rim of the
intracranial space, that reach deep into it.

Limits. It is a measure for comparing two volumes, not a diagnosis: temporal horns and the fourth
ventricle are lost where they come near the rim, or are cut off by narrow passages; wide Sylvian
fissures, deep cisterns and old infarcts that reach as deep are taken for ventricle; blood in a
ventricle is not; where a scan ends there is a rim; small ventricles on voxels of 4 mm drown in partial volume. A CT whose brain is
shaded by its skull by more than half the contrast is beyond it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from TomoRayCore.scores.arrays import Array, Mask

BRAIN_RANGE_HU = (0.0, 80.0)
CONTRAST_HU = 22.0
"""From fluid (about 8 HU) to the mean of white and grey matter (about 30)."""

DARKEST_HU = 40.0
"""Below the threshold by more than this is fat or air, not fluid."""

SMOOTHING_MM = 1.5
RIM_MM = 12.0
"""Sulci, fissures and cisterns nearer to the rim than this are not ventricle."""

CORE_MM = 25.0
"""A part of the ventricles reaches at least this far from the rim."""

SMALLEST_ML = 0.3
CLOSED_MM = 4.0
"""Catheters and calcifications narrower than twice this make no hole in the space."""

LEAST_DEEP_ML = 20.0
"""With less than this away from the rim there is no head to look into."""


def fluid_threshold_hu(volume_hu: NDArray[np.generic], space: Mask) -> float | None:
    """Return the HU below which this volume's own intracranial contents count as fluid.

    Half the contrast below the median of what is in the brain's range; None without such voxels.
    """
    values = np.asarray(volume_hu, np.float64)[space]
    low, high = BRAIN_RANGE_HU
    brain = values[(values >= low) & (values <= high)]
    return float(np.median(brain)) - CONTRAST_HU / 2 if brain.size else None


def segment_ventricles(
    volume_hu: NDArray[np.generic], intracranial: Mask, spacing_mm: float
) -> Mask | None:
    """Return the mask of the ventricles, empty where none is seen.

    Args:
        volume_hu: (D, H, W) on an isotropic grid.
        intracranial: The space to look into: ``regions.head_regions``, of this volume or, to
            compare two volumes, of the truth.
        spacing_mm: Voxel size.

    Returns:
        The mask, or None where the space is too small to look into. Contents without anything in
        the brain's range have no ventricles: the mask is empty.
    """
    depth_mm = _depth_mm(intracranial, spacing_mm)
    voxel_ml = spacing_mm**3 / 1000
    deep = depth_mm > RIM_MM
    if deep.sum() * voxel_ml < LEAST_DEEP_ML:
        return None
    clipped = np.clip(np.asarray(volume_hu, np.float64), -BRAIN_RANGE_HU[1], BRAIN_RANGE_HU[1])
    smooth = np.asarray(ndimage.gaussian_filter(clipped, SMOOTHING_MM / spacing_mm))
    threshold = fluid_threshold_hu(smooth, deep)
    if threshold is None:
        return np.zeros(intracranial.shape, bool)
    fluid = deep & (smooth < threshold) & (smooth > threshold - DARKEST_HU)
    return _reaching_deep(fluid, depth_mm, voxel_ml)


def _depth_mm(intracranial: Mask, spacing_mm: float) -> Array:
    """Return the distance from the rim of the space, holes of thin things inside closed."""
    reach = int(np.ceil(CLOSED_MM / spacing_mm)) + 1
    padded = np.pad(intracranial, reach)
    if not padded.any():
        return np.zeros(intracranial.shape)
    radius = CLOSED_MM / spacing_mm
    grown = ndimage.distance_transform_edt(~padded) <= radius
    closed = (ndimage.distance_transform_edt(grown) > radius) | padded
    depth = np.asarray(ndimage.distance_transform_edt(closed)) * spacing_mm
    return depth[tuple(slice(reach, -reach) for _ in range(3))]


def _reaching_deep(fluid: Mask, depth_mm: Array, voxel_ml: float) -> Mask:
    labels, count = ndimage.label(fluid)
    if count == 0:
        return fluid
    index = np.arange(1, count + 1)
    deepest = ndimage.maximum(depth_mm, labels, index)
    size_ml = np.bincount(labels.ravel(), minlength=count + 1)[1:] * voxel_ml
    kept = (np.asarray(deepest) >= CORE_MM) & (size_ml >= SMALLEST_ML)
    return np.asarray(np.concatenate([[False], kept])[labels])
