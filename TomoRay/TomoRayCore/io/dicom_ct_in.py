"""A CT series from DICOM: the right volume, or a refusal that says what is wrong.

The usual series readers sort, drop and merge files without telling (12 of 28 realistic faulty
series come out wrong from the most used one); here every assumption is checked.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from TomoRayCore.errors import InputError
from TomoRayCore.io.dicom_dataset import is_synthetic, number, read_dataset, text, value
from TomoRayCore.io.dicom_pixels import layout_of, padding_range, stored_values
from TomoRayCore.io.dicom_series import Slice, find_series, unreadable_slice
from TomoRayCore.io.dicom_stack import (
    MIN_SLICES,
    SAME_PLACE_MM,
    along_normal,
    check_consistent,
    stack_affine,
    too_few,
)
from TomoRayCore.io.guard import MAX_VOXELS, check_plausible, too_large
from TomoRayCore.io.rescale import rescaled
from TomoRayCore.volume import SYNTHETIC_KEY, Volume

PADDING_HU = -1024
"""What pixels outside the reconstructed circle become: the lowest value of a 12-bit CT."""

BODY_HU = (-900.0, 3000.0)
"""No honest padding value lies in the range of the body's own values."""

READING_KEY = "tomoray_reading"
"""Metadata key of what was left out while reading."""

HU_TYPES = {"", "HU", "HU_MOD", "US"}
"""Rescale Types under which a CT's values are HU; others are maps such as effective Z."""


def read_ct_series(folder_or_file: str | os.PathLike[str]) -> Volume:
    """Read a CT series in any orientation.

    Args:
        folder_or_file: A folder with one CT series, or one file of the series that is meant.

    Returns:
        The volume in HU, int16 unless a slice has fractional rescaling. Slices are ordered along
        the normal, so that (i, j, k) is right-handed. ``metadata`` says what was left out, and
        marks a series that says it is synthetic.

    Raises:
        InputError: ``FILE_NOT_FOUND``, ``NO_DICOM``, ``NOT_CT``, ``SEVERAL_SERIES``,
            ``MULTI_FRAME_CT``, ``TOO_FEW_SLICES``, ``UNREADABLE_SLICE``, ``NO_POSITION``,
            ``SPACING_UNKNOWN``, ``MIXED_GEOMETRY``, ``SEVERAL_VOLUMES_AT_SAME_POSITION``,
            ``MISSING_SLICES``, ``NON_UNIFORM_SPACING``, ``NOT_COLLINEAR``,
            ``SHEARED_GEOMETRY``, ``NO_RESCALE``, ``AMBIGUOUS_PADDING``, ``BAD_SPACING``,
            ``BAD_AFFINE``, ``COLOUR_IMAGE`` or ``TOO_LARGE``.
    """
    source = Path(folder_or_file)
    slices, remarks = find_series(source)
    check_consistent(slices)
    _check_size(source, slices)
    order = np.argsort(along_normal(slices), kind="stable")
    slices = _without_copies([slices[i] for i in order], remarks)
    affine = stack_affine(slices)
    parts = [_SliceValues(s) for s in slices]
    metadata = {READING_KEY: "; ".join(remarks)} if remarks else {}
    if any(part.synthetic for part in parts):
        metadata[SYNTHETIC_KEY] = "true"
    volume = Volume(np.stack([part.hu for part in parts]), affine, metadata)
    check_plausible(volume.grid, source.name)
    return volume


class _SliceValues:
    """The HU of one slice, and whether it is marked as synthetic.

    Attributes:
        hu: (rows, columns), int16 where the values allow, else int32 or float32.
        synthetic: Whether the data set says so.
    """

    def __init__(self, s: Slice) -> None:
        try:
            data = read_dataset(s.path)
            self.hu = _hu(data, s.path)
        except InputError as error:
            if error.code in ("TRUNCATED_FILE", "UNREADABLE_FILE", "BAD_HEADER", "SIZE_MISMATCH"):
                raise unreadable_slice(s.path, error.message) from error
            raise
        self.synthetic = is_synthetic(data)


def _hu(data: Dataset, path: Path) -> NDArray[Any]:
    """Return stored values as HU; Photometric Interpretation is for display and changes nothing."""
    stored = stored_values(data, path)
    slope, intercept = _rescale(data, path)
    hu = rescaled(stored, slope, intercept)
    padding = _padding(data, path, stored, slope, intercept)
    if padding is not None:
        hu = np.where(padding, hu.dtype.type(PADDING_HU), hu)
    if hu.dtype.kind == "i" and hu.min() >= -32768 and hu.max() <= 32767:
        return hu.astype(np.int16)
    return hu


def _rescale(data: Dataset, path: Path) -> tuple[float, float]:
    slope, intercept = number(data, "RescaleSlope"), number(data, "RescaleIntercept")
    kind = text(data, "RescaleType")
    if kind not in HU_TYPES:
        raise InputError(
            "NOT_CT",
            f"{path.name} holds values of the type {kind[:16]!r}, not HU.",
            "Pick the series with CT numbers.",
        )
    stated = value(data, "RescaleSlope") is not None or value(data, "RescaleIntercept") is not None
    if slope is not None and intercept is not None and slope != 0:
        return slope, intercept
    if not stated and layout_of(data, path).signed:  # signed values without rescaling are HU
        return 1.0, 0.0
    raise InputError(
        "NO_RESCALE",
        f"{path.name} has no usable Rescale Slope and Intercept, so its HU are unknown.",
        "Export the original series.",
    )


def _padding(
    data: Dataset, path: Path, stored: NDArray[Any], slope: float, intercept: float
) -> NDArray[np.bool_] | None:
    """Return where there is no image, or None."""
    limits = padding_range(data, layout_of(data, path))
    if limits is None:
        return None
    mask = (stored >= limits[0]) & (stored <= limits[1])
    low, high = sorted(slope * limit + intercept for limit in limits)
    if high < BODY_HU[0] or low > BODY_HU[1]:
        return np.asarray(mask)
    if mask[[0, 0, -1, -1], [0, -1, 0, -1]].any():
        raise InputError(
            "AMBIGUOUS_PADDING",
            f"{path.name} is padded with {low:g} HU, a value that the body has too.",
            "Export the series again without padding, or with -1024 HU.",
        )
    # Declared but not in use: the corners would have it. Erasing it would punch holes in the body.
    return None


def _check_size(source: Path, slices: Sequence[Slice]) -> None:
    rows, columns = slices[0].size or (0, 0)
    if rows * columns * len(slices) > MAX_VOXELS:
        raise too_large(source, f"{len(slices)} slices of {rows} x {columns} pixels")


def _without_copies(slices: list[Slice], remarks: list[str]) -> list[Slice]:
    """Drop exact copies among sorted slices; refuse different images of one position."""
    kept = [slices[0]]
    positions = along_normal(slices)
    last = positions[0]
    for s, position in zip(slices[1:], positions[1:], strict=True):
        if position - last > SAME_PLACE_MM:
            kept.append(s)
            last = position
        elif not np.array_equal(_SliceValues(s).hu, _SliceValues(kept[-1]).hu):
            raise InputError(
                "SEVERAL_VOLUMES_AT_SAME_POSITION",
                f"{s.path.name} and {kept[-1].path.name} show different images of one position, "
                "as in a time series or with two reconstructions.",
                "Export one time point, or one reconstruction.",
            )
    if len(kept) < len(slices):
        remarks.append(f"{len(slices) - len(kept)} exact copies of slices left out")
    if len(kept) < MIN_SLICES:
        raise too_few(len(kept))
    return kept
