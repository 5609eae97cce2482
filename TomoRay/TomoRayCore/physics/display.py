"""From pixels to grey values: a window, bone bright or dark, 8 or 16 bits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.errors import InputError


@dataclass(frozen=True, eq=False)
class Greys:
    """Grey values and the way back.

    Attributes:
        pixels: (R, C) uint8 or uint16.
        slope: ``pixel = slope * grey + intercept``, inside the window; negative when inverted.
        intercept: The same.
        low: Pixel value at one end of the window.
        high: The other end.
    """

    pixels: NDArray[np.uint16] | NDArray[np.uint8]
    slope: float
    intercept: float
    low: float
    high: float


@dataclass(frozen=True)
class Display:
    """How pixels become grey values.

    A line-integral image shows bone bright; a transmission image shows bone dark, and bright with
    ``invert``.

    Attributes:
        low: Pixel value shown black; None: the ``low_percentile`` of the image.
        high: Pixel value shown white; None: the ``high_percentile``.
        low_percentile: 0 to 100.
        high_percentile: 0 to 100, above the low one.
        invert: Black and white change places.

    Raises:
        InputError: ``BAD_OPTION``.
    """

    low: float | None = None
    high: float | None = None
    low_percentile: float = 0.0
    high_percentile: float = 99.9
    invert: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.low_percentile < self.high_percentile <= 100:
            raise InputError(
                "BAD_OPTION",
                f"Percentiles {self.low_percentile:g} to {self.high_percentile:g} hold no image.",
                "Give two rising numbers from 0 to 100.",
            )
        ends = [n for n in (self.low, self.high) if n is not None]
        if not all(math.isfinite(n) for n in ends) or (len(ends) == 2 and ends[0] >= ends[1]):
            raise InputError(
                "BAD_OPTION",
                f"A window from {self.low} to {self.high} is empty.",
                "Give a low end below the high end, or leave them to the percentiles.",
            )

    def window(self, pixels: NDArray[np.generic]) -> tuple[float, float]:
        """Return the (low, high) pixel values of an image, high above low."""
        low = self.low if self.low is not None else _percentile(pixels, self.low_percentile)
        high = self.high if self.high is not None else _percentile(pixels, self.high_percentile)
        # A constant image, or one beyond a given end, still needs a window.
        return low, high if high > low else low + 1.0

    def to_uint16(self, pixels: NDArray[np.generic]) -> Greys:
        """Return 16-bit grey values; values beyond the window are clipped."""
        scaled, slope, intercept, low, high = self._scaled(pixels, 65535)
        return Greys(scaled.astype(np.uint16), slope, intercept, low, high)

    def to_uint8(self, pixels: NDArray[np.generic]) -> Greys:
        """Return 8-bit grey values; values beyond the window are clipped."""
        scaled, slope, intercept, low, high = self._scaled(pixels, 255)
        return Greys(scaled.astype(np.uint8), slope, intercept, low, high)

    def _scaled(
        self, pixels: NDArray[np.generic], top: int
    ) -> tuple[NDArray[np.float64], float, float, float, float]:
        low, high = self.window(pixels)
        slope, intercept = (high - low) / top, low
        if self.invert:
            slope, intercept = -slope, high
        greys = np.rint((np.asarray(pixels, np.float64) - intercept) / slope)
        return np.clip(greys, 0, top), slope, intercept, low, high


HEAD_HIGH = 0.15
BEHIND_A_HEAD = Display(low=0.0, high=HEAD_HIGH, invert=True)
"""Bone bright from transmission: the open beam would take up nearly the whole scale, so all that
passes 9 cm of tissue or less (15 %) is black."""


SHADOW_BELOW, SHADOW_PERCENTILE = 0.95, 75.0
LEAST_HIGH = 1e-6


def behind(pixels: NDArray[np.generic]) -> Display:
    """Return the display of a transmission image, bone bright.

    Its window ends at what all but a quarter of the shadow's pixels stay below. Behind a whole head
    it ends at ``BEHIND_A_HEAD``'s 15 % at most; behind bone alone more than that passes.
    """
    values = np.asarray(pixels, np.float64)
    shadow = values[values < SHADOW_BELOW]
    if not shadow.size:
        return Display(low=0.0, high=1.0, invert=True)
    high = max(_percentile(shadow, SHADOW_PERCENTILE), LEAST_HIGH)
    if np.median(shadow) <= HEAD_HIGH < high:
        return BEHIND_A_HEAD
    return Display(low=0.0, high=high, invert=True)


def _percentile(pixels: NDArray[np.generic], percent: float) -> float:
    return float(np.percentile(np.asarray(pixels, np.float64), percent))
