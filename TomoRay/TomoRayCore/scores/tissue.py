"""Errors in HU by tissue, and the overlap of structures: what a whole-volume PSNR cannot see.

Tissues are masks of the truth alone, so that a synthetic CT cannot choose where it is judged.
Structures are segmented in both volumes by the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.metrics import BONE_HU, body_mask
from TomoRayCore.regions import AIR_HU_BELOW, head_regions
from TomoRayCore.scores.arrays import Mask, checked_masks, checked_pair, mean_in
from TomoRayCore.scores.card import Card
from TomoRayCore.scores.ventricles import (
    BRAIN_RANGE_HU,
    CONTRAST_HU,
    CORE_MM,
    DARKEST_HU,
    RIM_MM,
    fluid_threshold_hu,
    segment_ventricles,
)

_FLUID_HU = CONTRAST_HU / 2

TISSUES: Mapping[str, str] = {
    "air": f"CT below {AIR_HU_BELOW:g} HU, around the head and in it",
    "soft_tissue": f"CT from {AIR_HU_BELOW:g} to {BONE_HU:g} HU outside the intracranial space",
    "brain": f"intracranial space of the CT, {BRAIN_RANGE_HU[0]:g} to {BRAIN_RANGE_HU[1]:g} HU, "
    "its fluid included",
    "csf": f"intracranial space of the CT, darker than its brain's median by {_FLUID_HU:g} to "
    f"{_FLUID_HU + DARKEST_HU:g} HU, not smoothed: ventricles, sulci and cisterns",
    "bone": f"CT above {BONE_HU:g} HU",
}
"""Where each tissue is. Brain and CSF overlap."""

STRUCTURES: Mapping[str, str] = {
    "bone": f"above {BONE_HU:g} HU",
    "intracranial": "space inside the skull with gaps closed, found in each volume by itself",
    "ventricles": f"fluid ({_FLUID_HU:g} HU below the median of each volume's own brain) in the CT's "
    f"intracranial space, {RIM_MM:g} mm from its rim, in parts that reach {CORE_MM:g} mm deep",
    "air": f"below {AIR_HU_BELOW:g} HU",
    "inner_air": f"below {AIR_HU_BELOW:g} HU inside the body: sinuses, airway",
}
"""What is segmented in both volumes."""

_IN_MASK = "HU as they are, not clipped"
CARDS: dict[str, Card] = {
    **{
        f"{measure}_{name}_hu": Card(words, scale=_IN_MASK, mask=where, averaging=averaging)
        for name, where in TISSUES.items()
        for measure, words, averaging in (
            ("mae", "mean absolute error in HU", "mean over the mask's voxels"),
            ("rmse", "root mean square error in HU", "root of the mean square over the mask"),
        )
    },
    **{
        f"dice_{name}": Card("Dice overlap", mask=where, averaging="whole volume")
        for name, where in STRUCTURES.items()
    },
    "ventricle_volume_ml": Card(
        "volume of the CT's ventricles in ml", mask=STRUCTURES["ventricles"], averaging="sum"
    ),
    "ventricle_error_ml": Card(
        "volume of the sCT's ventricles less that of the CT's in ml, signed",
        mask=STRUCTURES["ventricles"],
        averaging="sum",
    ),
}
"""The numbers of ``tissue_scores``."""


Structures = Mapping[str, Mask | None]
"""Masks of one volume by the names of ``STRUCTURES``; None where there is no way to find one."""


def segment(
    volume_hu: NDArray[np.generic], spacing_mm: float, space: Mask | None = None
) -> Structures:
    """Return the structures of a (D, H, W) volume on an isotropic grid along the patient's axes.

    Args:
        volume_hu: HU.
        spacing_mm: Voxel size.
        space: Where to look for ventricles: the truth's intracranial space, so that a skull that
            a synthetic CT lacks is not counted against its ventricles. None: the volume's own.
    """
    regions = head_regions(volume_hu, spacing_mm)
    intracranial = regions["intracranial"]
    space = intracranial if space is None else space
    return {
        "bone": np.asarray(volume_hu) > BONE_HU,
        "intracranial": intracranial,
        "ventricles": segment_ventricles(volume_hu, space, spacing_mm),
        "air": regions["air"],
        "inner_air": regions["air"] & body_mask(volume_hu),
    }


def tissue_masks(ct_hu: NDArray[np.generic], intracranial: Mask) -> dict[str, Mask]:
    """Return the masks of ``TISSUES`` of a truth, given its intracranial space."""
    ct = np.asarray(ct_hu)
    air, bone = ct < AIR_HU_BELOW, ct > BONE_HU
    low, high = BRAIN_RANGE_HU
    threshold = fluid_threshold_hu(ct, intracranial)
    fluid = np.zeros(ct.shape, bool)
    if threshold is not None:
        fluid = intracranial & (ct < threshold) & (ct > threshold - DARKEST_HU)
    return {
        "air": air,
        "soft_tissue": ~air & ~bone & ~intracranial,
        "brain": intracranial & (ct >= low) & (ct <= high),
        "csf": fluid,
        "bone": bone,
    }


def dice(first: NDArray[np.generic], second: NDArray[np.generic]) -> float | None:
    """Return twice the common part over the sum of two masks; None when both are empty.

    Raises:
        InputError: ``BAD_SHAPE`` for masks of different shapes.
    """
    one, other = checked_masks(first, second)
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else None


def tissue_scores(
    sct_hu: NDArray[np.generic],
    ct_hu: NDArray[np.generic],
    spacing_mm: float,
    structures: tuple[Structures, Structures] | None = None,
) -> dict[str, float | None]:
    """Return the numbers of ``CARDS``.

    Args:
        sct_hu: (D, H, W) HU on an isotropic grid along the patient's axes.
        ct_hu: The truth, same shape.
        spacing_mm: Voxel size.
        structures: Of both, when they are known already.

    Raises:
        InputError: ``BAD_SHAPE`` or ``NON_FINITE``.
    """
    sct, ct = checked_pair(sct_hu, ct_hu)
    ours, truth = structures or segment_pair(sct, ct, spacing_mm)
    space = truth["intracranial"]
    masks = tissue_masks(ct, np.zeros(ct.shape, bool) if space is None else space)
    scores: dict[str, float | None] = {}
    for name, mask in masks.items():
        mean_square = mean_in((sct - ct) ** 2, mask)
        scores[f"mae_{name}_hu"] = mean_in(np.abs(sct - ct), mask)
        scores[f"rmse_{name}_hu"] = None if mean_square is None else float(np.sqrt(mean_square))
    for name in STRUCTURES:
        one, other = ours[name], truth[name]
        scores[f"dice_{name}"] = None if one is None or other is None else dice(one, other)
    return {**scores, **_ventricle_volumes(ours, truth, spacing_mm)}


def segment_pair(
    sct_hu: NDArray[np.generic], ct_hu: NDArray[np.generic], spacing_mm: float
) -> tuple[Structures, Structures]:
    """Return the structures of a synthetic CT and its truth, ventricles in the truth's space."""
    truth = segment(ct_hu, spacing_mm)
    return segment(sct_hu, spacing_mm, truth["intracranial"]), truth


def _ventricle_volumes(
    ours: Structures, truth: Structures, spacing_mm: float
) -> dict[str, float | None]:
    voxel_ml = spacing_mm**3 / 1000
    one, other = ours["ventricles"], truth["ventricles"]
    real_ml = None if other is None else float(other.sum()) * voxel_ml
    found_ml = None if one is None else float(one.sum()) * voxel_ml
    error_ml = None if found_ml is None or real_ml is None else found_ml - real_ml
    return {"ventricle_volume_ml": real_ml, "ventricle_error_ml": error_ml}
