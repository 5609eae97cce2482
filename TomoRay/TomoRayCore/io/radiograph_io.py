"""Radiographs from files (PNG, TIFF, JPEG, 2D NRRD and MetaImage, DICOM); DRRs to files."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.io.atomic import atomic_path, full_suffix
from TomoRayCore.io.drr_file import VIEW_KEY, WHITE_KEY, DrrHeader, header_from
from TomoRayCore.io.guard import existing_file
from TomoRayCore.io.metaimage_in import read_metaimage
from TomoRayCore.io.nrrd_in import read_nrrd
from TomoRayCore.io.pictures import read_picture
from TomoRayCore.io.radiograph_facts import (
    Spacing,
    agreed_spacing,
    agreed_view,
    asked_spacing,
    asked_view,
    fingerprint,
    in_mm,
)
from TomoRayCore.io.sniff import format_of, looks_like_dicom
from TomoRayCore.radiograph import Quantity, Radiograph, View

STORED_READERS = {
    ".nrrd": read_nrrd,
    ".nhdr": read_nrrd,
    ".mha": read_metaimage,
    ".mhd": read_metaimage,
}

SPACING_AGREEMENT = 1e-3
"""Largest relative difference of two spacings that are the same."""


def read_radiograph(
    path: str | os.PathLike[str],
    view: View | None = None,
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
        view: Needed where the file does not state it; never overrules a file.
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


def write_drr(
    path: str | os.PathLike[str],
    pixels: NDArray[np.floating[Any]],
    acquisition: AcquisitionGeometry,
    label: str,
) -> None:
    """Write one view's line integrals as float32, with their geometry in the header.

    Args:
        path: Ends in .nrrd.
        pixels: (H, W) line integrals, the size of the view's detector.
        acquisition: All views of the examination.
        label: Which of them this is.

    Raises:
        InputError: ``UNSUPPORTED_FORMAT``, ``VIEW_UNKNOWN``, ``GEOMETRY_CONTRADICTION``,
            ``NON_FINITE`` or ``NOT_WRITABLE``.
        SetupError: ``DISK_FULL``.
    """
    import SimpleITK as sitk

    target = _target(path, ".nrrd")
    header = DrrHeader(label, "line_integral", acquisition)
    image: Any = sitk.GetImageFromArray(_checked(pixels, header))
    row_mm, column_mm = acquisition.view(label).pixel_spacing_mm
    image.SetSpacing((column_mm, row_mm))
    for key, value in header.to_keys().items():
        image.SetMetaData(key, value)
    with atomic_path(target) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
        except RuntimeError as error:
            raise InputError(
                "NOT_WRITABLE",
                f"{target.name} could not be written.",
                "Check the free disk space and the output folder.",
            ) from error


def write_drr_picture(
    path: str | os.PathLike[str],
    pixels: NDArray[np.floating[Any]],
    acquisition: AcquisitionGeometry,
    label: str,
) -> None:
    """Write one view as an 8-bit grey PNG, air black and bone white, with its geometry as text.

    The grey value is proportional to the line integral; the largest one is white.

    Args:
        path: Ends in .png.
        pixels: (H, W) line integrals, the size of the view's detector.
        acquisition: All views of the examination.
        label: Which of them this is.

    Raises:
        InputError: as ``write_drr``.
        SetupError: ``DISK_FULL``.
    """
    target = _target(path, ".png")
    header = DrrHeader(label, "relative", acquisition)
    values = _checked(pixels, header)
    white = max(float(values.max()), 1e-6)
    grey = np.rint(np.clip(values / white, 0, 1) * 255).astype(np.uint8)
    text = PngInfo()
    for key, value in {**header.to_keys(), WHITE_KEY: f"{white:.9g}"}.items():
        text.add_text(key, value)
    with atomic_path(target) as temporary:
        Image.fromarray(grey).save(temporary, pnginfo=text)


def _from_picture(file: Path, asked: View | None, spacing: Spacing | None) -> Radiograph:
    picture = read_picture(file)
    header = header_from(picture.text, file.name)
    record = {"source": fingerprint(file), **picture.notes}
    if header is not None:
        return _drr(file.name, picture.pixels, header, record, asked, spacing)
    record["polarity"] = "as displayed, bright taken as more attenuation"
    label, record["view"] = agreed_view(asked, {}, file.name)
    used, record["spacing"] = agreed_spacing(spacing, None, "unknown: a picture's dpi is no scale")
    return Radiograph(picture.pixels, label, used, "relative", record)


def _from_stored_image(file: Path, asked: View | None, spacing: Spacing | None) -> Radiograph:
    stored = STORED_READERS[full_suffix(file).lower()](file)
    pixels = _single_slice(stored.array, file.name).astype(np.float32)
    header = header_from(stored.metadata, file.name)
    record = {"source": fingerprint(file), "format": f"{file.suffix[1:]}, {stored.array.dtype}"}
    if header is not None:
        return _drr(file.name, pixels, header, record, asked, spacing)
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


def _drr(
    name: str,
    pixels: NDArray[np.float32],
    header: DrrHeader,
    record: dict[str, str],
    asked: View | None,
    spacing: Spacing | None,
) -> Radiograph:
    header.check_size(pixels.shape, name)
    own = header.acquisition.view(header.view).pixel_spacing_mm
    if spacing is not None and not np.allclose(spacing, own, rtol=SPACING_AGREEMENT, atol=0):
        raise InputError(
            "SPACING_CONTRADICTION",
            f"{name} is a DRR with pixels of {in_mm(own)}; {in_mm(spacing)} was given.",
            "Leave the spacing out: a DRR knows its own.",
        )
    stated_view = asked_view(header.view)
    label, record["view"] = agreed_view(asked, {"the header": stated_view or ""}, name)
    record["polarity"] = "a DRR: larger is more attenuation"
    record["spacing"] = f"the header's geometry: {in_mm(own)}"
    record["quantity"] = header.quantity
    quantity: Quantity = header.quantity
    return Radiograph(pixels, label, own, quantity, record, header.acquisition)


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


def _checked(pixels: NDArray[np.floating[Any]], header: DrrHeader) -> NDArray[np.float32]:
    values = np.asarray(pixels, np.float32)
    header.check_size(values.shape, "The DRR")
    if not np.isfinite(values).all():
        raise InputError(
            "NON_FINITE",
            "The DRR holds NaN or infinite line integrals.",
            "Check the volume that it was computed from.",
        )
    return values


def _target(path: str | os.PathLike[str], suffix: str) -> Path:
    target = Path(path)
    if target.suffix.lower() != suffix:
        raise _unsupported(target, suffix)
    return target


def _unsupported(path: Path, known: str) -> InputError:
    return InputError(
        "UNSUPPORTED_FORMAT",
        f"{path.name} is no radiograph file that TomoRay knows (suffix {path.suffix!r}).",
        f"Use {known}.",
    )
