"""Radiographs from files: PNG, TIFF, JPEG, 2D NRRD and MetaImage, DICOM; DRRs in all of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.errors import InputError
from TomoRayCore.io.atomic import full_suffix
from TomoRayCore.io.drr_file import CLIPPED_KEY, VIEW_KEY, grey_scale_from, header_from
from TomoRayCore.io.drr_in import drr_radiograph
from TomoRayCore.io.drr_out import write_drr
from TomoRayCore.io.guard import existing_file
from TomoRayCore.io.metaimage_in import read_metaimage
from TomoRayCore.io.nrrd_in import read_nrrd
from TomoRayCore.io.picture_out import GREY_LEVELS
from TomoRayCore.io.radiograph_facts import (
    Spacing,
    agreed_spacing,
    agreed_view,
    asked_spacing,
    asked_view,
    fingerprint,
)
from TomoRayCore.io.sniff import format_of, looks_like_dicom
from TomoRayCore.io.stored_image import StoredImage
from TomoRayCore.radiograph import Radiograph

__all__ = ["read_radiograph", "write_drr"]

STORED_READERS: dict[str, Callable[[Path], StoredImage]] = {
    ".nrrd": read_nrrd,
    ".nhdr": read_nrrd,
    ".mha": read_metaimage,
    ".mhd": read_metaimage,
}

DEEP_GREY = "PNG, I;16"
"""What Pillow calls the pictures whose greys our scale is about."""


def read_radiograph(
    path: str | os.PathLike[str],
    view: str | None = None,
    *,
    spacing_mm: float | Spacing | None = None,
    invert: bool = False,
    frame: int | None = None,
) -> Radiograph:
    """Read one radiograph or DRR, brought to the convention of ``Radiograph``.

    Pictures are taken as displayed: bright is bone. What was decided about polarity, spacing, view
    and orientation is on record in ``provenance``, which names no file and no patient.

    Args:
        path: PNG, TIFF, JPEG, two-dimensional NRRD or MetaImage, or DICOM.
        view: ``AP``, ``PA`` or ``LAT``: needed where the file does not state it; never overrules
            a file. A DRR may have any view.
        spacing_mm: Pixel spacing at the detector, one number or (row, column). It wins over a
            radiograph's own statement, which the record keeps; never over a DRR's geometry.
        invert: For pictures with dark bone.
        frame: Which frame of a multi-frame DICOM file, counted from 0.

    Raises:
        InputError: ``FILE_NOT_FOUND``, ``EMPTY_FILE``, ``UNSUPPORTED_FORMAT``,
            ``UNREADABLE_FILE``, ``TRUNCATED_FILE``, ``TOO_LARGE``, ``COLOUR_IMAGE``,
            ``TRANSPARENT_IMAGE``, ``SEVERAL_IMAGES``, ``NOT_2D``, ``VIEW_UNKNOWN``,
            ``VIEW_CONTRADICTION``, ``SPACING_CONTRADICTION``, ``POLARITY_CONTRADICTION``,
            ``GEOMETRY_CONTRADICTION``, what ``Radiograph`` refuses, and for DICOM what
            ``dicom_radiograph_in.read_dicom_radiograph`` does.
    """
    file = existing_file(path)
    asked, spacing = asked_view(view), asked_spacing(spacing_mm)
    if looks_like_dicom(file):
        # Imported here: pydicom costs a quarter of a second and is needed for DICOM only.
        from TomoRayCore.io.dicom_radiograph_in import read_dicom_radiograph

        radiograph = read_dicom_radiograph(file, asked, spacing, frame)
    elif format_of(file) in ("png", "tiff", "jpeg"):
        radiograph = _from_picture(file, asked, spacing)
    elif full_suffix(file).lower() in STORED_READERS:
        radiograph = _from_stored_image(file, asked, spacing)
    else:
        raise _unsupported(file, "PNG, TIFF, JPEG, NRRD, MHA or DICOM")
    return _inverted(radiograph, file.name) if invert else radiograph


def _from_picture(file: Path, asked: str | None, spacing: Spacing | None) -> Radiograph:
    # Imported here: most DRRs are no pictures, and Pillow takes a while to load.
    from TomoRayCore.io.pictures import read_picture

    picture = read_picture(file)
    header = header_from(picture.text, file.name)
    record = {"source": fingerprint(file), **picture.notes}
    if header is not None:
        pixels = picture.pixels
        scale = grey_scale_from(picture.text, file.name)
        if scale is not None and picture.notes["format"] == DEEP_GREY:
            pixels = scale.values(pixels, GREY_LEVELS)
            record["values"] = f"greys from {scale.black:g} to {scale.white:g}"
        elif scale is not None:
            header = replace(header, quantity="relative")
            record["values"] = "greys as they are: not those that were written"
        return drr_radiograph(
            file.name, pixels, header, record, asked, spacing, clipped=CLIPPED_KEY in picture.text
        )
    record["polarity"] = "as displayed, bright taken as more attenuation"
    label, record["view"] = agreed_view(asked, {}, file.name)
    used, record["spacing"] = agreed_spacing(spacing, None, "unknown: a picture's dpi is no scale")
    return Radiograph(picture.pixels, label, used, "relative", record)


def _from_stored_image(file: Path, asked: str | None, spacing: Spacing | None) -> Radiograph:
    stored = STORED_READERS[full_suffix(file).lower()](file)
    pixels = _single_slice(stored.array, file.name).astype(np.float32)
    header = header_from(stored.metadata, file.name)
    record = {"source": fingerprint(file), "format": f"{file.suffix[1:]}, {stored.array.dtype}"}
    if header is not None:
        return drr_radiograph(file.name, pixels, header, record, asked, spacing)
    record["polarity"] = "as stored, larger taken as more attenuation"
    view_key = stored.metadata.get(VIEW_KEY)
    stated = {} if view_key is None else {"the header": asked_view(view_key) or ""}
    label, record["view"] = agreed_view(asked, stated, file.name)
    own, origin = _stored_spacing(stored.spacing_mm)
    used, record["spacing"] = agreed_spacing(spacing, own, origin)
    return Radiograph(pixels, label, used, "relative", record)


def _single_slice(array: NDArray[Any], name: str) -> NDArray[Any]:
    if array.ndim == 3 and array.shape[0] == 1:
        return np.asarray(array[0])
    if array.ndim != 2:
        raise InputError(
            "NOT_2D",
            f"{name} is a volume of {' x '.join(map(str, array.shape))} voxels, not a radiograph.",
            "Compute DRRs from it, or pick the radiograph's file.",
        )
    return array


def _stored_spacing(spacing_ij: tuple[float, ...] | None) -> tuple[Spacing | None, str]:
    if spacing_ij is None:
        return None, "unknown: the header states none"
    if spacing_ij[0] == spacing_ij[1] == 1:
        # Converters write 1 mm where they know nothing; no skull detector has such pixels.
        return None, "unknown: the header's 1 x 1 mm is what converters write for want of any"
    return (spacing_ij[1], spacing_ij[0]), "the header"


def _inverted(radiograph: Radiograph, name: str) -> Radiograph:
    if radiograph.acquisition is not None:
        raise InputError(
            "POLARITY_CONTRADICTION",
            f"{name} is a DRR, in which larger always means more attenuation.",
            "Leave inversion out.",
        )
    pixels = radiograph.pixels
    record = dict(radiograph.provenance)
    record["polarity"] = f"inverted by the caller; before: {record.get('polarity', 'as stored')}"
    return replace(radiograph, pixels=pixels.max() + pixels.min() - pixels, provenance=record)


def _unsupported(path: Path, known: str) -> InputError:
    return InputError(
        "UNSUPPORTED_FORMAT",
        f"{path.name} is no radiograph file that TomoRay knows (suffix {path.suffix!r}).",
        f"Use {known}.",
    )
