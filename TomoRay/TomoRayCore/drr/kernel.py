"""The compiled kernel, where there is one: ``kernel.c`` as a shared library, loaded once.

Nothing is compiled here; ``python -m TomoRayCore.drr.build`` does that. A library that is missing,
does not load, or was made from another ``kernel.c`` counts as none, and numpy does the work. The
environment variable ``TOMORAY_NO_KERNEL=1`` forces that. Calls release the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.drr.attenuation import MuRule

SOURCE = Path(__file__).with_name("kernel.c")
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
LIBRARY = SOURCE.with_name(f"tomoray_kernel{SUFFIX}")
OFF = "TOMORAY_NO_KERNEL"

Steps = ctypes.c_ssize_t * 3
Start = ctypes.c_double * 2
_POINTER, _SIZE, _FLOAT = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_float
ABOVE: dict[str, Any] = {"int16": ctypes.c_int16, "float32": _FLOAT, "uint32": ctypes.c_uint32}
"""Numbers of which the kernel can tell what lies above a threshold."""


def available() -> bool:
    """Say whether the compiled kernel is in use."""
    return os.environ.get(OFF, "") in ("", "0") and _library(LIBRARY) is not None


def state() -> str:
    """Return in words which implementation is in use, and why."""
    if os.environ.get(OFF, "") not in ("", "0"):
        return f"numpy ({OFF} is set)"
    if _library(LIBRARY) is not None:
        return "compiled kernel"
    return "numpy (the kernel beside it is stale or broken)" if LIBRARY.exists() else "numpy"


def source_digest() -> str:
    """Return the SHA-256 of ``kernel.c``, which its library must name."""
    return hashlib.sha256(SOURCE.read_bytes()).hexdigest()


def sum_slices(
    stack: NDArray[np.float32],
    row_positions: NDArray[np.float64],
    column_positions: NDArray[np.float64],
    total: NDArray[np.float32],
    first: tuple[int, int],
) -> None:
    """Do what ``slices.sum_slices`` says, for float32 and a total whose columns are neighbours."""
    _for_slices("tomoray_sum_slices", stack, row_positions, column_positions, total, first)


def spread_slices(
    image: NDArray[np.float32],
    row_positions: NDArray[np.float64],
    column_positions: NDArray[np.float64],
    stack: NDArray[np.float32],
) -> None:
    """Do what ``slices.spread_slices`` says, for float32 and an image whose columns are so."""
    _for_slices("tomoray_spread_slices", stack, row_positions, column_positions, image, (0, 0))


def warp(
    virtual: NDArray[np.float32],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    inside: NDArray[np.bool_],
    image: NDArray[np.float32],
) -> None:
    """Write what ``shear_warp.warp`` says where ``inside``; all arrays are contiguous."""
    _warped("tomoray_warp", virtual, rows, columns, inside, image)


def unwarp(
    virtual: NDArray[np.float32],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    inside: NDArray[np.bool_],
    image: NDArray[np.float32],
) -> None:
    """Add what ``shear_warp.unwarp`` says to the virtual image; all arrays are contiguous."""
    _warped("tomoray_unwarp", virtual, rows, columns, inside, image)


def convert(hu: NDArray[Any], rule: MuRule, mu_per_mm: NDArray[np.float32]) -> bool:
    """Write a rule's mu of a (D, H, W) part of a volume into a contiguous array, if it can.

    Args:
        hu: int16 or float32, with neighbouring voxels along the last axis.
        rule: From HU to mu.
        mu_per_mm: Filled, of the same shape.

    Returns:
        False, with nothing written, for any other layout.
    """
    name = {"int16": "tomoray_mu_int16", "float32": "tomoray_mu_float32"}.get(hu.dtype.name)
    if name is None or not (available() and _in_rows(hu)):
        return False
    getattr(_loaded(), name)(
        hu.ctypes.data,
        Steps(*hu.shape),
        _steps(hu),
        rule.mu_water_per_mm / 1000,
        rule.mu_water_per_mm,
        air_hu(rule),
        mu_per_mm.ctypes.data,
    )
    return True


def above(
    array: NDArray[Any], threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Return which slices, rows and columns of (D, H, W) hold anything above a threshold.

    None where the kernel cannot say: other numbers than int16, float32 and uint32, or voxels that
    are no neighbours along the last axis.
    """
    name = f"tomoray_above_{array.dtype.name}"
    if array.dtype.name not in ABOVE or not (available() and _in_rows(array)):
        return None
    if array.dtype == np.int16:
        threshold = min(max(math.floor(threshold), -32768), 32767)
    slices, rows = np.zeros(len(array), np.bool_), np.zeros(array.shape[1], np.bool_)
    highest = np.full(array.shape[2], threshold, array.dtype)
    getattr(_loaded(), name)(
        array.ctypes.data,
        Steps(*array.shape),
        _steps(array),
        threshold,
        slices.ctypes.data,
        rows.ctypes.data,
        highest.ctypes.data,
    )
    return slices, rows, highest > threshold


