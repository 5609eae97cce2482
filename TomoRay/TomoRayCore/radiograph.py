"""A projection image of one view: a measured radiograph or a DRR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import FARTHEST_MM, AcquisitionGeometry, bad_geometry
from TomoRayCore.view_names import is_oblique_label

View = Literal["AP", "PA", "LAT"]
"""AP and PA are frontal, LAT is lateral. Row 0 is superior; a frontal image's column 0 is the
patient's right, a lateral image's column 0 is anterior."""

Quantity = Literal["line_integral", "relative"]
"""``line_integral``: dimensionless integral of mu; ``relative``: monotonic in it, scale unknown."""

MIN_PIXELS = 16
"""Fewer rows or columns cannot show a head."""


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One projection image, brought to one convention; valid once constructed.

    Attributes:
        pixels: (H, W) float32, larger = more attenuation, row 0 superior; read-only.
        view: ``AP``, ``PA`` or ``LAT``; a DRR's may also be made of angles (``A30``), or any label
            of its ``acquisition``.
        pixel_spacing_mm: (row, column) spacing at the detector in mm, or None where unknown.
        quantity: What a pixel's number means.
        provenance: What was read or done, as text: source file, polarity, spacing's origin, ...
        acquisition: Geometry of the whole examination, where the source states it (our DRRs do).
        sad_mm: From the source to the middle of the head, where a film states it.
        sdd_mm: From the source to the detector, likewise.

    Raises:
        InputError: ``NOT_2D``, ``NON_FINITE``, ``TOO_SMALL``, ``CONSTANT_IMAGE``,
            ``VIEW_UNKNOWN``, ``BAD_SPACING`` or ``BAD_GEOMETRY``.
    """

    pixels: NDArray[np.float32]
    view: str
    pixel_spacing_mm: tuple[float, float] | None
    quantity: Quantity = "relative"
    provenance: Mapping[str, str] = field(default_factory=dict)
    acquisition: AcquisitionGeometry | None = None
    sad_mm: float | None = None
    sdd_mm: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", _checked_pixels(self.pixels))
        own = () if self.acquisition is None else self.acquisition.labels
        if self.view not in (*get_args(View), *own) and not is_oblique_label(self.view):
            raise InputError(
                "VIEW_UNKNOWN",
                f"The view {self.view!r} is not known.",
                f"Use one of {', '.join(get_args(View))}.",
            )
        if self.pixel_spacing_mm is not None:
            row, column = (float(s) for s in self.pixel_spacing_mm)
            if not (0.01 <= row <= 20 and 0.01 <= column <= 20):
                raise InputError(
                    "BAD_SPACING",
                    f"A pixel spacing of {row:g} x {column:g} mm is not that of a radiograph.",
                    "Give the detector's pixel spacing in mm, between 0.01 and 20.",
                )
            object.__setattr__(self, "pixel_spacing_mm", (row, column))
        for distance_mm in (self.sad_mm, self.sdd_mm):
            if distance_mm is not None and not 0 < distance_mm < FARTHEST_MM:
                raise bad_geometry(f"A source at {distance_mm:g} mm took no radiograph.")
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    @property
    def is_film(self) -> bool:
        """Whether this was measured, as far as one can tell; our DRRs say what they are."""
        return self.quantity == "relative" and self.acquisition is None

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        rows, columns = self.pixels.shape
        return rows, columns


def _checked_pixels(values: NDArray[np.float32]) -> NDArray[np.float32]:
    array = np.asarray(values)
    if array.ndim != 2 or array.dtype.kind not in "iufb":
        raise InputError(
            "NOT_2D",
            f"A radiograph needs two dimensions of grey values; got shape {array.shape}.",
            "Pick one frame and one channel; colour photographs are not radiographs.",
        )
    with np.errstate(over="ignore"):
        checked = np.array(array, dtype=np.float32, order="C")
    if not np.isfinite(checked).all():
        raise InputError(
            "NON_FINITE",
            f"{int((~np.isfinite(checked)).sum())} pixels are NaN, infinite or beyond float32.",
            "Export the radiograph again.",
        )
    if min(array.shape) < MIN_PIXELS:
        raise InputError(
            "TOO_SMALL",
            f"A radiograph of {array.shape[0]} x {array.shape[1]} pixels cannot show a head.",
            f"Give at least {MIN_PIXELS} pixels along each side.",
        )
    if checked.min() == checked.max():
        raise InputError(
            "CONSTANT_IMAGE",
            f"Every pixel has the value {checked.flat[0]:g}.",
            "Check that the export worked; a blank film cannot be reconstructed.",
        )
    checked.setflags(write=False)
    return checked
