"""A synthetic CT and its truth on one grid, cut to what both of them show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from TomoRayCore.coordinates import Affine
from TomoRayCore.errors import InputError
from TomoRayCore.resample import inside, reorient_to_lps, resample
from TomoRayCore.scores.arrays import Mask
from TomoRayCore.volume import AIR_HU, Volume

CUBIC_TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class Pair:
    """Two volumes on the same cubic voxels in LPS order; air wherever either has none.

    Attributes:
        sct: Synthetic CT.
        ct: Truth, interpolated onto the synthetic CT's voxels where they differ.
        spacing_mm: Voxel size.
    """

    sct: Volume
    ct: Volume
    spacing_mm: float


def paired(sct: Volume, ct: Volume, mask: NDArray[np.generic] | None = None) -> Pair:
    """Return both volumes on the synthetic CT's voxels, within the box of what counts.

    Voxels inside the box that do not count become air in both.

    Args:
        sct: Synthetic CT.
        ct: Truth on any grid.
        mask: (D, H, W) of the synthetic CT as given: what counts, e.g. the scanned slices.

    Raises:
        InputError: ``SYNTHETIC_INPUT``, ``NO_OVERLAP`` or ``BAD_MASK`` as for
            ``metrics.compare``; ``VOXELS_NOT_CUBIC`` for a synthetic CT of other voxels.
    """
    if ct.is_synthetic:
        raise InputError(
            "SYNTHETIC_INPUT",
            "The ground truth is marked as a synthetic CT.",
            "Give the real CT as ground truth; a comparison with another synthetic CT says "
            "nothing about the patient.",
        )
    sizes = sct.spacing_ijk_mm
    if max(sizes) > min(sizes) * (1 + CUBIC_TOLERANCE):
        raise InputError(
            "VOXELS_NOT_CUBIC",
            f"The synthetic CT has voxels of {sizes[0]:g} x {sizes[1]:g} x {sizes[2]:g} mm.",
            "Resample it onto cubic voxels before it is scored.",
        )
    ours = reorient_to_lps(sct)
    counted = inside(ours.grid, ct.grid)
    if mask is not None:
        counted &= _mask_in_lps(sct, mask)
    if not counted.any():
        raise InputError(
            "NO_OVERLAP",
            "The synthetic CT and the ground truth share no voxel to compare.",
            "Check that both belong to the same examination and keep their place in the world.",
        )
    box = ndimage.find_objects(counted.astype(np.int8))[0]
    affine = _moved(ours.ijk_to_lps, box)
    sct_cut, ct_cut = (
        Volume(np.where(counted[box], one.array_hu[box], AIR_HU).astype(np.float32), affine)
        for one in (ours, resample(ct, ours.grid))
    )
    return Pair(sct_cut, ct_cut, float(np.mean(sizes)))


def _mask_in_lps(sct: Volume, mask: NDArray[np.generic]) -> Mask:
    if np.shape(mask) != sct.shape:
        raise InputError(
            "BAD_MASK",
            f"The mask's shape {np.shape(mask)} is not the synthetic CT's {sct.shape}.",
            "Give one mask value for each voxel of the synthetic CT.",
        )
    chosen = Volume((np.asarray(mask) != 0).astype(np.int16), sct.ijk_to_lps)
    return np.asarray(reorient_to_lps(chosen).array_hu > 0)


def _moved(ijk_to_lps: Affine, box: tuple[slice, ...]) -> Affine:
    moved = np.array(ijk_to_lps)
    first_ijk = np.array([part.start for part in reversed(box)], float)
    moved[:3, 3] += moved[:3, :3] @ first_ijk
    return moved
