"""CT volumes from and to files, in any orientation: right, or refused with a code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from TomoRayCore.coordinates import direction_of, spacing_of
from TomoRayCore.errors import InputError
from TomoRayCore.io.atomic import atomic_path, full_suffix
from TomoRayCore.io.guard import check_plausible, existing_file
from TomoRayCore.io.sniff import looks_like_dicom
from TomoRayCore.io.stored_image import OWN_KEY_PREFIX, StoredImage
from TomoRayCore.volume import Volume

WRITABLE = (".nrrd", ".nii", ".nii.gz", ".mha", ".mhd")

MAX_KEY_TEXT = 20_000
"""Longer header values overrun the fixed line buffers of other MetaImage readers."""


def read_volume(path: str | os.PathLike[str]) -> Volume:
    """Read a CT.

    Args:
        path: A NRRD, NIfTI or MetaImage file, one DICOM file of a series, or a folder with one
            DICOM CT series.

    Returns:
        The volume in HU; whole numbers as int16. ``metadata`` holds the file's ``tomoray_`` keys,
        the mark of a synthetic CT among them.

    Raises:
        InputError: ``FILE_NOT_FOUND``, ``EMPTY_FILE``, ``UNSUPPORTED_FORMAT``, ``BAD_HEADER``,
            ``TRUNCATED_FILE``, ``SIZE_MISMATCH``, ``TOO_LARGE``, ``NOT_3D``,
            ``SEVERAL_CHANNELS``, ``ORIENTATION_UNKNOWN``, ``SPACING_UNKNOWN``,
            ``AFFINE_CONTRADICTION``, ``SHEARED_GEOMETRY``, ``BAD_AFFINE``, ``BAD_SPACING``,
            ``NON_FINITE``, ``HU_RANGE``, ``UNREADABLE_FILE``; for DICOM those of
            ``dicom_ct_in.read_ct_series``.
    """
    source = Path(path)
    if source.is_dir() or (source.is_file() and looks_like_dicom(source)):
        # Imported here: pydicom costs a quarter of a second and is needed for DICOM only.
        from TomoRayCore.io.dicom_ct_in import read_ct_series

        return read_ct_series(source)
    return _volume(source, _stored(existing_file(source)))


def write_volume(volume: Volume, path: str | os.PathLike[str]) -> None:
    """Write a volume whole or not at all; the suffix names the format.

    Keys of ``metadata`` that start with ``tomoray_`` are kept in NRRD and MetaImage. In NIfTI only
    the mark of a synthetic CT is, as the header's description.

    Args:
        volume: What to write.
        path: Ends in .nrrd, .nii, .nii.gz, .mha or .mhd (then with a .zraw beside it).

    Raises:
        InputError: ``UNSUPPORTED_FORMAT`` or ``NOT_WRITABLE``.
        SetupError: ``DISK_FULL``.
    """
    target = Path(path)
    suffix = full_suffix(target).lower()
    if suffix not in WRITABLE:
        raise _unsupported(target, ", ".join(WRITABLE))
    image = _itk_image(volume, suffix)
    if suffix == ".mhd":
        _write_pair(image, target)
        return
    with atomic_path(target) as temporary:
        _write_image(image, temporary)


def _stored(path: Path) -> StoredImage:
    """Read a file by its suffix; only the format at hand is imported."""
    suffix = full_suffix(path).lower()
    if suffix in (".nrrd", ".nhdr"):
        from TomoRayCore.io.nrrd_in import read_nrrd

        return read_nrrd(path)
    if suffix in (".nii", ".nii.gz"):
        from TomoRayCore.io.nifti_in import read_nifti

        return read_nifti(path)
    if suffix in (".mha", ".mhd"):
        from TomoRayCore.io.metaimage_in import read_metaimage

        return read_metaimage(path)
    raise _unsupported(path, "NRRD, NIfTI, MHA, MHD or DICOM")


def _volume(path: Path, stored: StoredImage) -> Volume:
    if stored.array.ndim != 3:
        raise InputError(
            "NOT_3D",
            f"{path.name} is a single picture.",
            "Name a three-dimensional image; radiographs are read as radiographs.",
        )
    if stored.ijk_to_lps is None:
        code = "SPACING_UNKNOWN" if stored.spacing_mm is None else "ORIENTATION_UNKNOWN"
        raise InputError(
            code,
            f"{path.name} does not say where its voxels lie in the patient.",
            "Save it with spacing, space directions and a space such as left-posterior-superior.",
        )
    volume = Volume(stored.array, stored.ijk_to_lps, stored.metadata)
    check_plausible(volume.grid, path.name)
    return volume


def _unsupported(path: Path, known: str) -> InputError:
    return InputError(
        "UNSUPPORTED_FORMAT",
        f"{path.name} is no volume file that TomoRay knows (suffix {full_suffix(path)!r}).",
        f"Use {known}.",
    )


def _itk_image(volume: Volume, suffix: str) -> Any:
    import SimpleITK as sitk

    image: Any = sitk.GetImageFromArray(volume.array_hu)
    affine = volume.ijk_to_lps
    image.SetSpacing(spacing_of(affine))
    image.SetDirection(direction_of(affine).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    if suffix.startswith(".nii"):
        from TomoRayCore.io.nifti_in import SYNTHETIC_DESCRIPTION

        if volume.is_synthetic:
            # ITK's name for the NIfTI field "descrip".
            image.SetMetaData("ITK_FileNotes", SYNTHETIC_DESCRIPTION)
        return image
    for key, value in volume.metadata.items():
        if key.startswith(OWN_KEY_PREFIX):
            image.SetMetaData(key, _one_line(key, value) if suffix[:3] == ".mh" else value)
    return image


def _one_line(key: str, value: str) -> str:
    from TomoRayCore.io.metaimage_in import escaped

    text = escaped(value)
    if len(text) > MAX_KEY_TEXT:
        raise InputError(
            "METADATA_TOO_LONG",
            f"The text {key!r} has {len(text)} characters; MetaImage holds {MAX_KEY_TEXT}.",
            "Save as .nrrd.",
        )
    return text


def _write_image(image: Any, path: Path) -> None:
    import SimpleITK as sitk

    try:
        sitk.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:
        raise InputError(
            "NOT_WRITABLE",
            f"The volume could not be written as {full_suffix(path)}.",
            "Check the free disk space, or save it as .nrrd.",
        ) from error


def _write_pair(image: Any, target: Path) -> None:
    """Write header and data under their final names in a folder beside, then move both.

    The header names its data file, so it cannot be written under a temporary name.
    """
    import tempfile

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".tomoray-") as folder:
        _write_image(image, Path(folder) / target.name)
        data_first = sorted(Path(folder).iterdir(), key=lambda p: p.name == target.name)
        for part in data_first:
            with atomic_path(target.with_name(part.name)) as temporary:
                part.replace(temporary)
