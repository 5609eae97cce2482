"""The header keys by which a DRR file carries its view, meaning and geometry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, get_args

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.hounsfield import MU_WATER_PER_MM
from TomoRayCore.radiograph import Quantity

VIEW_KEY = "tomoray_view"
QUANTITY_KEY = "tomoray_quantity"
ACQUISITION_KEY = "tomoray_acquisition"
MU_KEY = "tomoray_mu_water_per_mm"
WHITE_KEY = "tomoray_line_integral_at_white"


@dataclass(frozen=True)
class DrrHeader:
    """What a DRR file says of itself.

    Attributes:
        view: Label of the view in ``acquisition``.
        quantity: What a pixel's number means.
        acquisition: Geometry of all views.
    """

    view: str
    quantity: Quantity
    acquisition: AcquisitionGeometry

    def to_keys(self) -> dict[str, str]:
        """Return the header keys."""
        return {
            VIEW_KEY: self.view,
            QUANTITY_KEY: self.quantity,
            ACQUISITION_KEY: json.dumps(self.acquisition.to_dict(), separators=(",", ":")),
            MU_KEY: repr(MU_WATER_PER_MM),
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


def header_from(keys: Mapping[str, str], name: str) -> DrrHeader | None:
    """Return the header of a DRR file, or None for files that are none.

    Raises:
        InputError: ``BAD_HEADER`` or ``BAD_GEOMETRY`` for a damaged one.
    """
    if ACQUISITION_KEY not in keys:
        return None
    quantity = keys.get(QUANTITY_KEY, "")
    if VIEW_KEY not in keys or quantity not in get_args(Quantity):
        raise InputError(
            "BAD_HEADER",
            f"{name} carries a geometry but no valid view and quantity.",
            "Compute the DRR again.",
        )
    acquisition = AcquisitionGeometry.from_json(keys[ACQUISITION_KEY])
    return DrrHeader(keys[VIEW_KEY], cast(Quantity, quantity), acquisition)
