"""PSNR and SSIM as each paper of the field calculates them, and as TomoRay recommends it.

"PSNR 26 dB" of one paper is "22 dB" of another on the same pair of volumes. ``DEFINITIONS`` holds
every definition by name; none is altered to be sensible, so that published tables can be compared
with. What a publication leaves open is a *reading*, and its card says so. Read the ``recommended``
one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.metrics import body_mask
from TomoRayCore.scores.arrays import Array, Mask, checked_pair, cosine, mean_in, psnr_db
from TomoRayCore.scores.card import Card, Score
from TomoRayCore.scores.similarity import Ssim
from TomoRayCore.windows import BRAIN, BRAIN_NARROW, X2CT, Window

Values = dict[str, float | None]

RAW_OFFSET = 1024
RAW_TOP = 2500
X2CT_PEAK = 4095.0
"""Peak that the X2CT family divides by, though its values end at 2500: 4.286 dB too many."""

EMPTY_SLICE_DB = 100.0
"""What a slice without any error counts in that family: for padded slices, of air alone."""

SLICES_7 = Ssim("uniform", sample_covariance=True)
CUBE_7 = Ssim("uniform", sample_covariance=True)
CUBE_7_RANGE_2 = Ssim("uniform", data_range=2.0, sample_covariance=True)
GAUSSIAN_PADDED = Ssim("gaussian", zero_padding=True)
GAUSSIAN = Ssim("gaussian")

PER_SLICE_DB = "of the slices across each axis, one without error as 100 dB, then of the three axes"


@dataclass(frozen=True)
class Definition:
    """One paper's numbers.

    Attributes:
        name: Key in ``DEFINITIONS``.
        measure: From two (D, H, W) volumes in HU to the numbers by name.
        cards: What each number is; the same names.
    """

    name: str
    measure: Callable[[NDArray[np.generic], NDArray[np.generic]], Values]
    cards: Mapping[str, Card]

    def scores(self, sct_hu: NDArray[np.generic], ct_hu: NDArray[np.generic]) -> dict[str, Score]:
        """Return the numbers with their cards."""
        values = self.measure(sct_hu, ct_hu)
        return {name: Score(values[name], card) for name, card in self.cards.items()}


def x2ct(sct_hu: NDArray[np.generic], ct_hu: NDArray[np.generic]) -> Values:
    """Return X2CT-GAN's ``psnr``, ``psnr_3d`` and ``ssim`` (Ying et al., CVPR 2019).

    Values are HU + 1024 cut to [0, 2500]; PSNRs take them as integers with a peak of 4095.

    Args:
        sct_hu: (D, H, W) HU.
        ct_hu: The truth, same shape.

    Raises:
        InputError: ``BAD_SHAPE`` or ``NON_FINITE``, as every definition here does.
    """
    sct, ct = checked_pair(sct_hu, ct_hu)
    squared = (_raw_integers(sct) - _raw_integers(ct)) ** 2
    whole = psnr_db(float(squared.mean()), X2CT_PEAK)
    return {
        "psnr": _slices_psnr(squared, X2CT_PEAK),
        "psnr_3d": EMPTY_SLICE_DB if whole is None else whole,
        "ssim": SLICES_7.slices(_unit(sct, X2CT), _unit(ct, X2CT)),
    }


def perx2ct(sct_hu: NDArray[np.generic], ct_hu: NDArray[np.generic]) -> Values:
    """Return PerX2CT's ``psnr`` (X2CT's) and ``ssim`` (3-D, L 2; Kyung et al., ICASSP 2023)."""
    sct, ct = checked_pair(sct_hu, ct_hu)
    squared = (_raw_integers(sct) - _raw_integers(ct)) ** 2
    return {
        "psnr": _slices_psnr(squared, X2CT_PEAK),
        "ssim": CUBE_7_RANGE_2.volume(_unit(sct, X2CT), _unit(ct, X2CT)),
    }


def duolift(sct_hu: NDArray[np.generic], ct_hu: NDArray[np.generic]) -> Values:
    """Return DuoLift-GAN's ``psnr_2d``, ``psnr_3d``, ``ssim_2d`` and ``ssim_3d``: a reading."""
    sct, ct = (_unit(volume, X2CT) for volume in checked_pair(sct_hu, ct_hu))
    squared = (sct - ct) ** 2
    return {
        "psnr_2d": _slices_psnr(squared, 1.0),
        "psnr_3d": psnr_db(float(squared.mean()), 1.0),
        "ssim_2d": GAUSSIAN_PADDED.slices(sct, ct),
        "ssim_3d": GAUSSIAN_PADDED.volume(sct, ct),
    }


