"""A DICOM radiograph (CR, DX, XA, RF) in the convention of ``Radiograph``.

The order is fixed: stored values, modality transformation, polarity, padding, orientation. The
window (VOI) is for display and is not applied.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut

from TomoRayCore.errors import InputError
from TomoRayCore.io.dicom_dataset import (
    is_drr,
    is_synthetic,
    number,
    quiet,
    read_dataset,
    text,
    value,
)
from TomoRayCore.io.dicom_detector import detector_spacing, film_distances, source_distances
from TomoRayCore.io.dicom_pixels import layout_of, padding_range, stored_values
from TomoRayCore.io.dicom_polarity import polarity_of
from TomoRayCore.io.dicom_view import orientation_letters, oriented, stated_views
from TomoRayCore.io.drr_dicom_in import LINE_INTEGRAL, drr_keys
from TomoRayCore.io.drr_file import header_from
from TomoRayCore.io.drr_in import drr_radiograph
from TomoRayCore.io.guard import bad_header, existing_file, unreadable_as_input_error
from TomoRayCore.io.radiograph_facts import (
    Spacing,
    agreed_spacing,
    agreed_view,
    asked_spacing,
    asked_view,
    fingerprint,
)
from TomoRayCore.io.rescale import rescaled
from TomoRayCore.radiograph import Radiograph

MODALITIES = ("CR", "DX", "RG", "XA", "RF")

ENHANCED_CLASSES = ("1.2.840.10008.5.1.4.1.1.12.1.1", "1.2.840.10008.5.1.4.1.1.12.2.1")
"""Enhanced XA and XRF, which state geometry and polarity per frame."""


def read_dicom_radiograph(
    path: str | os.PathLike[str],
    view: str | None = None,
    spacing_mm: float | Spacing | None = None,
    frame: int | None = None,
) -> Radiograph:
    """Read one DICOM radiograph; each decision is on record in ``provenance``.

    Args:
        path: A DICOM file.
        view: Needed where the file does not state it; never overrules it.
        spacing_mm: At the detector, one number or (row, column) of the stored image; wins over
            the file's own.
        frame: Which frame of a multi-frame file, counted from 0.

    Raises:
        InputError: ``FILE_NOT_FOUND``, ``EMPTY_FILE``, ``UNREADABLE_FILE``, ``NOT_RADIOGRAPH``,
            ``UNSUPPORTED_FORMAT``, ``FRAME_NEEDED``, ``COLOUR_IMAGE``, ``TRUNCATED_FILE``,
            ``SIZE_MISMATCH``, ``TOO_LARGE``, ``BAD_HEADER``, ``BAD_RESCALE``,
            ``POLARITY_UNKNOWN``, ``VIEW_UNKNOWN``, ``VIEW_UNSUPPORTED``,
            ``VIEW_CONTRADICTION``, ``BAD_SPACING`` and what ``Radiograph`` refuses.
    """
    file = existing_file(path)
    data = read_dataset(file)
    keys = drr_keys(data, file)
    if keys is not None:
        return _drr(data, keys, file, asked_view(view), asked_spacing(spacing_mm))
    modality = _checked_modality(data, file)
    label, view_reason = agreed_view(asked_view(view), stated_views(data, file), file.name)
    polarity = polarity_of(data, file)
    used = _checked_frame(data, file, frame)
    stored = stored_values(data, file, used)
    values, value_reason = _modality_values(data, file, stored)
    pixels = polarity.applied_to(values)
    padding = _padding(data, file, stored)
    if padding.any() and not padding.all():
        pixels[padding] = pixels[~padding].min()
    own, origin = detector_spacing(data)
    spacing, spacing_reason = agreed_spacing(asked_spacing(spacing_mm), own, origin)
    pixels, spacing, turned = oriented(pixels, spacing, orientation_letters(data))
    record = {
        "source": fingerprint(file),
        "format": f"DICOM {modality}",
        "values": value_reason,
        "polarity": polarity.reason,
        "padding": f"{int(padding.sum())} pixels set to the least attenuation",
        "spacing": spacing_reason,
        "view": view_reason,
        "orientation": turned,
        **source_distances(data),
        **_warnings(data),
    }
    if layout_of(data, file).frames > 1:
        record["frame"] = str(used)
    sad_mm, sdd_mm = film_distances(data)
    known = is_drr(data) and text(data, "RescaleType") == LINE_INTEGRAL
    return Radiograph(
        pixels.astype(np.float32),
        label,
        spacing,
        "line_integral" if known else "relative",
        record,
        sad_mm=sad_mm,
        sdd_mm=sdd_mm,
    )


def _checked_modality(data: Dataset, path: Path) -> str:
    modality = text(data, "Modality")
    if modality not in MODALITIES and not is_drr(data):
        raise InputError(
            "NOT_RADIOGRAPH",
            f"{path.name} is DICOM of the modality {modality[:16] or 'unstated'}, "
            "not a radiograph.",
            f"Give an image of the modality {', '.join(MODALITIES)}; a CT is read as a volume.",
        )
    if text(data, "SOPClassUID") in ENHANCED_CLASSES:
        raise InputError(
            "UNSUPPORTED_FORMAT",
            f"{path.name} is an enhanced {modality} image, which is not read yet.",
            "Export it as a classic image, or as a PNG with bright bone.",
        )
    return modality


def _drr(
    data: Dataset,
    keys: Mapping[str, str],
    path: Path,
    asked: str | None,
    spacing: Spacing | None,
) -> Radiograph:
    """Return a DRR of ours; it is not turned, since its geometry is about the stored image."""
    header = header_from(keys, path.name)
    if header is None:
        raise bad_header(path, "the private text of a DRR holds no geometry")
    pixels, value_reason = _modality_values(data, path, stored_values(data, path))
    record = {
        "source": fingerprint(path),
        "format": "DICOM DRR",
        "values": value_reason,
        **source_distances(data),
        **_warnings(data),
    }
    return drr_radiograph(path.name, pixels.astype(np.float32), header, record, asked, spacing)


def _checked_frame(data: Dataset, path: Path, frame: int | None) -> int:
    frames = layout_of(data, path).frames
    if frame is None and frames == 1:
        return 0
    if frame is None or not 0 <= frame < frames:
        asked = "" if frame is None else f" and no frame {frame}"
        raise InputError(
            "FRAME_NEEDED",
            f"{path.name} has {frames} frame(s){asked}.",
            f"Say which frame to use, from 0 to {frames - 1}, or export that frame alone.",
        )
    return frame


def _modality_values(data: Dataset, path: Path, stored: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Apply the modality LUT or rescaling, whichever the file has."""
    if value(data, "ModalityLUTSequence"):
        with unreadable_as_input_error(path), quiet():
            return apply_modality_lut(stored, data), "modality LUT applied"
    slope, intercept = number(data, "RescaleSlope"), number(data, "RescaleIntercept")
    if slope is None and intercept is None:
        return stored, "as stored"
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    return rescaled(stored, slope, intercept), f"rescaled by {slope:g} and {intercept:g}"


def _padding(data: Dataset, path: Path, stored: NDArray[Any]) -> NDArray[np.bool_]:
    limits = padding_range(data, layout_of(data, path))
    if limits is None:
        return np.zeros(stored.shape, bool)
    return np.asarray((stored >= limits[0]) & (stored <= limits[1]))


def _warnings(data: Dataset) -> dict[str, str]:
    found = {}
    if text(data, "BurnedInAnnotation") == "YES":
        found["burned_in"] = "the file says that text is burned into the image"
    if is_synthetic(data):
        found["synthetic"] = "the file says that the image was computed"
    return found
