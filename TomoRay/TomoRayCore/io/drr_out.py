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
    CLIPPED_KEY,
    QUANTITY_KEY,
    DrrHeader,
    DrrRecord,
    FileQuantity,
    GreyScale,
    checked_pixels,
)
from TomoRayCore.io.picture_out import GREY_LEVELS, nrrd_bytes, png_bytes, tiff_bytes
from TomoRayCore.physics.display import behind

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
    and bone white. A PNG of a transmission is for eyes only: it shows what passes the head, and
    the open beam beside it is cut off.

    Args:
        path: Ends in .nrrd, .tif, .tiff, .png or .dcm.
        pixels: (H, W), the size of the view's detector.
        acquisition: All views of the examination.
        label: Which of them this is.
        quantity: What a pixel's number means.
        record: How the DRR was made.
        window: Lowest and highest value that a PNG shows, which then is for eyes only. Default:
            see ``picture_scale``.

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


def picture_scale(
    values: NDArray[np.float32], quantity: FileQuantity, window: Sequence[float] | None = None
) -> GreyScale:
    """Return which values are black and white in a PNG; bone is always the bright side.

    Without a window that is from air, or what seems to be less than air, to the most attenuated;
    of a transmission, which the open beam would take up, what ``physics.display.behind`` shows.

    Raises:
        InputError: ``BAD_WINDOW``.
    """
    if window is not None:
        return window_scale(window, quantity)
    if quantity == "transmission":
        low, high = behind(values).window(values)
        return GreyScale(high, low)
    black = min(float(values.min()), 0.0)
    return GreyScale(black, max(float(values.max()), black + SMALLEST_SPAN))


def window_scale(window: Sequence[float], quantity: FileQuantity = "line_integral") -> GreyScale:
    """Return the scale of a window, low and high: high is white, or black of a transmission.

    Raises:
        InputError: ``BAD_WINDOW`` unless it is two finite numbers, the second the larger one.
    """
    try:
        low, high = (float(end) for end in window)
    except (TypeError, ValueError) as error:
        raise InputError(
            "BAD_WINDOW",
            f"The window {window!r} is not two numbers.",
            "Give the lowest and the highest value to show.",
        ) from error
    if not (np.isfinite([low, high]).all() and low < high):
        raise InputError(
            "BAD_WINDOW",
            f"A window from {low:g} to {high:g} does not rise.",
            "Give the lower value first; bone is shown white of every kind of image, so there is "
            "no need to invert.",
        )
    return GreyScale(high, low) if quantity == "transmission" else GreyScale(low, high)


def _png(values: NDArray[np.float32], header: DrrHeader, window: Sequence[float] | None) -> bytes:
    scale = picture_scale(values, header.quantity, window)
    keys = {**header.to_keys(), **scale.to_keys()}
    low, high = sorted((scale.black, scale.white))
    if header.quantity != "transmission" and window is not None:
        keys[QUANTITY_KEY] = "relative"  # clipped line integrals are none any more
    if float(values.min()) < low or float(values.max()) > high:
        keys[CLIPPED_KEY] = "values beyond black and white are not kept"
    return png_bytes(scale.stored(values, GREY_LEVELS), keys)
