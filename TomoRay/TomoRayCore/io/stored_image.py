"""An image as a file stores it, and the bytes behind it: declared, counted, decoded."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from TomoRayCore.coordinates import Affine
from TomoRayCore.errors import InputError
from TomoRayCore.io.guard import MAX_VOXELS, bad_header, too_large, truncated

Encoding = Literal["raw", "gzip", "bzip2", "zlib", "text"]

OWN_KEY_PREFIX = "tomoray_"
"""Only our own keys travel into memory: free text of other origin may name the patient."""


@dataclass(frozen=True, eq=False)
class StoredImage:
    """Values and geometry of a two- or three-dimensional file, before it means anything.

    Attributes:
        array: Values; axes are the reverse of the file's, so (k, j, i) or (rows, columns).
        spacing_mm: Along i, j(, k), or None where the file does not say.
        ijk_to_lps: 4x4 for a three-dimensional image whose place is known, else None.
        metadata: The file's ``tomoray_`` keys.
    """

    array: NDArray[Any]
    spacing_mm: tuple[float, ...] | None
    ijk_to_lps: Affine | None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Payload:
    """Where a file's values lie and how they are packed.

    Attributes:
        path: File that holds them (not the header's file where the two are apart).
        offset: Bytes to skip in it; -1 for "the last bytes of the file".
        encoding: How they are packed.
        dtype: Type of one value, byte order included.
        sizes: Values along i, j, k, ...: the first varies fastest.
        inner_offset: Bytes to skip after unpacking (a whole NIfTI file is packed, header and all).
    """

    path: Path
    offset: int
    encoding: Encoding
    dtype: np.dtype[Any]
    sizes: tuple[int, ...]
    inner_offset: int = 0

    @property
    def n_bytes(self) -> int:
        """Bytes that the unpacked values take."""
        return math.prod(self.sizes) * self.dtype.itemsize

    def decode(self) -> NDArray[Any]:
        """Return the values with axes (..., j, i).

        Raises:
            InputError: ``TOO_LARGE``, ``TRUNCATED_FILE``, ``SIZE_MISMATCH``, ``BAD_HEADER`` or
                ``UNREADABLE_FILE``.
        """
        if not all(n >= 1 for n in self.sizes):
            raise bad_header(self.path, f"the size {self.sizes} is not positive")
        if math.prod(self.sizes) > MAX_VOXELS:
            raise too_large(self.path, f"an image of {' x '.join(map(str, self.sizes))} voxels")
        if self.encoding == "text":
            return self._decode_text()
        if self.encoding == "raw":
            values = self._raw_values()
        else:
            values = np.frombuffer(self._exact_bytes(), self.dtype)
        return values.reshape(self.sizes[::-1])

    def _raw_values(self) -> NDArray[Any]:
        """Read plain values straight into an array, which costs half of what bytes do."""
        size = self.path.stat().st_size
        offset = max(size - self.n_bytes, 0) if self.offset < 0 else self.offset
        if size - offset > self.n_bytes:
            raise self._too_much()
        values = np.empty(math.prod(self.sizes), self.dtype)
        found = 0
        with self.path.open("rb", buffering=0) as file:
            file.seek(offset)
            room = memoryview(values.data).cast("B")
            while found < self.n_bytes and (more := file.readinto(room[found:])):
                found += more
        if found < self.n_bytes:
            raise truncated(self.path, self.n_bytes, found)
        values.setflags(write=False)
        return values

    def _exact_bytes(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(max(self.offset, 0))
            data = self._unpacked(file)
        if len(data) < self.n_bytes:
            raise truncated(self.path, self.n_bytes, len(data))
        if len(data) > self.n_bytes:
            raise self._too_much()
        return data

    def _too_much(self) -> InputError:
        return InputError(
            "SIZE_MISMATCH",
            f"{self.path.name} holds more data than the {' x '.join(map(str, self.sizes))} "
            "voxels that its header declares.",
            "The header is damaged or edited; export the image again.",
        )

    def _unpacked(self, file: IO[bytes]) -> bytes:
        """Unpack at most one byte more than declared, so that a bomb stays small.

        Asking for that one byte also makes the unpackers compare their checksum at the end.
        """
        wanted = self.n_bytes + 1
        if self.encoding == "zlib":
            unpacker = zlib.decompressobj()
            data = unpacker.decompress(file.read(), wanted)
            if len(data) <= self.n_bytes and not unpacker.eof:
                raise truncated(self.path, self.n_bytes, max(len(data) - 1, 0))
            return data
        import bz2
        import gzip

        stream = gzip.GzipFile(fileobj=file) if self.encoding == "gzip" else bz2.BZ2File(file)
        try:
            stream.read(self.inner_offset)
            return stream.read(wanted)
        except EOFError as error:
            found = max(stream.tell() - self.inner_offset, 0)
            raise truncated(self.path, self.n_bytes, min(found, self.n_bytes - 1)) from error

    def _decode_text(self) -> NDArray[Any]:
        words = self.path.read_bytes()[max(self.offset, 0) :].split()
        n = math.prod(self.sizes)
        if len(words) != n:
            raise truncated(self.path, n, len(words))
        return np.array(words).astype(np.float64).astype(self.dtype).reshape(self.sizes[::-1])


def numpy_type(path: Path, name: str, types: Mapping[str, DTypeLike], big: bool) -> np.dtype[Any]:
    """Look up a file format's name of a number type."""
    if name not in types:
        raise InputError(
            "UNSUPPORTED_FORMAT",
            f"{path.name} stores values of type {name!r}.",
            f"Export it as one of {', '.join(sorted(set(types)))}.",
        )
    return np.dtype(types[name]).newbyteorder(">" if big else "<")


def numbers(path: Path, key: str, text: str, count: int) -> list[float]:
    """Parse exactly ``count`` finite numbers out of a header's line."""
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = []
    if len(values) != count or not all(math.isfinite(v) for v in values):
        raise bad_header(path, f"'{key}' must be {count} numbers, not {text[:80]!r}")
    return values


def whole_numbers(path: Path, key: str, text: str, count: int) -> tuple[int, ...]:
    """Parse exactly ``count`` whole numbers out of a header's line."""
    values = numbers(path, key, text, count)
    if any(v != int(v) for v in values):
        raise bad_header(path, f"'{key}' must be whole numbers, not {text[:80]!r}")
    return tuple(int(v) for v in values)


def neighbour_file(header: Path, name: str) -> Path:
    """Return the data file that a header names; it must lie in the header's folder or below."""
    parts = Path(name.replace("\\", "/"))
    data = header.parent / parts
    inside = not parts.is_absolute() and ".." not in parts.parts
    if not inside or not data.is_file():
        raise InputError(
            "FILE_NOT_FOUND",
            f"{header.name} names the data file {name!r}, which is not beside it.",
            "Keep header and data file together, or save as one file (.nrrd, .mha).",
        )
    return data


def place(
    directions: Sequence[Sequence[float]], origin: Sequence[float], to_lps: Sequence[float]
) -> Affine:
    """Return the 4x4 affine of axis steps and an origin given in a world with other signs.

    Args:
        directions: For each of i, j, k the step in mm.
        origin: Position of the first voxel in mm.
        to_lps: +1 or -1 for each world axis.
    """
    affine = np.eye(4)
    affine[:3, :3] = np.array(directions, float).T
    affine[:3, 3] = origin
    return np.diag([*to_lps, 1.0]) @ affine
