"""DRRs to files: float32 NRRD and TIFF, 16-bit PNG for eyes, DICOM; all with their geometry."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.io.atomic import atomic_path
from TomoRayCore.io.drr_file import (
    DrrHeader,
    DrrRecord,
    FileQuantity,
    GreyScale,
    checked_pixels,
)
from TomoRayCore.io.picture_out import GREY_LEVELS, nrrd_bytes, png_bytes, tiff_bytes

SUFFIX_OF_FORMAT = {"nrrd": ".nrrd", "tiff": ".tif", "png": ".png", "dicom": ".dcm"}
"""The formats by the names that users give them."""

SMALLEST_SPAN = 1e-6


def write_drr(
    path: str | os.PathLike[str],
    pixels: NDArray[np.floating[Any]],
    acquisition: AcquisitionGeometry,
    label: str,
    *,
    quantity: FileQuantity = "line_integral",
    record: DrrRecord | None = None,
    window: Sequence[float] | None = None,
) -> None:
    """Write one view with its geometry; the suffix names the format.

    ``.nrrd`` and ``.tif`` keep float32 to the last bit. ``.png`` and ``.dcm`` have 16 bits: what
    is read back is within half a step of 1/65535 of the image's range. In pictures air is black
    and bone white.

    Args:
        path: Ends in .nrrd, .tif, .tiff, .png or .dcm.
        pixels: (H, W), the size of the view's detector.
        acquisition: All views of the examination.
        label: Which of them this is.
        quantity: What a pixel's number means.
        record: How the DRR was made.
        window: Values at black and white of a PNG, which then is for eyes only. Default: what
            air and the most attenuated pixel have.

    Raises:
        InputError: ``UNSUPPORTED_FORMAT``, ``VIEW_UNKNOWN``, ``GEOMETRY_CONTRADICTION``,
            ``NON_FINITE``, ``BAD_WINDOW`` or ``NOT_WRITABLE``.
        SetupError: ``DISK_FULL``.
    """
    target = Path(path)
    header = DrrHeader(label, quantity, acquisition, record or DrrRecord())
    suffix = target.suffix.lower()
    if suffix not in (*SUFFIX_OF_FORMAT.values(), ".tiff"):
        raise InputError(
            "UNSUPPORTED_FORMAT",
            f"{target.name} is no name for a DRR (suffix {target.suffix!r}).",
            f"Use one of {', '.join(SUFFIX_OF_FORMAT.values())}.",
        )
    values = checked_pixels(pixels, header)
    spacing_mm = acquisition.view(label).pixel_spacing_mm
    if suffix == ".dcm":
        # Imported here: pydicom costs a quarter of a second and is needed for DICOM only.
        from TomoRayCore.io.drr_dicom_out import dicom_bytes

        content = dicom_bytes(values, header)
    elif suffix == ".png":
        content = _png(values, header, window)
    elif suffix == ".nrrd":
        content = nrrd_bytes(values, spacing_mm, header.to_keys())
    else:
        content = tiff_bytes(values, spacing_mm, json.dumps(header.to_keys()))
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def natural_scale(values: NDArray[np.float32], quantity: FileQuantity) -> GreyScale:
    """Return the scale from air, or what seems to be less than air, to the most attenuated."""
    low, high = float(values.min()), float(values.max())
    if quantity == "transmission":
        black = max(high, 1.0)
        return GreyScale(black, min(low, black - SMALLEST_SPAN))
    black = min(low, 0.0)
    return GreyScale(black, max(high, black + SMALLEST_SPAN))


def window_scale(window: Sequence[float]) -> GreyScale:
    """Return the scale of a window.

    Raises:
        InputError: ``BAD_WINDOW`` unless it is two different finite numbers.
    """
    try:
        low, high = (float(end) for end in window)
    except (TypeError, ValueError) as error:
        raise InputError(
            "BAD_WINDOW",
            f"The window {window!r} is not two numbers.",
            "Give the values at black and at white.",
        ) from error
    if not np.isfinite([low, high]).all() or low == high:
        raise InputError(
            "BAD_WINDOW",
            f"A window from {low:g} to {high:g} shows nothing.",
            "Give the value at black and another one at white.",
        )
    return GreyScale(low, high)


def _png(values: NDArray[np.float32], header: DrrHeader, window: Sequence[float] | None) -> bytes:
    if window is None:
        scale, keys = natural_scale(values, header.quantity), header.to_keys()
    else:
        scale = window_scale(window)
        # Clipped line integrals are none any more.
        kept: FileQuantity = "transmission" if header.quantity == "transmission" else "relative"
        keys = DrrHeader(header.view, kept, header.acquisition, header.record).to_keys()
    return png_bytes(scale.stored(values, GREY_LEVELS), {**keys, **scale.to_keys()})
