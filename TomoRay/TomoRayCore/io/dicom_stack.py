"""Slices in order: sorted along their normal, checked for gaps, placed in the world."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.coordinates import Affine, checked_affine
from TomoRayCore.errors import InputError
from TomoRayCore.io.dicom_series import Slice, unreadable_slice

MIN_SLICES = 3

SAME_DIRECTION = 1e-3
"""Largest difference of direction cosines that counts as rounding."""

SAME_SPACING_MM = 1e-4

SAME_PLACE_MM = 0.02
"""Slices closer than this are at one position; no scanner reconstructs so finely."""

OFF_GRID_MM = 0.1
"""How far a slice may lie from its place on a uniform grid: positions rounded to 0.1 mm pass."""

GAP_TOLERANCE = 0.05
"""Relative: from here on a gap differs from another."""


def check_consistent(slices: Sequence[Slice]) -> None:
    """Refuse slices that cannot be one stack.

    Raises:
        InputError: ``TOO_FEW_SLICES``, ``UNREADABLE_SLICE``, ``NO_POSITION``,
            ``SPACING_UNKNOWN``, ``BAD_AFFINE`` or ``MIXED_GEOMETRY``.
    """
    if len(slices) < MIN_SLICES:
        raise too_few(len(slices))
    for s in slices:
        if s.size is None:
            raise unreadable_slice(s.path, "its header ends early")
        if s.position is None or s.orientation is None:
            raise InputError(
                "NO_POSITION",
                f"{s.path.name} does not say where it lies (Image Position, Image Orientation).",
                "Export the original series; the place of a slice must not be guessed.",
            )
        if s.spacing is None or min(s.spacing) <= 0:
            raise InputError(
                "SPACING_UNKNOWN",
                f"{s.path.name} has no usable Pixel Spacing.",
                "Export the original series with its pixel spacing.",
            )
    first = slices[0]
    row, column = _axes(first)
    if abs(row @ column) > SAME_DIRECTION or abs(np.linalg.norm([row, column]) - 2**0.5) > 1e-2:
        raise InputError(
            "BAD_AFFINE",
            f"{first.path.name}: Image Orientation is not two perpendicular unit vectors.",
            "Export the series again with a valid orientation.",
        )
    for s in slices[1:]:
        what = _difference(first, s)
        if what:
            raise InputError(
                "MIXED_GEOMETRY",
                f"{s.path.name} differs from {first.path.name} in {what}.",
                "Keep only the slices of one volume in the series.",
            )


def along_normal(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """Return the slices' positions along their common normal, in mm."""
    row, column = _axes(slices[0])
    normal = np.cross(row, column)
    return _positions(slices) @ (normal / np.linalg.norm(normal))


def stack_affine(slices: Sequence[Slice]) -> Affine:
    """Return the LPS affine of sorted slices.

    Raises:
        InputError: ``MISSING_SLICES``, ``NON_UNIFORM_SPACING``, ``NOT_COLLINEAR`` or
            ``SHEARED_GEOMETRY`` (gantry tilt).
    """
    _check_gaps(along_normal(slices))
    positions = _positions(slices)
    steps = np.arange(len(slices))
    # Least squares instead of first to last: rounded positions then average out.
    step, start = np.polyfit(steps, positions, 1)
    off_mm = np.linalg.norm(positions - (start + steps[:, None] * step), axis=1)
    row, column = _axes(slices[0])
    row_mm, column_mm = slices[0].spacing or (0.0, 0.0)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row * column_mm, column * row_mm, step], axis=1)
    affine[:3, 3] = start
    if off_mm.max() > OFF_GRID_MM:
        odd = slices[int(off_mm.argmax())]
        raise InputError(
            "NOT_COLLINEAR",
            f"{odd.path.name} lies {off_mm.max():.2f} mm off the line of the other slices.",
            "Export the series again as a uniform stack.",
        )
    return checked_affine(affine)


def too_few(count: int) -> InputError:
    """Return the refusal of a stack that is too thin."""
    return InputError(
        "TOO_FEW_SLICES",
        f"The series has {count} slice(s).",
        f"A volume needs at least {MIN_SLICES}; name the folder with the whole series.",
    )


def _check_gaps(positions_mm: NDArray[np.float64]) -> None:
    """Tell lost slices from changing spacing, by sorted positions along the normal."""
    gaps = np.diff(positions_mm)
    base = float(gaps.min())
    # Both ends of a gap may be off the grid.
    tolerance = max(2 * OFF_GRID_MM, GAP_TOLERANCE * base)
    wide = gaps > base + tolerance
    if not wide.any():
        steps = np.arange(len(positions_mm))
        off_mm = positions_mm - np.polyval(np.polyfit(steps, positions_mm, 1), steps)
        if np.abs(off_mm).max() > OFF_GRID_MM:
            raise _non_uniform(base, float(gaps.max()))
        return
    multiples = gaps[wide] / base
    whole = np.abs(multiples - np.rint(multiples)) <= tolerance / base
    # Three wide gaps in a row are how a series with two slice spacings looks, not a lost slice.
    in_a_row = np.convolve(wide.astype(int), [1, 1, 1], "valid").max(initial=0) == 3
    if not whole.all() or in_a_row:
        raise _non_uniform(base, float(gaps.max()))
    missing = int((np.rint(multiples) - 1).sum())
    raise InputError(
        "MISSING_SLICES",
        f"{missing} slice(s) are missing: most lie {base:.3g} mm apart, "
        f"but {int(wide.sum())} gap(s) are wider, up to {gaps.max():.3g} mm.",
        "Export the complete series; missing anatomy is not filled in.",
    )


def _non_uniform(low: float, high: float) -> InputError:
    return InputError(
        "NON_UNIFORM_SPACING",
        f"The slices lie {low:.3g} to {high:.3g} mm apart.",
        "Export a series with one slice spacing, or resample it first (3D Slicer does).",
    )


def _difference(first: Slice, other: Slice) -> str:
    """Return what keeps two slices from being of one stack, or ''."""
    if first.size != other.size:
        return f"size ({_times(first.size)} and {_times(other.size)} pixels)"
    if np.abs(np.subtract(first.orientation or (), other.orientation or ())).max() > SAME_DIRECTION:
        return "orientation"
    if np.abs(np.subtract(first.spacing or (), other.spacing or ())).max() > SAME_SPACING_MM:
        return "pixel spacing"
    if first.frame_of_reference != other.frame_of_reference:
        return "frame of reference"
    return ""


def _times(size: tuple[int, int] | None) -> str:
    return " x ".join(map(str, size or ()))


def _axes(s: Slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the unit vectors of growing column and of growing row."""
    six = np.array(s.orientation, float)
    return six[:3], six[3:]


def _positions(slices: Sequence[Slice]) -> NDArray[np.float64]:
    return np.array([s.position for s in slices], float)