def cranial(
    sct_hu: NDArray[np.generic], ct_hu: NDArray[np.generic], window: Window = BRAIN_NARROW
) -> Values:
    """Return ``psnr``, ``ssim``, ``ssim_3d``, ``cosine`` of the cranial papers: a reading.

    They state a brain window of level 40, width 40 in the text and width 80 in figures, and no
    definition of PSNR and SSIM; the same PSNR stands beside different SSIMs for the same data.
    """
    sct, ct = (_unit(volume, window) for volume in checked_pair(sct_hu, ct_hu))
    return {
        "psnr": psnr_db(float(((sct - ct) ** 2).mean()), 1.0),
        "ssim": SLICES_7.slices(sct, ct),
        "ssim_3d": CUBE_7.volume(sct, ct),
        "cosine": cosine(sct, ct),
    }


def recommended(
    sct_hu: NDArray[np.generic], ct_hu: NDArray[np.generic], body: Mask | None = None
) -> Values:
    """Return ``psnr``, ``psnr_body``, ``ssim``, ``ssim_body`` and ``cosine`` of whole volumes.

    Args:
        sct_hu: (D, H, W) HU.
        ct_hu: The truth, same shape.
        body: Where the truth shows the patient; found by ``metrics.body_mask`` when None.
    """
    sct_raw, ct_raw = checked_pair(sct_hu, ct_hu)
    body = body_mask(ct_raw) if body is None else body
    sct, ct = _unit(sct_raw, X2CT), _unit(ct_raw, X2CT)
    squared = (sct - ct) ** 2
    return {
        "psnr": psnr_db(float(squared.mean()), 1.0),
        "psnr_body": psnr_db(mean_in(squared, body), 1.0),
        "ssim": GAUSSIAN.volume(sct, ct),
        "ssim_body": GAUSSIAN.volume(sct, ct, body),
        "cosine": cosine(sct, ct),
    }


def _raw_integers(volume_hu: Array) -> Array:
    """Return whole numbers, cut off towards zero as the published code does."""
    return np.trunc(np.clip(volume_hu + RAW_OFFSET, 0, RAW_TOP))


def _unit(volume_hu: Array, window: Window) -> Array:
    """Return [0, 1] in float64: ``Window.normalise`` rounds to float32."""
    scaled: Array = (volume_hu - window.low_hu) / window.width_hu
    return np.clip(scaled, 0, 1)


def _slices_psnr(squared: Array, peak: float) -> float:
    axes = []
    for across in ((1, 2), (0, 2), (0, 1)):
        slices = [psnr_db(float(error), peak) for error in squared.mean(axis=across)]
        axes.append(np.mean([EMPTY_SLICE_DB if one is None else one for one in slices]))
    return float(np.mean(axes))


def _card(quantity: str, clip: Window, source: str, /, **more: str) -> Card:
    limits = f"[{clip.low_hu:g}, {clip.high_hu:g}] HU"
    return Card(quantity, **{"clip": limits, "scale": "[0, 1]", "source": source, **more})


