"""A DRR file's pixels and header as a radiograph."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.errors import InputError
from TomoRayCore.io.drr_file import DrrHeader, DrrRecord
from TomoRayCore.io.radiograph_facts import Spacing, agreed_view, in_mm
from TomoRayCore.radiograph import Quantity, Radiograph

SPACING_AGREEMENT = 1e-3
"""Largest relative difference of two spacings that are the same."""

LEAST_TRANSMISSION = np.float32(1e-6)
"""Less counts as this much before the logarithm: behind all bone there is, more arrives."""


def drr_radiograph(
    name: str,
    pixels: NDArray[np.float32],
    header: DrrHeader,
    record: Mapping[str, str],
    asked: str | None,
    spacing: Spacing | None,
    *,
    clipped: bool = False,
) -> Radiograph:
    """Return a DRR with its geometry.

    Args:
        name: The file's, for messages.
        pixels: (H, W) in the header's quantity. Of a transmission the logarithm is taken, since
            a radiograph's pixels grow with attenuation.
        header: The file's.
        record: What the reader has to say; it gets the header's facts.
        asked: The caller's view; a DRR's own is not overruled.
        spacing: The caller's; likewise.
        clipped: Whether the file says that values beyond its window are not kept.

    Raises:
        InputError: ``GEOMETRY_CONTRADICTION``, ``SPACING_CONTRADICTION``, ``VIEW_CONTRADICTION``
            or ``VIEW_UNKNOWN``.
    """
    header.check_size(pixels.shape, name)
    own = header.acquisition.view(header.view).pixel_spacing_mm
    if spacing is not None and not np.allclose(spacing, own, rtol=SPACING_AGREEMENT, atol=0):
        raise InputError(
            "SPACING_CONTRADICTION",
            f"{name} is a DRR with pixels of {in_mm(own)}; {in_mm(spacing)} was given.",
            "Leave the spacing out: a DRR knows its own.",
        )
    label, view_reason = agreed_view(asked, {"the header": header.view}, name)
    polarity = "a DRR: larger is more attenuation"
    kept = header.quantity != "relative" and not clipped
    quantity: Quantity = "line_integral" if kept else "relative"
    if header.quantity == "transmission":
        pixels = -np.log(np.maximum(pixels, LEAST_TRANSMISSION))
        polarity = "a DRR of the transmission: its negative logarithm"
    full_record = {
        **record,
        "view": view_reason,
        "polarity": polarity,
        "spacing": f"the header's geometry: {in_mm(own)}",
        "quantity": quantity,
        **_facts(header.record),
    }
    return Radiograph(pixels, label, own, quantity, full_record, header.acquisition)


def _facts(record: DrrRecord) -> dict[str, str]:
    facts = {
        "attenuation": str(record.attenuation.get("name", "")),
        "physics": json.dumps(dict(record.physics)) if record.physics else "",
        "structure": record.structure,
        "selection": str(record.selection.get("rule", "")),
    }
    return {name: fact for name, fact in facts.items() if fact}
