"""NIfTI-1 and NIfTI-2 files in (.nii, .nii.gz), by the headers nifti1.h and nifti2.h.

Both ways in which the format states an image's place are read, and must agree.
"""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.coordinates import Affine, checked_affine, lps_to_ras, transform_points
from TomoRayCore.errors import InputError
from TomoRayCore.io.guard import bad_header, truncated, unreadable_as_input_error
from TomoRayCore.io.rescale import rescaled
from TomoRayCore.io.stored_image import Encoding, Payload, StoredImage
from TomoRayCore.volume import SYNTHETIC_KEY

SYNTHETIC_DESCRIPTION = "SYNTHETIC CT not for diagnosis"

AGREEMENT_MM = 0.1
"""How far sform and qform may be apart at any corner; single precision needs 1e-4 of that."""

TYPES: dict[int, str] = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
COLOUR_TYPES = {128, 2304, 32, 1792, 2048}
"""RGB, RGBA and complex."""

UNIT_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}


@dataclass(frozen=True)
class Header:
    """The fields that matter, the same for both versions of the format."""

    byte_order: str
    dim: tuple[int, ...]
    datatype: int
    bitpix: int
    pixdim: tuple[float, ...]
    vox_offset: float
    slope: float
    intercept: float
    unit: int
    description: str
    qform_code: int
    sform_code: int
    quaternion: tuple[float, ...]
    q_offset: tuple[float, ...]
    s_rows: tuple[float, ...]
    magic: bytes


def read_nifti(path: Path) -> StoredImage:
    """Read a scalar volume; single time points in a 4D wrapper are unwrapped.

    Raises:
        InputError: ``BAD_HEADER``, ``NOT_3D``, ``SEVERAL_CHANNELS``, ``ORIENTATION_UNKNOWN``,
            ``AFFINE_CONTRADICTION``, ``SHEARED_GEOMETRY``, ``TRUNCATED_FILE``,
            ``SIZE_MISMATCH``, ``TOO_LARGE``, ``UNSUPPORTED_FORMAT`` or ``UNREADABLE_FILE``.
    """
    with unreadable_as_input_error(path):
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        header = _header(path, packed)
        sizes = _sizes(path, header)
        affine = _affine(path, header, sizes)
        values = _values(path, header, sizes, "gzip" if packed else "raw")
        synthetic = header.description.upper().startswith("SYNTHETIC CT")
        metadata = {SYNTHETIC_KEY: "true"} if synthetic else {}
        spacing = tuple(float(mm) for mm in np.linalg.norm(affine[:3, :3], axis=0))
        return StoredImage(values, spacing, affine, metadata)


def _header(path: Path, packed: bool) -> Header:
    with gzip.open(path) if packed else path.open("rb") as file:
        try:
            data = file.read(540)
        except EOFError as error:
            raise truncated(path, 348, 0) from error
    for order in "<>":
        size = struct.unpack_from(order + "i", data)[0] if len(data) >= 4 else 0
        if size == 348 and len(data) >= 348:
            return _header_1(order, data)
        if size == 540 and len(data) == 540:
            return _header_2(order, data)
    if len(data) < 348:
        raise truncated(path, 348, len(data))
    raise bad_header(path, "the file does not start like a NIfTI file")


def _header_1(order: str, data: bytes) -> Header:
    def get(offset: int, form: str) -> tuple[Any, ...]:
        return struct.unpack_from(order + form, data, offset)

    return Header(
        byte_order=order,
        dim=get(40, "8h"),
        datatype=get(70, "h")[0],
        bitpix=get(72, "h")[0],
        pixdim=get(76, "8f"),
        vox_offset=get(108, "f")[0],
        slope=get(112, "f")[0],
        intercept=get(116, "f")[0],
        unit=data[123] & 7,
        description=_text(data[148:228]),
        qform_code=get(252, "h")[0],
        sform_code=get(254, "h")[0],
        quaternion=get(256, "3f"),
        q_offset=get(268, "3f"),
        s_rows=get(280, "12f"),
        magic=data[344:348],
    )


def _header_2(order: str, data: bytes) -> Header:
    def get(offset: int, form: str) -> tuple[Any, ...]:
        return struct.unpack_from(order + form, data, offset)

    return Header(
        byte_order=order,
        dim=get(16, "8q"),
        datatype=get(12, "h")[0],
        bitpix=get(14, "h")[0],
        pixdim=get(104, "8d"),
        vox_offset=float(get(168, "q")[0]),
        slope=get(176, "d")[0],
        intercept=get(184, "d")[0],
        unit=get(500, "i")[0] & 7,
        description=_text(data[240:320]),
        qform_code=get(344, "i")[0],
        sform_code=get(348, "i")[0],
        quaternion=get(352, "3d"),
        q_offset=get(376, "3d"),
        s_rows=get(400, "12d"),
        magic=data[4:8],
    )


def _text(data: bytes) -> str:
    return data.split(b"\0")[0].decode("utf-8", "replace")


