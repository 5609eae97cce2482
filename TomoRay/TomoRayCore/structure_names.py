"""Parts of a head by name: ``bone``, ``soft``, ``dense=300:3000``, ``tumour=mask.nrrd``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from TomoRayCore.errors import InputError

BUILT_IN = {"bone": "bone", "soft": "soft-tissue", "soft-tissue": "soft-tissue"}

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
HU_RANGE = re.compile(rf"(?P<low>{NUMBER})?:(?P<high>{NUMBER})?")


@dataclass(frozen=True)
class StructureWish:
    """A part of the volume that gets DRRs of its own.

    Attributes:
        name: In the names of the files.
        hu_range: low <= HU < high; None for others.
        mask: Volume file whose voxels other than 0 count; None for others.
    """

    name: str
    hu_range: tuple[float, float] | None = None
    mask: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; a mask is said to be one, its file is not named."""
        low, high = self.hu_range or (None, None)
        return {
            "name": self.name,
            "hu_low": low,
            "hu_high": high,
            "mask": self.mask is not None,
        }

    @property
    def built_in(self) -> bool:
        """Whether it is ``bone`` or ``soft-tissue``."""
        return self.hu_range is None and self.mask is None


def structure_wish(text: str, folder: Path = Path()) -> StructureWish:
    """Read ``bone``, ``soft``, ``NAME=LOW:HIGH`` (one end may be left out) or ``NAME=FILE``.

    Args:
        text: The wish; names are small letters, digits, hyphens and underscores.
        folder: What a relative file is relative to.

    Raises:
        InputError: ``STRUCTURE_UNKNOWN``.
    """
    name, equals, value = text.strip().partition("=")
    if not equals and name in BUILT_IN:
        return StructureWish(BUILT_IN[name])
    if not value or NAME.fullmatch(name) is None or name in BUILT_IN:
        raise _unknown(text)
    found = HU_RANGE.fullmatch(value)
    if found is None:
        return StructureWish(name, mask=folder / value)
    low = float(found["low"]) if found["low"] else -math.inf
    high = float(found["high"]) if found["high"] else math.inf
    if not low < high or (low, high) == (-math.inf, math.inf):
        raise _unknown(text)
    return StructureWish(name, hu_range=(low, high))


def _unknown(text: str) -> InputError:
    return InputError(
        "STRUCTURE_UNKNOWN",
        f"{text!r} names no part of the volume.",
        "Use bone, soft, NAME=LOW:HIGH in HU or NAME=FILE with a mask; names are small letters, "
        "digits, - and _.",
    )
