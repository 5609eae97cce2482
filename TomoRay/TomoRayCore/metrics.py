"""How far a synthetic CT is from the truth, each number with its definition.

Published numbers of this field differ in HU range, peak, averaging and SSIM window, so that a
bare "PSNR 30 dB" says nothing. Everything here is computed over the whole volume unless its name
says otherwise, on the window that the result names, in the voxels that both volumes cover.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.errors import InputError
from TomoRayCore.resample import inside, reorient_to_lps, resample
from TomoRayCore.volume import Volume
from TomoRayCore.windows import FULL, Window

Mask = NDArray[np.bool_]
Values = NDArray[np.float32]

BONE_HU = 300.0
BODY_HU = -300.0
UNIFORM_SIZE = 7
GAUSSIAN_SIGMA = 1.5
GAUSSIAN_SIZE = 11

DEFINITIONS: dict[str, str] = {
    "mae_hu": "mean absolute error in HU, not clipped",
    "mae_window_hu": "mean absolute error in HU after clipping both volumes to the window",
    "mae_body_hu": "mean absolute error in HU, not clipped, inside the body",
    "mae_bone_hu": "mean absolute error in HU, not clipped, where the CT is above 300 HU",
    "psnr_db": "PSNR over the volume, window mapped to [0, 1], data range 1",
    "psnr_body_db": "PSNR inside the body, window mapped to [0, 1], data range 1",
    "psnr_axial_db": "mean of the axial slices' PSNR, window mapped to [0, 1], data range 1; "
    "slices without error left out",
    "ssim": "SSIM over the volume, uniform 7 x 7 x 7 window, data range 1, K1 0.01, K2 0.03, "
    "sample covariance",
    "ssim_body": "mean of the same SSIM map inside the body",
    "ssim_gaussian": "SSIM over the volume, Gaussian 11 x 11 x 11 window of sigma 1.5, data range "
    "1, K1 0.01, K2 0.03, population covariance",
    "ssim_axial": "mean of the axial slices' SSIM, uniform 7 x 7 window, data range 1, K1 0.01, "
    "K2 0.03, sample covariance",
    "cosine_similarity": "cosine of the angle between both volumes, window mapped to [0, 1]",
    "dice_bone": "Dice overlap of the voxels above 300 HU, not clipped",
}
"""What each number means. The body is where the CT is above -300 HU, holes filled in each axial
slice, table included where there is one."""

LABELS: dict[str, str] = {
    "mae_hu": "MAE (HU)",
    "mae_window_hu": "MAE, windowed (HU)",
    "mae_body_hu": "MAE, body (HU)",
    "mae_bone_hu": "MAE, bone (HU)",
    "psnr_db": "PSNR (dB)",
    "psnr_body_db": "PSNR, body (dB)",
    "psnr_axial_db": "PSNR, axial mean (dB)",
    "ssim": "SSIM 3D, uniform 7",
    "ssim_body": "SSIM 3D, body",
    "ssim_gaussian": "SSIM 3D, Gaussian 11",
    "ssim_axial": "SSIM, axial mean",
    "cosine_similarity": "Cosine similarity",
    "dice_bone": "Dice, bone > 300 HU",
}
"""Short names for tables and pictures."""


@dataclass(frozen=True)
class Metrics:
    """Agreement of a synthetic CT with its truth; ``DEFINITIONS`` says what each number is.

    A number is NaN where it has no meaning (no bone in the CT, a volume too small for an SSIM
    window, a cosine with nothing) and infinite where two volumes are equal (PSNR).

    Attributes:
        window: The HU window of PSNR, SSIM, cosine and ``mae_window_hu``.
        evaluated_voxels: How many voxels of the sCT were compared.
        evaluated_share: The same as a share of the sCT: what lies in the CT's field and the mask.
        resampled: Whether the CT was interpolated onto the sCT's grid.
        masked: Whether the caller narrowed the comparison.
        spacing_ijk_mm: Voxel size of the comparison.
    """

    window: Window
    mae_hu: float
    mae_window_hu: float
    mae_body_hu: float
    mae_bone_hu: float
    psnr_db: float
    psnr_body_db: float
    psnr_axial_db: float
    ssim: float
    ssim_body: float
    ssim_gaussian: float
    ssim_axial: float
    cosine_similarity: float
    dice_bone: float
    evaluated_voxels: int
    evaluated_share: float
    resampled: bool
    masked: bool
    spacing_ijk_mm: tuple[float, float, float]

    def values(self) -> dict[str, float]:
        """Return the numbers by name, in the order of ``DEFINITIONS``."""
        return {name: float(getattr(self, name)) for name in DEFINITIONS}

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: the numbers, how they were made, and the definitions.

        JSON knows neither infinity nor NaN: such a number is None and its name stands in
        ``infinite`` (a perfect PSNR) or ``undefined``.
        """
        values = self.values()
        numbers = {name: v if math.isfinite(v) else None for name, v in values.items()}
        return {
            **numbers,
            "window": self.window.name,
            "window_low_hu": self.window.low_hu,
            "window_high_hu": self.window.high_hu,
            "evaluated_voxels": self.evaluated_voxels,
            "evaluated_share": self.evaluated_share,
            "ct_resampled": self.resampled,
            "masked": self.masked,
            "spacing_ijk_mm": list(self.spacing_ijk_mm),
            "infinite": [name for name, v in values.items() if math.isinf(v)],
            "undefined": [name for name, v in values.items() if math.isnan(v)],
            "definitions": dict(DEFINITIONS),
            "libraries": f"numpy {np.__version__}, scikit-image {version('scikit-image')}",
        }


