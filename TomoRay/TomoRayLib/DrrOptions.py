"""The numbers of a DRR acquisition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from TomoRayCore.presets import from_preset

VIEWS = ("AP", "LAT")


@dataclass(frozen=True)
class DrrOptions:
    """Which geometry DRRs are made with.

    Attributes:
        preset: Name of the geometry preset.
        sadMm: Source to isocentre; None: the preset's.
        sddMm: Source to detector; None: the preset's.
        pixels: Detector pixels along each edge.
    """

    preset: str = "cranial-biplanar"
    sadMm: float | None = None
    sddMm: float | None = None
    pixels: int = 128

    def check(self) -> None:
        """Refuse numbers that make no acquisition.

        Raises:
            InputError: ``BAD_GEOMETRY`` or ``PRESET_UNKNOWN``.
        """
        from_preset(
            self.preset, size=self.pixels, views=VIEWS, sad_mm=self.sadMm, sdd_mm=self.sddMm
        )

    def task(self, ctFile: str, outputFolder: str) -> dict[str, Any]:
        """Return the worker's ``drr`` task."""
        return {
            "task": "drr",
            "ct": ctFile,
            "output_dir": outputFolder,
            "preset": self.preset,
            "size": int(self.pixels),
            "views": list(VIEWS),
            "sad_mm": self.sadMm,
            "sdd_mm": self.sddMm,
        }