def air_hu(rule: MuRule) -> float:
    """Return the highest HU that attenuates nothing under a rule."""
    return -1000.0 if rule.air_below_hu is None else max(-1000.0, rule.air_below_hu)


def suits(*arrays: NDArray[Any]) -> bool:
    """Say whether the kernel can work on these arrays: it is there, and all are plain float32."""
    return available() and all(a.dtype == np.float32 and a.size and _usable(a) for a in arrays)


def _usable(array: NDArray[Any]) -> bool:
    whole = all(step % array.itemsize == 0 for step in array.strides)
    return whole and array.dtype.isnative and array.flags.aligned


def _in_rows(array: NDArray[Any]) -> bool:
    return array.strides[-1] == array.itemsize and _usable(array)


def _contiguous(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.ascontiguousarray(positions, np.float64)


def _steps(array: NDArray[Any]) -> ctypes.Array[ctypes.c_ssize_t]:
    return Steps(*(step // array.itemsize for step in array.strides))


def _for_slices(
    name: str,
    stack: NDArray[np.float32],
    row_positions: NDArray[np.float64],
    column_positions: NDArray[np.float64],
    image: NDArray[np.float32],
    first: tuple[int, int],
) -> None:
    rows, columns = _contiguous(row_positions), _contiguous(column_positions)
    failed = getattr(_loaded(), name)(
        stack.ctypes.data,
        Steps(*stack.shape),
        _steps(stack),
        Start(*first),
        rows.ctypes.data,
        rows.shape[1],
        columns.ctypes.data,
        columns.shape[1],
        image.ctypes.data,
        image.strides[0] // image.itemsize,
    )
    if failed:
        raise MemoryError("The DRR kernel could not get its scratch memory.")


def _warped(
    name: str,
    virtual: NDArray[np.float32],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    inside: NDArray[np.bool_],
    image: NDArray[np.float32],
) -> None:
    getattr(_loaded(), name)(
        virtual.ctypes.data,
        virtual.shape[1],
        rows.ctypes.data,
        columns.ctypes.data,
        inside.ctypes.data,
        inside.size,
        image.ctypes.data,
    )


def _loaded() -> ctypes.CDLL:
    library = _library(LIBRARY)
    if library is None:
        raise RuntimeError("There is no DRR kernel; ask available() first.")
    return library


@functools.cache
def _library(path: Path) -> ctypes.CDLL | None:
    """Load a library that was made from this very ``kernel.c``; None for any other."""
    try:
        library = ctypes.CDLL(str(path))
        library.tomoray_source.restype = ctypes.c_char_p
        if library.tomoray_source() != source_digest().encode():
            return None
        _declare(library)
    except (OSError, AttributeError):  # missing, for another machine, or not our library
        return None
    return library


def _declare(library: ctypes.CDLL) -> None:
    film: list[Any] = [_POINTER, _SIZE, _POINTER, _SIZE, _POINTER, _SIZE]
    for name in ("tomoray_sum_slices", "tomoray_spread_slices"):
        getattr(library, name).argtypes = [_POINTER, Steps, Steps, Start, *film]
    for name in ("tomoray_warp", "tomoray_unwarp"):
        function = getattr(library, name)
        function.argtypes = [_POINTER, _SIZE, _POINTER, _POINTER, _POINTER, _SIZE, _POINTER]
        function.restype = None
    for name in ("tomoray_mu_int16", "tomoray_mu_float32"):
        function = getattr(library, name)
        function.argtypes = [_POINTER, Steps, Steps, _FLOAT, _FLOAT, _FLOAT, _POINTER]
        function.restype = None
    for name, number in ABOVE.items():
        function = getattr(library, f"tomoray_above_{name}")
        function.argtypes = [_POINTER, Steps, Steps, number, _POINTER, _POINTER, _POINTER]
        function.restype = None