def _sizes(path: Path, header: Header) -> tuple[int, int, int]:
    if header.magic[:2] != b"n+":
        raise InputError(
            "UNSUPPORTED_FORMAT",
            f"{path.name} is half of an Analyze or NIfTI pair, or not a NIfTI file.",
            "Save it as one .nii or .nii.gz file.",
        )
    if header.datatype in COLOUR_TYPES:
        raise InputError(
            "SEVERAL_CHANNELS",
            f"{path.name} holds colour or complex values (NIfTI type {header.datatype}).",
            "Save one channel as a plain volume.",
        )
    if header.datatype not in TYPES or header.bitpix != 8 * int(TYPES[header.datatype][1]):
        raise bad_header(
            path, f"the value type {header.datatype} with {header.bitpix} bits is not supported"
        )
    n = header.dim[0]
    if not 1 <= n <= 7:
        raise bad_header(path, f"{n} dimensions are impossible")
    sizes = header.dim[1 : n + 1]
    if n < 3 or any(size > 1 for size in sizes[3:]):
        raise InputError(
            "NOT_3D",
            f"{path.name} has the size {' x '.join(map(str, sizes))}.",
            "Save one time point as a three-dimensional image.",
        )
    return sizes[0], sizes[1], sizes[2]


def _values(
    path: Path, header: Header, sizes: tuple[int, int, int], encoding: Encoding
) -> NDArray[Any]:
    offset = header.vox_offset
    smallest = 544 if header.dim and header.magic[:3] == b"n+2" else 352
    if offset == 0:
        offset = smallest
    if not smallest <= offset < 1e9 or offset != int(offset):
        raise bad_header(path, f"the data cannot start at byte {offset:g}")
    dtype = np.dtype(TYPES[header.datatype]).newbyteorder("<" if header.byte_order == "<" else ">")
    where = (0, int(offset)) if encoding == "gzip" else (int(offset), 0)
    values = Payload(path, where[0], encoding, dtype, sizes, where[1]).decode()
    if np.isnan(header.slope) or header.slope == 0:  # the format's two ways to say "not scaled"
        return values
    return rescaled(values, header.slope, header.intercept)


def _affine(path: Path, header: Header, sizes: tuple[int, int, int]) -> Affine:
    """Return the LPS affine, from sform, qform, or both where they agree."""
    spacing = np.array(header.pixdim[1:4], float)
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise bad_header(path, f"the voxel size {header.pixdim[1:4]} is not positive")
    if header.unit not in UNIT_MM:
        raise bad_header(path, f"the unit of length {header.unit} is not known")
    places = []
    if header.sform_code > 0:
        places.append(_sform(path, header, spacing))
    if header.qform_code > 0:
        places.append(_qform(path, header, spacing))
    if not places:
        raise InputError(
            "ORIENTATION_UNKNOWN",
            f"{path.name} states neither sform nor qform: left and right are unknown.",
            "Export it from the original DICOM with a converter that keeps the orientation.",
        )
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in sizes])).reshape(3, -1).T
    here = [transform_points(affine, corners) for affine in places]
    apart_mm = float(np.abs(here[0] - here[-1]).max())
    if apart_mm * UNIT_MM[header.unit] > AGREEMENT_MM:
        raise _contradiction(path, f"sform and qform differ by up to {apart_mm:.3g} mm")
    scale = np.diag([UNIT_MM[header.unit]] * 3 + [1.0])
    return lps_to_ras(scale @ places[0])


def _sform(path: Path, header: Header, spacing: NDArray[np.float64]) -> Affine:
    affine = np.eye(4)
    affine[:3] = np.array(header.s_rows, float).reshape(3, 4)
    affine = np.array(checked_affine(affine))
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(steps / spacing - 1).max() > 0.01:
        raise _contradiction(path, f"sform has voxels of {steps} mm, pixdim of {spacing} mm")
    return affine


def _qform(path: Path, header: Header, spacing: NDArray[np.float64]) -> Affine:
    b, c, d = header.quaternion
    rest = 1 - (b * b + c * c + d * d)
    if not np.isfinite(rest) or rest < -1e-5:
        raise bad_header(path, "the qform's quaternion is longer than 1")
    # Below single precision's rounding this is a half turn, as in the format's reference code.
    a = float(np.sqrt(rest)) if rest >= 1e-7 else 0.0
    norm = float(np.sqrt(a * a + b * b + c * c + d * d))
    a, b, c, d = a / norm, b / norm, c / norm, d / norm
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handedness = -1.0 if header.pixdim[0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * (spacing * [1.0, 1.0, handedness])
    affine[:3, 3] = header.q_offset
    return np.array(checked_affine(affine))


def _contradiction(path: Path, what: str) -> InputError:
    return InputError(
        "AFFINE_CONTRADICTION",
        f"{path.name} states two places for one image: {what}.",
        "Set sform and qform to the same matrix, or export the image again.",
    )
