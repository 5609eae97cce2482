"""Single images as bytes of a file: NRRD and TIFF of float32, PNG of 16-bit greys.

Written here and not by a library: each format takes a few lines, and loading the libraries takes
longer than projecting a head.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

GREY_LEVELS = 65535

COMPRESSION = 6

SHORT, LONG, ASCII, RATIONAL = 3, 4, 2, 5
TIFF_SIZES = {ASCII: 1, SHORT: 2, LONG: 4, RATIONAL: 8}
DESCRIPTION_TAG = 270
Entry = tuple[int, int, tuple[int, ...] | bytes]
"""Tag, kind of number, values."""

CENTIMETRE, FLOATING_POINT, BLACK_IS_ZERO, UNCOMPRESSED = 3, 3, 1, 1


def nrrd_bytes(
    pixels: NDArray[np.float32], spacing_mm: tuple[float, float], keys: Mapping[str, str]
) -> bytes:
    """Return a NRRD file of an (H, W) image; ``spacing_mm`` is (row, column)."""
    rows, columns = pixels.shape
    row_mm, column_mm = spacing_mm
    lines = [
        "NRRD0004",
        "# https://teem.sourceforge.net/nrrd/format.html",
        "type: float",
        "dimension: 2",
        "space dimension: 2",
        f"sizes: {columns} {rows}",
        f"space directions: ({column_mm!r},0) (0,{row_mm!r})",
        "kinds: domain domain",
        "endian: little",
        "encoding: gzip",
        "space origin: (0,0)",
        *(f"{key}:={_one_line(text)}" for key, text in keys.items()),
    ]
    # No time stamp: the same DRR is the same file.
    data = gzip.compress(_little(pixels), COMPRESSION, mtime=0)
    return "\n".join([*lines, "", ""]).encode() + data


def tiff_bytes(
    pixels: NDArray[np.float32], spacing_mm: tuple[float, float], description: str
) -> bytes:
    """Return a TIFF file of an (H, W) image in one strip; the description is ASCII.

    The resolution is the detector's, (row, column) spacing, in pixels per centimetre.
    """
    rows, columns = pixels.shape
    data = _little(pixels)
    offset = 8
    entries: list[Entry] = [
        (256, LONG, (columns,)),
        (257, LONG, (rows,)),
        (258, SHORT, (32,)),
        (259, SHORT, (UNCOMPRESSED,)),
        (262, SHORT, (BLACK_IS_ZERO,)),
        (DESCRIPTION_TAG, ASCII, description.encode("ascii") + b"\0"),
        (273, LONG, (offset,)),
        (277, SHORT, (1,)),
        (278, LONG, (rows,)),
        (279, LONG, (len(data),)),
        (282, RATIONAL, _per_centimetre(spacing_mm[1])),
        (283, RATIONAL, _per_centimetre(spacing_mm[0])),
        (296, SHORT, (CENTIMETRE,)),
        (339, SHORT, (FLOATING_POINT,)),
    ]
    table_at = offset + len(data)
    return b"II*\0" + struct.pack("<I", table_at) + data + _tiff_table(entries, table_at)


def png_bytes(grey: NDArray[np.uint16], keys: Mapping[str, str]) -> bytes:
    """Return a 16-bit PNG file of an (H, W) image with texts; their keys are ASCII."""
    rows, columns = grey.shape
    header = struct.pack(">IIBBBBB", columns, rows, 16, 0, 0, 0, 0)
    # Each line is stored as its difference from the line above, which packs best.
    lines = np.frombuffer(grey.astype(">u2").tobytes(), np.uint8).reshape(rows, 2 * columns)
    filtered = np.full((rows, 1 + 2 * columns), 2, np.uint8)
    filtered[:, 1:] = lines
    filtered[1:, 1:] -= lines[:-1]
    chunks = [
        _png_chunk(b"IHDR", header),
        *(_png_text(key, text) for key, text in keys.items()),
        _png_chunk(b"IDAT", zlib.compress(filtered.tobytes(), COMPRESSION)),
        _png_chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _little(pixels: NDArray[np.float32]) -> bytes:
    return pixels.astype("<f4").tobytes()


def _one_line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _per_centimetre(spacing_mm: float) -> tuple[int, int]:
    """Return pixels per centimetre as numerator and denominator."""
    return 10_000_000, max(1, round(spacing_mm * 1_000_000))


def _tiff_table(entries: list[Entry], at: int) -> bytes:
    """Return the table of tags that starts at an offset of the file, and what it points to."""
    table = struct.pack("<H", len(entries))
    behind = b""
    behind_at = at + 2 + 12 * len(entries) + 4
    for tag, kind, values in entries:
        count = len(values) // (2 if kind == RATIONAL else 1)
        packed = values if isinstance(values, bytes) else _packed(kind, values)
        table += struct.pack("<HHI", tag, kind, count)
        if len(packed) <= 4:
            table += packed.ljust(4, b"\0")
        else:
            table += struct.pack("<I", behind_at + len(behind))
            behind += packed + b"\0" * (len(packed) % 2)  # values start at even offsets
    return table + b"\0\0\0\0" + behind


def _packed(kind: int, values: tuple[int, ...]) -> bytes:
    return struct.pack(f"<{len(values)}{'H' if kind == SHORT else 'I'}", *values)


def _png_text(key: str, text: str) -> bytes:
    if text.isascii():
        return _png_chunk(b"tEXt", f"{key}\0{text}".encode("ascii"))
    # Not compressed, in no stated language, with no translated key.
    return _png_chunk(b"iTXt", f"{key}\0\0\0\0\0{text}".encode())


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
