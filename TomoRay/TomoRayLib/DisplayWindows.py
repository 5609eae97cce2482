"""What the compare views show: the engine's HU windows, and how far the difference's colours go."""

from __future__ import annotations

from TomoRayCore.windows import Window

DIFFERENCE_HU = {"full": 600.0, "brain": 80.0, "brain-narrow": 40.0, "bone": 800.0, "x2ct": 600.0}
"""The difference row shows minus to plus this value, by window; else a quarter of the width."""


def differenceLimit(window: Window) -> float:
    """Return the HU difference that gets the brightest colour."""
    return DIFFERENCE_HU.get(window.name, window.width_hu / 4)