def compare(
    sct: Volume, ct: Volume, window: Window = FULL, mask: NDArray[np.generic] | None = None
) -> Metrics:
    """Return the agreement of a synthetic CT with its ground truth.

    Grids and orientations may differ: the CT is interpolated onto the sCT's voxels (brought to the
    nearest LPS axis order, so that "axial" means axial), and only voxels inside the CT's field are
    compared.

    Args:
        sct: Synthetic CT.
        ct: Ground truth.
        window: HU window of the windowed numbers.
        mask: (D, H, W) of the sCT as given: compare only where it is not 0, e.g. scanned slices.

    Raises:
        InputError: ``SYNTHETIC_INPUT`` for a ground truth marked as synthetic, ``NO_OVERLAP`` when
            nothing is left to compare, ``BAD_MASK`` for a mask of another shape.
    """
    if ct.is_synthetic:
        raise InputError(
            "SYNTHETIC_INPUT",
            "The ground truth is marked as a synthetic CT.",
            "Give the real CT as ground truth; a comparison with another synthetic CT says "
            "nothing about the patient.",
        )
    resampled = not sct.grid.same_as(ct.grid)
    where, sct_lps = _evaluated(sct, ct, mask)
    truth = resample(ct, sct_lps.grid)
    crop = _bounding_box(where)
    pair = _Pair(
        sct_lps.array_hu[crop].astype(np.float32),
        truth.array_hu[crop].astype(np.float32),
        np.ascontiguousarray(where[crop]),
        window,
    )
    return Metrics(
        window=window,
        **pair.numbers(),
        evaluated_voxels=int(where.sum()),
        evaluated_share=float(where.mean()),
        resampled=resampled,
        masked=mask is not None,
        spacing_ijk_mm=sct.spacing_ijk_mm,
    )


def body_mask(volume_hu: NDArray[np.generic]) -> Mask:
    """Return where a (D, H, W) CT shows the patient, holes filled in each axial slice."""
    from scipy import ndimage

    above = np.asarray(volume_hu) > BODY_HU
    return np.stack([ndimage.binary_fill_holes(plane) for plane in above])


def _evaluated(sct: Volume, ct: Volume, mask: NDArray[np.generic] | None) -> tuple[Mask, Volume]:
    """Return which voxels to compare and the sCT, both in the nearest LPS axis order."""
    if mask is not None and np.shape(mask) != sct.shape:
        raise InputError(
            "BAD_MASK",
            f"The mask's shape {np.shape(mask)} is not the synthetic CT's {sct.shape}.",
            "Give one mask value for each voxel of the synthetic CT.",
        )
    sct_lps = reorient_to_lps(sct)
    where = inside(sct_lps.grid, ct.grid)
    if mask is not None:
        chosen = Volume((np.asarray(mask) != 0).astype(np.int16), sct.ijk_to_lps)
        where &= reorient_to_lps(chosen).array_hu > 0
    if not where.any():
        raise InputError(
            "NO_OVERLAP",
            "The synthetic CT and the ground truth share no voxel to compare.",
            "Check that both belong to the same examination and keep their place in the world.",
        )
    return where, sct_lps


def _bounding_box(where: Mask) -> tuple[slice, slice, slice]:
    k, j, i = (
        slice(int(hit[0]), int(hit[-1]) + 1)
        for hit in (
            np.flatnonzero(where.any(axis=tuple(a for a in range(3) if a != axis)))
            for axis in range(3)
        )
    )
    return k, j, i


