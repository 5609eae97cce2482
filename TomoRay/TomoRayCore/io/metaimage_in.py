"""MetaImage files in (.mha, and .mhd with its data beside it)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from TomoRayCore.coordinates import Affine
from TomoRayCore.errors import InputError
from TomoRayCore.io.guard import bad_header, unreadable_as_input_error
from TomoRayCore.io.stored_image import (
    OWN_KEY_PREFIX,
    Encoding,
    Payload,
    StoredImage,
    neighbour_file,
    numbers,
    numpy_type,
    place,
    whole_numbers,
)

MAX_HEADER_LINES = 1000
MAX_LINE = 1 << 16

TYPES: dict[str, DTypeLike] = {
    "MET_CHAR": np.int8,
    "MET_UCHAR": np.uint8,
    "MET_SHORT": np.int16,
    "MET_USHORT": np.uint16,
    "MET_INT": np.int32,
    "MET_UINT": np.uint32,
    "MET_LONG_LONG": np.int64,
    "MET_ULONG_LONG": np.uint64,
    "MET_FLOAT": np.float32,
    "MET_DOUBLE": np.float64,
}


def read_metaimage(path: Path) -> StoredImage:
    """Read a scalar image of two or three dimensions; its world is LPS by convention.

    Raises:
        InputError: as ``nrrd_in.read_nrrd``.
    """
    with unreadable_as_input_error(path):
        fields, header_size = _header(path)
        dimension = whole_numbers(path, "NDims", _need(path, fields, "NDims"), 1)[0]
        _check_scalar(path, fields, dimension)
        array = _payload(path, fields, dimension, header_size).decode()
        affine, spacing = _geometry(path, fields, dimension)
        own = {k: _unescaped(v) for k, v in fields.items() if k.startswith(OWN_KEY_PREFIX)}
        return StoredImage(array, spacing, affine, own)


def escaped(value: str) -> str:
    """Return text as one line, which is all that a MetaImage header can hold."""
    return value.replace("\\", "\\\\").replace("\r", "").replace("\n", "\\n")


def _unescaped(value: str) -> str:
    return value.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")


def _header(path: Path) -> tuple[dict[str, str], int]:
    """Return the fields and where the data of a .mha start."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        for _ in range(MAX_HEADER_LINES):
            line = file.readline(MAX_LINE).decode("utf-8", "replace")
            key, equals, value = line.partition("=")
            if not equals:
                raise bad_header(path, f"the line {line[:60]!r} does not belong to a MetaImage")
            fields[key.strip()] = value.strip()
            if key.strip() == "ElementDataFile":
                return fields, file.tell()
    raise bad_header(path, "the header does not end with 'ElementDataFile'")


def _need(path: Path, fields: dict[str, str], *names: str) -> str:
    value = _first(fields, *names)
    if value is None:
        raise bad_header(path, f"the header has no field '{names[0]}'")
    return value


def _first(fields: dict[str, str], *names: str) -> str | None:
    return next((fields[name] for name in names if name in fields), None)


def _flag(fields: dict[str, str], *names: str) -> bool:
    return (_first(fields, *names) or "").lower() in ("true", "1", "t", "y", "yes")


def _check_scalar(path: Path, fields: dict[str, str], dimension: int) -> None:
    if fields.get("ElementNumberOfChannels", "1") != "1":
        raise InputError(
            "SEVERAL_CHANNELS",
            f"{path.name} has {fields['ElementNumberOfChannels']} channels: colour or vector data.",
            "Save one channel as a plain volume.",
        )
    if dimension not in (2, 3):
        raise InputError(
            "NOT_3D",
            f"{path.name} has {dimension} dimensions.",
            "Save one time point or one channel as a three-dimensional image.",
        )


def _payload(path: Path, fields: dict[str, str], dimension: int, header_size: int) -> Payload:
    sizes = whole_numbers(path, "DimSize", _need(path, fields, "DimSize"), dimension)
    big = _flag(fields, "BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    dtype = numpy_type(path, _need(path, fields, "ElementType"), TYPES, big)
    encoding: Encoding = "raw"
    if not _flag({"BinaryData": "True", **fields}, "BinaryData"):
        encoding = "text"
    elif _flag(fields, "CompressedData"):
        encoding = "zlib"
    skip = whole_numbers(path, "HeaderSize", fields.get("HeaderSize", "0"), 1)[0]
    named = fields["ElementDataFile"]
    if named.upper() == "LOCAL":
        return Payload(path, header_size, encoding, dtype, sizes)
    if named.upper().startswith("LIST") or "%" in named:
        raise InputError(
            "UNSUPPORTED_FORMAT",
            f"{path.name} spreads its data over several files.",
            "Save the image again as one .mha file.",
        )
    return Payload(neighbour_file(path, named), max(skip, -1), encoding, dtype, sizes)


def _geometry(
    path: Path, fields: dict[str, str], dimension: int
) -> tuple[Affine | None, tuple[float, ...] | None]:
    text = _first(fields, "ElementSpacing", "ElementSize")
    if text is None:
        return None, None
    spacing = tuple(numbers(path, "ElementSpacing", text, dimension))
    if dimension != 3:
        return None, spacing
    identity = "1 0 0 0 1 0 0 0 1"
    matrix = _first(fields, "TransformMatrix", "Rotation", "Orientation") or identity
    rows = np.array(numbers(path, "TransformMatrix", matrix, 9)).reshape(3, 3)
    if np.abs(np.linalg.norm(rows, axis=1) - 1).max() > 1e-3 or min(spacing) <= 0:
        raise bad_header(
            path, "'TransformMatrix' is not made of unit vectors, or spacing is not positive"
        )
    origin = numbers(path, "Offset", _first(fields, "Offset", "Origin", "Position") or "0 0 0", 3)
    # Row n of the matrix is the direction of voxel axis n.
    steps = rows * np.array(spacing)[:, None]
    return place(steps.tolist(), origin, (1.0, 1.0, 1.0)), spacing
