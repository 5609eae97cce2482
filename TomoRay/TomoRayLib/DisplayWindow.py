"""Window presets of the compare views."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DisplayWindow:
    """Grey window in HU, and how far the difference's colours reach.

    Attributes:
        level: Middle of the window.
        width: From black to white.
        differenceHu: The difference row shows minus to plus this value.
        metrics: Name of the engine's window that the metrics use with this preset.
    """

    level: float
    width: float
    differenceHu: float
    metrics: str


DISPLAY_WINDOWS = {
    "full": DisplayWindow(level=0.0, width=2000.0, differenceHu=600.0, metrics="full"),
    "brain": DisplayWindow(level=40.0, width=80.0, differenceHu=80.0, metrics="brain"),
    "brain-narrow": DisplayWindow(
        level=40.0, width=40.0, differenceHu=40.0, metrics="brain-narrow"
    ),
    "soft tissue": DisplayWindow(level=40.0, width=400.0, differenceHu=200.0, metrics="full"),
    "bone": DisplayWindow(level=500.0, width=2500.0, differenceHu=1000.0, metrics="full"),
}
