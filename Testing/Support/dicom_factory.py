"""Small DICOM files for tests: a CT series and radiographs, each of which a test may spoil."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

SPACING_IJK_MM = (0.6, 0.9, 1.5)
ORIGIN_LPS = np.array([-71.25, 33.5, 812.0625])
CANARIES = ("Canary^Jane", "CANARY-ID-77", "Canary hospital", "Canary description")


def base(sop_class: str, modality: str) -> Dataset:
    """Return a data set with what every image has, and names that must never leak."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = sop_class, generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.5"
    data.FrameOfReferenceUID = "1.2.3.4.6"
    data.Modality, data.SeriesNumber = modality, 4
    data.PatientName, data.PatientID, data.InstitutionName, data.SeriesDescription = CANARIES
    return data


def set_pixels(data: Dataset, stored: np.ndarray, bits_stored: int | None = None) -> None:
    """Put stored values, shape ([frames,] rows, columns), into a data set."""
    bits = 8 * stored.dtype.itemsize
    data.Rows, data.Columns = stored.shape[-2:]
    if stored.ndim == 3:
        data.NumberOfFrames = stored.shape[0]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored = bits, bits_stored or bits
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(stored.dtype.kind == "i")
    data.PixelData = stored.tobytes()
    data["PixelData"].VR = "OW" if bits > 8 else "OB"


def save(data: Dataset, path: Path) -> Path:
    """Write a data set as a DICOM file."""
    data.save_as(path, enforce_file_format=True)
    return path


def hu_block(shape: tuple[int, int, int] = (6, 7, 9)) -> np.ndarray:
    """Return int16 HU without symmetry, (slices, rows, columns)."""
    return np.random.default_rng(8).integers(-1024, 3000, shape).astype(np.int16)


def ct_slices(
    direction: np.ndarray | None = None, hu: np.ndarray | None = None, **changes: Any
) -> list[Dataset]:
    """Return the data sets of a CT series: unsigned 16 bits, intercept -1024.

    Args:
        direction: 3x3, columns are the directions of i, j, k in LPS; right-handed.
        hu: (slices, rows, columns).
        changes: Attributes to set in every slice.
    """
    direction = np.eye(3) if direction is None else direction
    block = hu_block() if hu is None else hu
    slices = []
    for k, values in enumerate(block):
        data = base(CTImageStorage, "CT")
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.InstanceNumber = 100 - k  # says nothing about place
        data.PixelSpacing = [SPACING_IJK_MM[1], SPACING_IJK_MM[0]]
        data.ImageOrientationPatient = [*map(ds_text, [*direction[:, 0], *direction[:, 1]])]
        position = ORIGIN_LPS + direction[:, 2] * SPACING_IJK_MM[2] * k
        data.ImagePositionPatient = [*map(ds_text, position)]
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = "1", "-1024", "HU"
        set_pixels(data, (values.astype(np.int32) + 1024).astype(np.uint16))
        for keyword, changed in changes.items():
            setattr(data, keyword, changed)
        slices.append(data)
    return slices


def ds_text(number: float) -> str:
    """Return a number in at most 16 characters, the most that a decimal string holds."""
    for digits in range(15, 0, -1):
        text = f"{number:.{digits}g}"
        if len(text) <= 16:
            return text
    raise ValueError(number)


def save_series(slices: list[Dataset], folder: Path) -> Path:
    """Write slices under names that sort unlike their places."""
    folder.mkdir(exist_ok=True, parents=True)
    for n, data in enumerate(slices):
        save(data, folder / f"{(n * 7) % 997:03d}.dcm")
    return folder


def radiograph(
    stored: np.ndarray,
    modality: str = "DX",
    sop_class: str = DigitalXRayImageStorageForPresentation,
    **changes: Any,
) -> Dataset:
    """Return a radiograph; its attributes may be changed, or removed by None."""
    data = base(sop_class, modality)
    set_pixels(data, stored, 12)
    for keyword, changed in changes.items():
        if changed is None:
            delattr(data, keyword)
        else:
            setattr(data, keyword, changed)
    return data
