"""What a DRR file says of itself, in every format: view, meaning, geometry, and how it was made.

NRRD, PNG and DICOM files carry these keys each on its own, TIFF as one JSON text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.hounsfield import MU_WATER_PER_MM

FileQuantity = Literal["line_integral", "relative", "transmission"]
"""``transmission``: the share of the beam that arrives, larger = less attenuation; the others are
as ``radiograph.Quantity``."""

VIEW_KEY = "tomoray_view"
QUANTITY_KEY = "tomoray_quantity"
ACQUISITION_KEY = "tomoray_acquisition"
RECORD_KEY = "tomoray_drr"
MU_KEY = "tomoray_mu_water_per_mm"
BLACK_KEY = "tomoray_value_at_black"
WHITE_KEY = "tomoray_value_at_white"
CLIPPED_KEY = "tomoray_clipped"
"""In pictures that do not hold all values."""


@dataclass(frozen=True)
class DrrRecord:
    """How a DRR was made, in JSON's types.

    Attributes:
        attenuation: The rule from HU to attenuation, as ``drr.attenuation.MuRule.to_dict``.
        physics: What was simulated beyond line integrals; empty for nothing.
        structure: Which part of the volume was projected; empty for all of it.
        selection: The rule by which voxels, or shares of them, belong to that part.
        source_sha256: Of the volume's file or folder; empty when there was none.
    """

    attenuation: Mapping[str, Any] = field(default_factory=dict)
    physics: Mapping[str, Any] = field(default_factory=dict)
    structure: str = ""
    source_sha256: str = ""
    selection: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "attenuation": dict(self.attenuation),
            "physics": dict(self.physics),
            "structure": self.structure,
            "selection": dict(self.selection),
            "source_sha256": self.source_sha256,
        }

    @staticmethod
    def from_json(text: str) -> DrrRecord:
        """Read what a file holds.

        Raises:
            ValueError: For anything else.
        """
        data = json.loads(text)
        known = DrrRecord().to_dict()
        if isinstance(data, dict):
            data = {"selection": {}, **data}  # earlier records have none
        if not isinstance(data, dict) or any(
            not isinstance(data.get(name), type(value)) for name, value in known.items()
        ):
            raise ValueError("no record of a DRR")
        return DrrRecord(**{name: data[name] for name in known})


@dataclass(frozen=True)
class DrrHeader:
    """What a DRR file says of itself.

    Attributes:
        view: Label of the view in ``acquisition``.
        quantity: What a pixel's number means.
        acquisition: Geometry of all views.
        record: How it was made.
    """

    view: str
    quantity: FileQuantity
    acquisition: AcquisitionGeometry
    record: DrrRecord = DrrRecord()

    def to_keys(self) -> dict[str, str]:
        """Return the header keys; their texts are ASCII."""
        mu_per_mm = self.record.attenuation.get("mu_water_per_mm", MU_WATER_PER_MM)
        return {
            VIEW_KEY: self.view,
            QUANTITY_KEY: self.quantity,
            ACQUISITION_KEY: _compact(self.acquisition.to_dict()),
            MU_KEY: repr(float(mu_per_mm)),
            RECORD_KEY: _compact(self.record.to_dict()),
        }

    def check_size(self, shape: tuple[int, ...], name: str) -> None:
        """Refuse pixels that are not those of the view's detector.

        Raises:
            InputError: ``GEOMETRY_CONTRADICTION`` or ``VIEW_UNKNOWN``.
        """
        size = self.acquisition.view(self.view).size
        if tuple(shape) != size:
            raise InputError(
                "GEOMETRY_CONTRADICTION",
                f"{name} has {' x '.join(map(str, shape))} pixels, but its geometry is of a "
                f"detector with {size[0]} x {size[1]}.",
                "Use the DRR as it was written: cropping or resizing it makes its geometry false.",
            )


@dataclass(frozen=True)
class GreyScale:
    """Which values the darkest and the brightest grey of a picture stand for.

    Attributes:
        black: Value at grey 0.
        white: Value at the largest grey; another one.
    """

    black: float
    white: float

    def to_keys(self) -> dict[str, str]:
        """Return the header keys."""
        return {BLACK_KEY: repr(self.black), WHITE_KEY: repr(self.white)}

    def stored(self, values: NDArray[np.float32], levels: int) -> NDArray[np.uint16]:
        """Return greys 0 to ``levels``; values beyond the ends are clipped."""
        share = (values.astype(np.float64) - self.black) / (self.white - self.black)
        return np.asarray(np.rint(np.clip(share, 0, 1) * levels), np.uint16)

    def values(self, grey: NDArray[np.generic], levels: int) -> NDArray[np.float32]:
        """Return what greys 0 to ``levels`` stand for, to half a step."""
        step = (self.white - self.black) / levels
        return (self.black + step * np.asarray(grey, np.float64)).astype(np.float32)


def header_from(keys: Mapping[str, str], name: str) -> DrrHeader | None:
    """Return the header of a DRR file, or None for files that are none.

    Raises:
        InputError: ``BAD_HEADER`` or ``BAD_GEOMETRY`` for a damaged one.
    """
    if ACQUISITION_KEY not in keys:
        return None
    quantity = keys.get(QUANTITY_KEY, "")
    if VIEW_KEY not in keys or quantity not in get_args(FileQuantity):
        raise _damaged(name, "no valid view and quantity")
    acquisition = AcquisitionGeometry.from_json(keys[ACQUISITION_KEY])
    record = DrrRecord()
    if RECORD_KEY in keys:  # DRRs of the first version have none
        try:
            record = DrrRecord.from_json(keys[RECORD_KEY])
        except (ValueError, RecursionError) as error:
            raise _damaged(name, "no valid record of how it was made") from error
    return DrrHeader(keys[VIEW_KEY], cast(FileQuantity, quantity), acquisition, record)


def grey_scale_from(keys: Mapping[str, str], name: str) -> GreyScale | None:
    """Return a picture's scale, or None where greys are all that is known.

    Raises:
        InputError: ``BAD_HEADER`` for a damaged one.
    """
    if BLACK_KEY not in keys or WHITE_KEY not in keys:
        return None
    try:
        scale = GreyScale(float(keys[BLACK_KEY]), float(keys[WHITE_KEY]))
    except ValueError:
        scale = GreyScale(0.0, 0.0)
    ends = (scale.black, scale.white)
    if not all(map(math.isfinite, ends)) or scale.black == scale.white:
        raise _damaged(name, "no valid scale of its greys")
    return scale


def checked_pixels(pixels: NDArray[np.generic], header: DrrHeader) -> NDArray[np.float32]:
    """Return a DRR's pixels as float32.

    Raises:
        InputError: ``GEOMETRY_CONTRADICTION``, ``VIEW_UNKNOWN`` or ``NON_FINITE``.
    """
    values = np.asarray(pixels, np.float32)
    header.check_size(values.shape, "The DRR")
    if not np.isfinite(values).all():
        raise InputError(
            "NON_FINITE",
            "The DRR holds NaN or infinite line integrals.",
            "Check the volume that it was computed from.",
        )
    return values


def _compact(data: Mapping[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def _damaged(name: str, what: str) -> InputError:
    return InputError(
        "BAD_HEADER", f"{name} carries a geometry but {what}.", "Compute the DRR again."
    )