def _x2ct_psnr(source: str, averaging: str) -> Card:
    scale = "whole numbers 0 to 2500, cut off; without the code's rounding through float32"
    quantity = "PSNR in dB"
    return _card(quantity, X2CT, source, scale=scale, data_range="4095", averaging=averaging)


def _psnr(window: Window, source: str, **more: str) -> Card:
    return _card("PSNR in dB", window, source, **{"data_range": "1", **more})


def _ssim(window: Window, source: str, ssim: Ssim, dimensions: int, **more: str) -> Card:
    averaging = "of the voxels" if dimensions == 3 else "of the slices, then of the three axes"
    fields = {
        "data_range": f"{ssim.data_range:g}",
        "window": ssim.describe(dimensions),
        "averaging": f"mean {averaging}",
    }
    return _card("SSIM", window, source, **{**fields, **more})


def _definitions() -> dict[str, Definition]:
    per_slice, volume = f"mean {PER_SLICE_DB}", "mean squared error of the volume"
    ying = "X2CT-GAN, as its test code does"
    kyung = "PerX2CT, as its test code does with scikit-image 0.19"
    lift = "DuoLift-GAN; a reading: no code is public, zero padding is its SSIM library's"
    found = [
        Definition(
            "x2ct",
            x2ct,
            {
                "psnr": _x2ct_psnr(ying, per_slice),
                "psnr_3d": _x2ct_psnr(ying, f"{volume}; no error counts 100 dB"),
                "ssim": _ssim(X2CT, ying, SLICES_7, 2),
            },
        ),
        Definition(
            "perx2ct",
            perx2ct,
            {
                "psnr": _x2ct_psnr(kyung, per_slice),
                "ssim": _ssim(X2CT, kyung, CUBE_7_RANGE_2, 3),
            },
        ),
        Definition(
            "duolift",
            duolift,
            {
                "psnr_2d": _psnr(X2CT, lift, averaging=per_slice),
                "psnr_3d": _psnr(X2CT, lift, averaging=volume),
                "ssim_2d": _ssim(X2CT, lift, GAUSSIAN_PADDED, 2),
                "ssim_3d": _ssim(X2CT, lift, GAUSSIAN_PADDED, 3),
            },
        ),
        _cranial_definition("cranial_narrow", BRAIN_NARROW, volume),
        _cranial_definition("cranial_display", BRAIN, volume),
        _recommended_definition(volume),
    ]
    return {definition.name: definition for definition in found}


def _cranial_definition(name: str, window: Window, volume: str) -> Definition:
    source = "cranial GAN and CNN-INR papers; a reading: they define neither PSNR nor SSIM"

    def measure(sct_hu: NDArray[np.generic], ct_hu: NDArray[np.generic]) -> Values:
        return cranial(sct_hu, ct_hu, window)

    cards = {
        "psnr": _psnr(window, source, averaging=volume),
        "ssim": _ssim(window, source, SLICES_7, 2),
        "ssim_3d": _ssim(window, source, CUBE_7, 3),
        "cosine": _card("cosine similarity", window, source, averaging="one vector"),
    }
    return Definition(name, measure, cards)


def _recommended_definition(volume: str) -> Definition:
    body = "the CT's body: above -300 HU, holes filled in each axial slice"
    inside = f"voxels of {body}"
    cards = {
        "psnr": _psnr(X2CT, "TomoRay", averaging=volume),
        "psnr_body": _psnr(X2CT, "TomoRay", averaging="mean squared error there", mask=inside),
        "ssim": _ssim(X2CT, "TomoRay", GAUSSIAN, 3),
        "ssim_body": _ssim(X2CT, "TomoRay", GAUSSIAN, 3, mask=inside),
        "cosine": _card("cosine similarity", X2CT, "TomoRay", averaging="one vector"),
    }
    return Definition("recommended", recommended, cards)


DEFINITIONS: Mapping[str, Definition] = MappingProxyType(_definitions())
"""Every definition by name."""
