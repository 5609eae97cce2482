"""What the machine itself allows: how long reading the head, or the arithmetic, takes at least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from Testing.benchmarks.measure import bandwidth_gb_per_s, gflop_per_s
from Testing.benchmarks.scene import Scene
from TomoRayCore.geometry import ViewGeometry


@dataclass(frozen=True)
class Limit:
    """The least time of one view.

    Attributes:
        ms: Mean over the views.
        words: What limits, with the rate measured on this machine.
    """

    ms: float
    words: str


def limit(scene: Scene, views: Sequence[ViewGeometry]) -> Limit:
    """Return the larger of two times for the voxels that are not air, mean of the views.

    Either each is read once from memory as float32, or each slice is interpolated along rows and
    then columns (three operations a sample) and added to the image (one).
    """
    used = [
        int(np.ptp(np.flatnonzero(scene.mu_per_mm.any(axis=tuple({0, 1, 2} - {axis}))))) + 1
        for axis in range(3)
    ]
    rate_gb, rate_gflop = bandwidth_gb_per_s(scene.mu_per_mm), gflop_per_s()
    reading_ms = np.prod(used) * 4 / rate_gb / 1e6
    counting_ms = np.mean([_operations(used, view) for view in views]) / rate_gflop / 1e6
    if reading_ms >= counting_ms:
        return Limit(float(reading_ms), f"reading at {rate_gb:.1f} GB/s")
    return Limit(float(counting_ms), f"arithmetic at {rate_gflop:.0f} GFLOP/s")


def _operations(used: Sequence[int], view: ViewGeometry) -> int:
    """Return the operations of one view that faces the volume; v runs along k."""
    across = int(np.abs(view.u).argmax())  # 0 = x, 1 = y
    _, j, i = used
    slices, width = (j, i) if across == 0 else (i, j)
    rows, columns = view.size
    return slices * (3 * rows * width + 4 * rows * columns)
