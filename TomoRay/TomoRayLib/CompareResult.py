"""What a comparison adds to the scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CompareResult:
    """Nodes and numbers of one comparison.

    Attributes:
        table: Table node with the metrics.
        difference: Volume node: synthetic CT minus ground truth, HU.
        metrics: The metrics as plain numbers and texts.
    """

    table: Any
    difference: Any
    metrics: Mapping[str, Any]
