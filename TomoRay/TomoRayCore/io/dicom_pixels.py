"""The stored values of one DICOM frame, without anything applied to them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from TomoRayCore.errors import InputError
from TomoRayCore.io.dicom_dataset import meta, quiet, text, value, whole
from TomoRayCore.io.guard import MAX_PIXELS, MAX_VOXELS, bad_header, too_large, truncated
from TomoRayCore.io.guard import unreadable_as_input_error as guarded

NATIVE_SYNTAXES = {
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
}

MAX_COMPRESSION = 500
"""No codec packs a radiograph or a slice of a patient more than some tens of times."""


@dataclass(frozen=True)
class PixelLayout:
    """How a data set's stored values lie in its bytes."""

    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of one uncompressed frame."""
        return self.rows * self.columns * self.bits_allocated // 8

    def meaningful(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Keep the stored bits alone and restore the sign; int32, or int64 for 32-bit pixels.

        The bits above may hold overlays or garbage.
        """
        wide: NDArray[Any] = raw.astype(np.int64 if self.bits_allocated == 32 else np.int32)
        wide = (wide >> (self.high_bit - self.bits_stored + 1)) & ((1 << self.bits_stored) - 1)
        if self.signed:
            wide[wide >= 1 << (self.bits_stored - 1)] -= 1 << self.bits_stored
        return wide


def layout_of(dataset: Dataset, path: Path) -> PixelLayout:
    """Return the layout of monochrome pixels.

    Raises:
        InputError: ``COLOUR_IMAGE``, ``BAD_HEADER`` or ``TOO_LARGE``.
    """
    photometric = text(dataset, "PhotometricInterpretation")
    samples = whole(dataset, "SamplesPerPixel") or 1
    if samples != 1 or not photometric.startswith("MONOCHROME"):
        raise InputError(
            "COLOUR_IMAGE",
            f"{path.name} holds colour or palette pixels ({photometric or 'unstated'}).",
            "Pick the original greyscale image, not a screenshot or rendering.",
        )
    rows, columns = whole(dataset, "Rows") or 0, whole(dataset, "Columns") or 0
    allocated, stored = whole(dataset, "BitsAllocated") or 0, whole(dataset, "BitsStored") or 0
    high = whole(dataset, "HighBit")
    layout = PixelLayout(
        rows,
        columns,
        whole(dataset, "NumberOfFrames") or 1,
        allocated,
        stored,
        stored - 1 if high is None else high,
        whole(dataset, "PixelRepresentation") == 1,
    )
    fits = stored - 1 <= layout.high_bit < allocated
    if min(rows, columns) < 1 or allocated not in (8, 16, 32) or stored < 1 or not fits:
        raise bad_header(
            path, f"{rows} x {columns} pixels of {stored} in {allocated} bits cannot be decoded"
        )
    pixels = rows * columns
    if pixels > MAX_PIXELS or not 1 <= layout.frames <= MAX_VOXELS // pixels:
        raise too_large(path, f"{layout.frames} frame(s) of {rows} x {columns} pixels")
    return layout


def stored_values(dataset: Dataset, path: Path, frame: int = 0) -> NDArray[Any]:
    """Return one frame's stored values, shape (rows, columns).

    Raises:
        InputError: ``COLOUR_IMAGE``, ``BAD_HEADER``, ``TOO_LARGE``, ``TRUNCATED_FILE``,
            ``UNREADABLE_FILE`` or ``UNSUPPORTED_FORMAT`` (a codec that is not installed).
    """
    layout = layout_of(dataset, path)
    data = value(dataset, "PixelData")
    if not isinstance(data, bytes):
        raise truncated(path, layout.frame_bytes * layout.frames, 0)
    syntax = meta(dataset, "TransferSyntaxUID") or ImplicitVRLittleEndian
    if syntax in NATIVE_SYNTAXES:
        raw = _native(data, layout, path, frame, big=syntax == ExplicitVRBigEndian)
    elif len(data) * MAX_COMPRESSION < layout.frame_bytes * layout.frames:
        # Decoders would fill gigabytes from a damaged header's few bytes.
        raise truncated(path, layout.frame_bytes * layout.frames // MAX_COMPRESSION, len(data))
    else:
        raw = _decoded(dataset, path, layout, frame)
    return layout.meaningful(raw)


def padding_range(dataset: Dataset, layout: PixelLayout) -> tuple[int, int] | None:
    """Return the lowest and highest stored value that mean "no image here", or None."""
    first = whole(dataset, "PixelPaddingValue")
    if first is None:
        return None
    last = whole(dataset, "PixelPaddingRangeLimit")
    # Some writers give -2000 as 63536; cutting to the stored bits makes it -2000 again.
    ends = layout.meaningful(np.array([first, first if last is None else last]))
    return int(ends.min()), int(ends.max())


def _native(data: bytes, layout: PixelLayout, path: Path, frame: int, *, big: bool) -> NDArray[Any]:
    expected = layout.frame_bytes * layout.frames
    if len(data) < expected:
        raise truncated(path, expected, len(data))
    if any(data[expected:]):  # zeros at the end are padding that some writers leave
        raise InputError(
            "SIZE_MISMATCH",
            f"{path.name} holds {len(data)} bytes of pixels, its header declares {expected}.",
            "The header is damaged; export the image again.",
        )
    dtype = np.dtype(f"{'>' if big else '<'}u{layout.bits_allocated // 8}")
    start = frame * layout.frame_bytes
    values = np.frombuffer(data, dtype, layout.rows * layout.columns, start)
    return values.reshape(layout.rows, layout.columns)


def _decoded(dataset: Dataset, path: Path, layout: PixelLayout, frame: int) -> NDArray[Any]:
    with guarded(path), quiet():
        try:
            decoded = pixel_array(dataset, index=frame)
        except (RuntimeError, NotImplementedError, AttributeError, ValueError):
            if dataset.file_meta.TransferSyntaxUID == RLELossless:
                raise  # no codec was lacking
            # pydicom alone knows few codecs; ITK brings the others (JPEG lossless, JPEG-LS, ...).
            decoded = _decoded_by_itk(dataset, layout, frame)
    if decoded.shape != (layout.rows, layout.columns):
        raise bad_header(path, f"the pixels decode to {decoded.shape}, not as the header declares")
    return decoded


def _decoded_by_itk(dataset: Dataset, layout: PixelLayout, frame: int) -> NDArray[Any]:
    """Decode through a temporary file that holds the pixels and their layout alone.

    Without the rest of the header ITK has nothing to apply, and no name can leak.
    """
    import SimpleITK as sitk

    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    bare.SOPClassUID, bare.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    bare.SamplesPerPixel, bare.PhotometricInterpretation = 1, "MONOCHROME2"
    bare.Rows, bare.Columns, bare.NumberOfFrames = layout.rows, layout.columns, layout.frames
    bare.BitsAllocated, bare.BitsStored = layout.bits_allocated, layout.bits_stored
    bare.HighBit, bare.PixelRepresentation = layout.high_bit, int(layout.signed)
    bare.add(dataset["PixelData"])
    bare["PixelData"].is_undefined_length = True
    with tempfile.TemporaryDirectory(prefix="tomoray-") as folder:
        file = Path(folder) / "pixels.dcm"
        bare.save_as(file, enforce_file_format=True)
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(file), imageIO="GDCMImageIO"))
    return np.asarray(values[frame] if values.ndim == 3 else values)
