"""Which DRRs of a CT are wanted, checked before anything is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import MOST_PIXELS, AcquisitionGeometry
from TomoRayCore.io.drr_out import SUFFIX_OF_FORMAT, window_scale
from TomoRayCore.presets import from_preset
from TomoRayCore.structure_names import StructureWish, structure_wish
from TomoRayCore.view_names import refuse_same

if TYPE_CHECKING:
    from TomoRayCore.physics.options import DrrOptions

Numbers = float | Sequence[float]

GEOMETRY, SIDECAR = "geometry.json", "drr.json"
"""What lies beside the images."""


@dataclass(frozen=True)
class DrrRequest:
    """Which DRRs of a CT are wanted; each field is described at ``drr_case.drr_files``."""

    preset: str = "cranial-biplanar"
    size: int | Sequence[int] = 128
    views: Sequence[str] = ("AP", "LAT")
    sad_mm: float | None = None
    sdd_mm: float | None = None
    isocentre: str | Sequence[float] | None = None
    parallel: bool = False
    spacing_mm: Numbers | None = None
    detector_mm: Numbers | None = None
    rotate_deg: float = 0.0
    detector_offset_mm: Sequence[float] = (0.0, 0.0)
    formats: Sequence[str] = ("nrrd", "png")
    structures: Sequence[str] = ()
    physics: str | Mapping[str, Any] = "line-integral"
    seed: int = 0
    window: Sequence[float] | None = None

    def geometry(self, isocentre_lps: Sequence[float] = (0.0, 0.0, 0.0)) -> AcquisitionGeometry:
        """Return the views about an isocentre; refuses what cannot be built."""
        refuse_same(self.views)
        return from_preset(
            self.preset,
            isocentre_lps=isocentre_lps,
            size=self.size,
            views=self.views,
            sad_mm=self.sad_mm,
            sdd_mm=self.sdd_mm,
            beam="parallel" if self.parallel else None,
            spacing_mm=self.spacing_mm,
            detector_mm=self.detector_mm,
            rotate_deg=self.rotate_deg,
            detector_offset_mm=self.detector_offset_mm,
        )

    def suffixes(self) -> list[str]:
        """Return the files' suffixes; refuses unknown formats and none."""
        unknown = [name for name in self.formats if name not in SUFFIX_OF_FORMAT]
        if unknown or not self.formats:
            raise InputError(
                "FORMAT_UNKNOWN",
                f"There is no DRR format {unknown[0]!r}." if unknown else "No format is named.",
                f"Use one or more of {', '.join(SUFFIX_OF_FORMAT)}.",
            )
        return [SUFFIX_OF_FORMAT[name] for name in dict.fromkeys(self.formats)]

    def wishes(self) -> list[StructureWish]:
        """Return the structures; refuses unknown ones and one name twice."""
        wishes = [structure_wish(text) for text in self.structures]
        names = [wish.name for wish in wishes]
        for name in names:
            if names.count(name) > 1:
                raise InputError(
                    "STRUCTURE_TWICE", f"The structure {name} is asked for twice.", "Rename one."
                )
        return wishes

    def options(self) -> DrrOptions | None:
        """Return what to simulate, or None for plain line integrals."""
        if self.physics == "line-integral":
            return None
        from TomoRayCore.physics.options import DrrOptions, options_named

        if isinstance(self.physics, str):
            options = options_named(self.physics)
        else:
            options = DrrOptions.from_dict(self.physics)
        return None if options == DrrOptions() else options

    def file_names(self) -> list[str]:
        """Return the names of all files that will be written; refuses what cannot be done."""
        parts = ["", *(wish.name for wish in self.wishes())]
        suffixes = self.suffixes()
        if self.window is not None:
            window_scale(self.window)
        geometry = self.geometry()
        self._check_noise_and_rays(geometry)
        return [
            f"{file_stem(label, part)}{suffix}"
            for label in geometry.labels
            for part in parts
            for suffix in suffixes
        ] + [GEOMETRY, SIDECAR]

    def _check_noise_and_rays(self, geometry: AcquisitionGeometry) -> None:
        if self.seed < 0:
            raise InputError(
                "BAD_OPTION", f"The seed is {self.seed}.", "Give a whole number from 0."
            )
        options = self.options()
        rays = 1 if options is None else options.oversampling
        edge = max(max(view.size) for view in geometry.views)
        if edge * rays > MOST_PIXELS:
            raise InputError(
                "BAD_OPTION",
                f"{rays} x {rays} rays a pixel make {edge * rays} along an edge of the detector.",
                f"Give fewer pixels or rays: {MOST_PIXELS} along an edge at most.",
            )


def file_stem(label: str, structure: str) -> str:
    """Return the name of an image's file without its suffix."""
    return f"{label.lower()}-{structure}" if structure else label.lower()
