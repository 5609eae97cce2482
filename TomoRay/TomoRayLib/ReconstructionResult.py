"""What a reconstruction adds to the scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ReconstructionResult:
    """Nodes of one reconstruction.

    Attributes:
        syntheticCt: The synthetic CT.
        ap: The frontal image it was made from.
        lat: The lateral image it was made from.
        groundTruth: The CT to compare with, or None.
    """

    syntheticCt: Any
    ap: Any
    lat: Any
    groundTruth: Any = None
