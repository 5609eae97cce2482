"""NRRD files in (attached .nrrd, detached .nhdr), by the format's definition at teem.sf.net.

Parsed here and not by a library: every declared number is needed for the checks anyway, and a
damaged file must end in a refusal instead of a crash of the host process.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

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

MAX_HEADER = 1 << 20

TYPES: dict[str, DTypeLike] = {
    **dict.fromkeys(["signed char", "int8", "int8_t"], np.int8),
    **dict.fromkeys(["uchar", "unsigned char", "uint8", "uint8_t"], np.uint8),
    **dict.fromkeys(
        ["short", "short int", "signed short", "signed short int", "int16", "int16_t"], np.int16
    ),
    **dict.fromkeys(
        ["ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"], np.uint16
    ),
    **dict.fromkeys(["int", "signed int", "int32", "int32_t"], np.int32),
    **dict.fromkeys(["uint", "unsigned int", "uint32", "uint32_t"], np.uint32),
    **dict.fromkeys(["longlong", "long long", "int64", "int64_t"], np.int64),
    **dict.fromkeys(["ulonglong", "unsigned long long", "uint64", "uint64_t"], np.uint64),
    "float": np.float32,
    "double": np.float64,
}

ENCODINGS: dict[str, Encoding] = {
    "raw": "raw",
    "gzip": "gzip",
    "gz": "gzip",
    "bzip2": "bzip2",
    "bz2": "bzip2",
    "txt": "text",
    "text": "text",
    "ascii": "text",
}

SIGNS_TO_LPS = {
    "left-posterior-superior": (1.0, 1.0, 1.0),
    "lps": (1.0, 1.0, 1.0),
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
    "las": (1.0, -1.0, 1.0),
}

SPATIAL_KINDS = {"domain", "space", "???", "none"}


def read_nrrd(path: Path) -> StoredImage:
    """Read a scalar image of two or three dimensions.

    Raises:
        InputError: ``BAD_HEADER``, ``NOT_3D``, ``SEVERAL_CHANNELS``, ``UNSUPPORTED_FORMAT``,
            ``TRUNCATED_FILE``, ``SIZE_MISMATCH``, ``TOO_LARGE`` or ``UNREADABLE_FILE``.
    """
    with unreadable_as_input_error(path):
        fields, keys, header_size = _header(path)
        dimension = whole_numbers(path, "dimension", _need(path, fields, "dimension"), 1)[0]
        _check_scalar(path, fields, dimension)
        array = _payload(path, fields, dimension, header_size).decode()
        affine, spacing = _geometry(path, fields, dimension)
        return StoredImage(array, spacing, affine, keys)


def _header(path: Path) -> tuple[dict[str, str], dict[str, str], int]:
    """Return the fields, our key/value pairs, and where an attached file's data start."""
    with path.open("rb") as file:
        if re.fullmatch(rb"NRRD000[1-5]", file.readline(64).strip()) is None:
            raise bad_header(path, "the file does not start like an NRRD file")
        fields: dict[str, str] = {}
        keys: dict[str, str] = {}
        while file.tell() < MAX_HEADER:
            raw = file.readline(MAX_HEADER)
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if not line:
                return fields, keys, file.tell()
            if line.startswith("#"):
                continue
            key, colon, value = line.partition(":")
            if not colon:
                raise bad_header(path, f"the header line {line[:60]!r} has no colon")
            if value.startswith("="):
                if key.startswith(OWN_KEY_PREFIX):
                    keys[key] = _unescaped(value[1:])
            else:
                fields[key.strip().lower().replace(" ", "")] = value.strip()
    raise bad_header(path, "the header has no end")


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], value)


def _need(path: Path, fields: dict[str, str], name: str) -> str:
    value = fields.get(name.replace(" ", ""))
    if value is None:
        raise bad_header(path, f"the header has no field '{name}'")
    return value


def _check_scalar(path: Path, fields: dict[str, str], dimension: int) -> None:
    kinds = fields.get("kinds", "").lower().split()
    if any(kind not in SPATIAL_KINDS for kind in kinds):
        raise InputError(
            "SEVERAL_CHANNELS",
            f"{path.name} has axes of the kinds {', '.join(kinds)}: colour, vector or time data.",
            "Save one channel or one time point as a plain volume.",
        )
    if dimension not in (2, 3):
        raise InputError(
            "NOT_3D",
            f"{path.name} has {dimension} dimensions.",
            "Save one time point or one channel as a three-dimensional image.",
        )


def _payload(path: Path, fields: dict[str, str], dimension: int, header_size: int) -> Payload:
    name = _need(path, fields, "encoding").lower()
    if name not in ENCODINGS:
        raise InputError(
            "UNSUPPORTED_FORMAT",
            f"{path.name} has the encoding {name!r}.",
            "Save it with encoding raw or gzip.",
        )
    encoding = ENCODINGS[name]
    big = fields.get("endian", "little").lower() == "big"
    dtype = numpy_type(path, _need(path, fields, "type").lower(), TYPES, big)
    if dtype.itemsize > 1 and encoding != "text":
        _need(path, fields, "endian")
    sizes = whole_numbers(path, "sizes", _need(path, fields, "sizes"), dimension)
    skip = whole_numbers(path, "byte skip", fields.get("byteskip", "0"), 1)[0]
    lines = whole_numbers(path, "line skip", fields.get("lineskip", "0"), 1)[0]
    if lines or skip < -1 or (skip and encoding != "raw"):
        raise InputError(
            "UNSUPPORTED_FORMAT",
            f"{path.name} skips lines or bytes of its data.",
            "Save the image again as one .nrrd file.",
        )
    if "datafile" not in fields:
        return Payload(path, -1 if skip == -1 else header_size + skip, encoding, dtype, sizes)
    named = fields["datafile"]
    if named.upper().startswith("LIST") or "%" in named:
        raise InputError(
            "UNSUPPORTED_FORMAT",
            f"{path.name} spreads its data over several files.",
            "Save the image again as one .nrrd file.",
        )
    return Payload(neighbour_file(path, named), skip, encoding, dtype, sizes)


def _geometry(
    path: Path, fields: dict[str, str], dimension: int
) -> tuple[np.ndarray | None, tuple[float, ...] | None]:
    units = re.findall(r'"([^"]*)"', fields.get("spaceunits", ""))
    if any(unit.lower() not in ("", "mm", "millimeter", "millimeters") for unit in units):
        raise bad_header(path, f"the space units {units} are not millimetres")
    if "spacedirections" not in fields:
        if "spacings" not in fields:
            return None, None
        spacing = numbers(path, "spacings", fields["spacings"], dimension)
        return None, tuple(abs(mm) for mm in spacing)
    directions = [
        _vector(path, "space directions", text)
        for text in re.findall(r"\([^)]*\)|none", fields["spacedirections"])
    ]
    if len(directions) != dimension or len({len(d) for d in directions}) != 1:
        raise bad_header(path, "'space directions' does not fit the image's dimension")
    spacing = [float(np.linalg.norm(d)) for d in directions]
    signs = SIGNS_TO_LPS.get(fields.get("space", "").lower())
    if dimension != 3 or len(directions[0]) != 3 or signs is None:
        return None, tuple(spacing)
    origin = _vector(path, "space origin", fields.get("spaceorigin", "(0,0,0)"))
    if len(origin) != 3:
        raise bad_header(path, "'space origin' must be three numbers")
    return place(directions, origin, signs), tuple(spacing)


def _vector(path: Path, key: str, text: str) -> list[float]:
    words = text.strip().strip("()").replace(",", " ")
    return numbers(path, key, words, len(words.split()))
