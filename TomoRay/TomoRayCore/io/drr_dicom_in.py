"""The private text of a DICOM DRR: its geometry and record, exactly."""

from __future__ import annotations

import json
from pathlib import Path

from pydicom.dataset import Dataset

from TomoRayCore.io.guard import bad_header

PRIVATE_GROUP, PRIVATE_CREATOR, PRIVATE_KEYS = 0x0071, "TOMORAY DRR", 0x01

LINE_INTEGRAL = "LINE_INTEGRAL"
"""Rescale Type of line integrals, which survives where private texts are removed."""


def drr_keys(dataset: Dataset, path: Path) -> dict[str, str] | None:
    """Return a DRR's header keys, or None for images that are none of ours.

    Raises:
        InputError: ``BAD_HEADER`` for a damaged text.
    """
    try:
        block = dataset.private_block(PRIVATE_GROUP, PRIVATE_CREATOR)
    except KeyError:
        return None
    if PRIVATE_KEYS not in block:
        return None
    try:
        raw = block[PRIVATE_KEYS].value
        # Without a dictionary of private tags, implicit VR leaves bytes.
        keys = json.loads(raw.decode() if isinstance(raw, bytes) else raw)
    except (TypeError, ValueError, RecursionError) as error:
        raise bad_header(path, "the private text of a DRR is damaged") from error
    if not isinstance(keys, dict):
        raise bad_header(path, "the private text of a DRR is damaged")
    return {str(key): str(value) for key, value in keys.items()}
