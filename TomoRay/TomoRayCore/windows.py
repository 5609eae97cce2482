"""HU windows: what a picture shows and what a metric sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.errors import InputError


@dataclass(frozen=True)
class Window:
    """An interval of HU, given as radiologists do.

    Attributes:
        name: Key in ``WINDOWS``, or a free name.
        level_hu: Middle of the interval.
        width_hu: Its width; positive.

    Raises:
        InputError: ``BAD_WINDOW`` for a width that is not positive or numbers that are not finite.
    """

    name: str
    level_hu: float
    width_hu: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.level_hu, self.width_hu]).all() and self.width_hu > 0):
            raise InputError(
                "BAD_WINDOW",
                f"A window of level {self.level_hu:g} and width {self.width_hu:g} HU is empty.",
                "Give a finite level and a positive width.",
            )

    @property
    def low_hu(self) -> float:
        """HU that turns into 0 (black)."""
        return self.level_hu - self.width_hu / 2

    @property
    def high_hu(self) -> float:
        """HU that turns into 1 (white)."""
        return self.level_hu + self.width_hu / 2

    def clip(self, volume_hu: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return HU limited to the window, float32."""
        return np.clip(np.asarray(volume_hu, np.float32), self.low_hu, self.high_hu)

    def normalise(self, volume_hu: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return HU mapped to [0, 1], values outside clipped, float32."""
        scaled = self.clip(volume_hu)
        scaled -= np.float32(self.low_hu)
        scaled *= np.float32(1 / self.width_hu)
        # Rounding may leave the interval by 1e-7.
        return np.clip(scaled, 0, 1, out=scaled)

    def to_uint8(self, volume_hu: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Return HU as grey values 0 to 255 for display."""
        return np.rint(self.normalise(volume_hu) * 255).astype(np.uint8)

    def describe(self) -> str:
        """Return, e.g., ``[-1000, 1000] HU (L 0 W 2000)``."""
        return f"[{self.low_hu:g}, {self.high_hu:g}] HU (L {self.level_hu:g} W {self.width_hu:g})"


FULL = Window("full", 0.0, 2000.0)
BRAIN = Window("brain", 40.0, 80.0)
BRAIN_NARROW = Window("brain-narrow", 40.0, 40.0)
BONE = Window("bone", 500.0, 2000.0)
X2CT = Window("x2ct", 226.0, 2500.0)
"""HU + 1024 in [0, 2500], the range that X2CT-GAN normalises (Ying et al., CVPR 2019)."""

WINDOWS: dict[str, Window] = {w.name: w for w in (FULL, BRAIN, BRAIN_NARROW, BONE, X2CT)}


def window_named(name: str) -> Window:
    """Return a window of ``WINDOWS``.

    Raises:
        InputError: ``WINDOW_UNKNOWN`` for any other name.
    """
    if name not in WINDOWS:
        raise InputError(
            "WINDOW_UNKNOWN",
            f"There is no HU window {name!r}.",
            f"Use one of {', '.join(WINDOWS)}.",
        )
    return WINDOWS[name]