class _Pair:
    """Two cropped volumes with the mask of what counts."""

    def __init__(self, sct_hu: Values, ct_hu: Values, where: Mask, window: Window) -> None:
        self.sct_hu, self.ct_hu, self.where = sct_hu, ct_hu, where
        self.window = window
        # Outside the mask both get the same value, so that SSIM windows at its border see no
        # difference that is not the patient's.
        self.sct = np.where(where, window.normalise(sct_hu), np.float32(0))
        self.ct = np.where(where, window.normalise(ct_hu), np.float32(0))
        self.body = body_mask(ct_hu) & where

    def numbers(self) -> Mapping[str, Any]:
        """Return every number of ``DEFINITIONS`` by name."""
        error_hu = np.abs(self.sct_hu - self.ct_hu)
        squared = (self.sct - self.ct) ** 2
        bone = (self.ct_hu > BONE_HU) & self.where
        ssim, ssim_body = self._ssim_uniform()
        psnr_axial, ssim_axial = self._axial(squared)
        return {
            "mae_hu": _mean(error_hu, self.where),
            "mae_window_hu": _mean(np.abs(self.sct - self.ct), self.where) * self.window.width_hu,
            "mae_body_hu": _mean(error_hu, self.body),
            "mae_bone_hu": _mean(error_hu, bone),
            "psnr_db": _psnr(squared, self.where),
            "psnr_body_db": _psnr(squared, self.body),
            "psnr_axial_db": psnr_axial,
            "ssim": ssim,
            "ssim_body": ssim_body,
            "ssim_gaussian": self._ssim_gaussian(),
            "ssim_axial": ssim_axial,
            "cosine_similarity": _cosine(self.sct[self.where], self.ct[self.where]),
            "dice_bone": _dice((self.sct_hu > BONE_HU) & self.where, bone),
        }

    def _ssim_uniform(self) -> tuple[float, float]:
        if min(self.ct.shape) < UNIFORM_SIZE:
            return math.nan, math.nan
        similarity = _ssim_map(self.ct, self.sct, win_size=UNIFORM_SIZE)
        # As scikit-image does: windows that reach over the border do not count.
        inner = _without_border(self.where, UNIFORM_SIZE // 2)
        return _mean(similarity, inner), _mean(similarity, inner & self.body)

    def _ssim_gaussian(self) -> float:
        if min(self.ct.shape) < GAUSSIAN_SIZE:
            return math.nan
        similarity = _ssim_map(
            self.ct,
            self.sct,
            gaussian_weights=True,
            sigma=GAUSSIAN_SIGMA,
            use_sample_covariance=False,
        )
        return _mean(similarity, _without_border(self.where, GAUSSIAN_SIZE // 2))

    def _axial(self, squared: Values) -> tuple[float, float]:
        too_small = min(self.ct.shape[1:]) < UNIFORM_SIZE
        psnrs, ssims = [], []
        for k in np.flatnonzero(self.where.any(axis=(1, 2))):
            psnr = _psnr(squared[k], self.where[k])
            if math.isfinite(psnr):
                psnrs.append(psnr)
            if too_small:
                continue
            similarity = _ssim_map(self.ct[k], self.sct[k], win_size=UNIFORM_SIZE)
            inner = _without_border(self.where[k], UNIFORM_SIZE // 2)
            if inner.any():
                ssims.append(_mean(similarity, inner))
        return (
            float(np.mean(psnrs)) if psnrs else math.inf,
            float(np.mean(ssims)) if ssims else math.nan,
        )


def _ssim_map(first: Values, second: Values, **options: Any) -> Values:
    """Return scikit-image's SSIM at every voxel, data range 1."""
    from skimage.metrics import structural_similarity

    measure: Callable[..., Any] = structural_similarity
    _, similarity = measure(first, second, data_range=1.0, full=True, **options)
    return np.asarray(similarity, np.float32)


def _mean(values: Values, where: Mask) -> float:
    return float(values[where].mean(dtype=np.float64)) if where.any() else math.nan


def _psnr(squared_error: Values, where: Mask) -> float:
    mean = _mean(squared_error, where)
    return math.inf if mean == 0 else -10 * math.log10(mean) if mean > 0 else math.nan


def _cosine(first: Values, second: Values) -> float:
    a, b = first.astype(np.float64), second.astype(np.float64)
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length > 0 else math.nan


def _dice(first: Mask, second: Mask) -> float:
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else math.nan


def _without_border(where: Mask, width: int) -> Mask:
    inner = np.zeros_like(where)
    middle = tuple(slice(width, n - width) for n in where.shape)
    inner[middle] = where[middle]
    return inner
