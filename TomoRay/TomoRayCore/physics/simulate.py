"""The one door to physical DRRs: project once, then follow the beam to the image.

Order: rays -> tube spectrum -> focal spot -> scatter and grid -> detector blur -> pixels -> quanta
-> logarithm. Each step is left out unless the options ask for it; by default a pixel is exactly
what ``drr.project`` gives.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.drr import PLASTIMATCH, WATER_60KEV, siddon_project
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry
from TomoRayCore.hounsfield import MU_WATER_ENERGY_KEV
from TomoRayCore.physics import beam, detector
from TomoRayCore.physics.detector import AntiscatterGrid, Scatter
from TomoRayCore.physics.options import DrrOptions
from TomoRayCore.physics.parts import Parts, project_parts
from TomoRayCore.physics.spectrum import (
    Spectrum,
    half_value_layer_mm,
    mono,
    photons_per_mm2_per_ugy,
    tube_spectrum,
)
from TomoRayCore.progress import Progress
from TomoRayCore.volume import Volume

Image = NDArray[np.float32]
Array = NDArray[np.float64]

SHARE_OF_PROJECTING = 0.8
"""Of the progress bar."""

SMALLEST_INTENSITY = 1e-300
"""Behind 690 mean free paths (a block of metal) there would be nothing left to take a log of."""


@dataclass(frozen=True, eq=False)
class SimulatedView:
    """One view's image and what went into it.

    Attributes:
        label: The view's name.
        pixels: (R, C) float32 in the quantity's unit.
        quantity: ``line-integral``, ``transmission``, or ``plastimatch-raw`` (a tenth of the line
            integral).
        applied: Options, attenuation rule and derived numbers, plain JSON types.
        structures: Further images of the head's parts alone, same quantity.
    """

    label: str
    pixels: Image
    quantity: str
    applied: Mapping[str, Any]
    structures: Mapping[str, Image]


def simulate(
    volume: Volume,
    geometry: AcquisitionGeometry,
    options: DrrOptions | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[SimulatedView]:
    """Return one image a view.

    A part's image (``options.structures``) is the same examination of a head of that part alone,
    with its own scatter and its own noise.

    Args:
        volume: HU in any orientation.
        geometry: Source and detector of each view.
        options: None: line integrals at 60 keV.
        seed: Of the noise, from 0; an image depends on it and on the view's label only.
        progress: Told after each piece of the volume and each view.

    Raises:
        InputError: From the projector; ``BAD_OPTION`` for the seed; ``BAD_GEOMETRY`` where
            oversampling makes a detector of more than ``geometry.MOST_PIXELS`` along an edge.
    """
    if seed < 0:
        raise InputError("BAD_OPTION", f"The seed is {seed}.", "Give a whole number from 0.")
    options = DrrOptions() if options is None else options
    progress = Progress() if progress is None else progress
    projecting = progress.part(0, SHARE_OF_PROJECTING)
    if options.projector == "plastimatch":
        return _plastimatch(volume, geometry, options, projecting)
    parts = project_parts(
        volume,
        _oversampled(geometry, options.oversampling),
        decomposed=options.kvp is not None or bool(options.structures),
        progress=projecting,
    )
    views = []
    for number, (view, part) in enumerate(zip(geometry.views, parts, strict=True), start=1):
        chain = _Chain(view, geometry, options)
        views.append(chain.simulated(part, seed))
        done = SHARE_OF_PROJECTING + (1 - SHARE_OF_PROJECTING) * number / len(parts)
        progress("simulating", done, f"{view.label} simulated")
    return views


class _Chain:
    """The steps from line integrals to pixels, for one view."""

    def __init__(
        self, view: ViewGeometry, geometry: AcquisitionGeometry, options: DrrOptions
    ) -> None:
        self._view, self._options = view, options
        self._grid = AntiscatterGrid() if options.grid else AntiscatterGrid(1.0, 1.0)
        self._scatter = Scatter()
        self._spectrum = _spectrum(options)
        # Isocentre to detector along the normal; a point on the detector has no air gap to cross.
        ahead = np.subtract(geometry.isocentre_lps, view.detector_centre_lps)
        self._gap_mm = max(float(ahead @ view.normal), 1.0)
        self._fine_mm = (
            view.pixel_spacing_mm[0] / options.oversampling,
            view.pixel_spacing_mm[1] / options.oversampling,
        )
        self._focal_sigma_mm = detector.focal_spot_sigma_mm(
            options.focal_spot_mm, self._magnification()
        )
        self._open_quanta = self._quanta() if options.noisy else None

    def simulated(self, part: Parts, seed: int) -> SimulatedView:
        empty = np.zeros_like(part.whole)
        alone = {
            "bone": lambda: Parts(part.bone, empty, part.bone),
            "soft-tissue": lambda: Parts(part.water, part.water, empty),
        }
        label = self._view.label
        applied = self.applied()
        return SimulatedView(
            label,
            self._pixels(part, seed, label),
            self._options.quantity,
            applied,
            {
                name: self._pixels(alone[name](), seed, f"{label}/{name}")
                for name in self._options.structures
            },
        )

    def applied(self) -> dict[str, Any]:
        """What was done, in plain JSON types."""
        options, spectrum = self._options, self._spectrum
        applied: dict[str, Any] = {
            "summary": options.describe(),
            "options": options.to_dict(),
            "mu_rule": WATER_60KEV.to_dict(),
        }
        if options.kvp is not None:
            applied["spectrum"] = {
                "summary": spectrum.describe(),
                "model": "Tucker, Barnes and Chakraborty 1991",
                "mean_energy_kev": spectrum.mean_energy_kev,
                "half_value_layer_mm_al": half_value_layer_mm(spectrum),
            }
        if options.scatter:
            applied["scatter"] = vars(self._scatter) | vars(self._grid)
            applied["isocentre_to_detector_mm"] = self._gap_mm
        if options.focal_spot_mm:
            applied["focal_spot_sigma_at_detector_mm"] = self._focal_sigma_mm
        if self._open_quanta is not None:
            applied["quanta_per_pixel_in_open_beam"] = self._open_quanta
        return applied

    def _pixels(self, part: Parts, seed: int, stream: str) -> Image:
        options = self._options
        if options.pixels_are_projections:
            return part.whole
        signal = self._detected(self._primary(part))
        if self._open_quanta is not None:
            rng = np.random.default_rng([seed, zlib.crc32(stream.encode())])
            signal = detector.with_noise(
                signal, self._open_quanta, options.electronic_noise_quanta, rng
            )
        if options.quantity == "line-integral":
            signal = -np.log(signal)
        return signal.astype(np.float32)

    def _primary(self, part: Parts) -> Array:
        if self._options.kvp is None:
            primary = np.exp(-part.whole.astype(np.float64))
        else:
            primary = beam.intensity(part.water, part.bone, self._spectrum)
        return np.maximum(primary, SMALLEST_INTENSITY)

    def _detected(self, primary: Array) -> Array:
        """(R, C) share of the open beam that a pixel collects, from the fine primary."""
        options, fine_mm = self._options, self._fine_mm
        signal = detector.blur(primary, fine_mm, self._focal_sigma_mm)
        if options.scatter:
            scattered = detector.scatter_signal(signal, fine_mm, self._gap_mm, self._scatter)
            # The open beam passes the grid as well, so the primary's share stays.
            kept = self._grid.scatter_transmission / self._grid.primary_transmission
            signal = signal + kept * scattered
        signal = detector.blur(signal, fine_mm, options.detector_blur_mm)
        return detector.binned(signal, options.oversampling)

    def _magnification(self) -> float:
        sdd_mm = self._view.sdd_mm
        if self._view.beam == "parallel" or self._gap_mm >= sdd_mm:
            return 1.0
        return sdd_mm / (sdd_mm - self._gap_mm)

    def _quanta(self) -> float:
        """Noise-equivalent quanta of a pixel in the open beam."""
        options, spectrum = self._options, self._spectrum
        if options.exposure_ugy is not None:
            per_mm2 = options.exposure_ugy * photons_per_mm2_per_ugy(spectrum)
        else:
            per_mm2 = options.photons_per_mm2 or 0.0
        row_mm, column_mm = self._view.pixel_spacing_mm
        counted = beam.quantum_efficiency(spectrum) * self._grid.primary_transmission
        return per_mm2 * row_mm * column_mm * counted


def _spectrum(options: DrrOptions) -> Spectrum:
    if options.kvp is None:
        return mono(MU_WATER_ENERGY_KEV)
    return tube_spectrum(
        options.kvp, options.filtration_al_mm, options.filtration_cu_mm, options.anode_angle_deg
    )


def _oversampled(geometry: AcquisitionGeometry, factor: int) -> AcquisitionGeometry:
    if factor == 1:
        return geometry
    views = tuple(
        view.resized((view.size[0] * factor, view.size[1] * factor)) for view in geometry.views
    )
    return replace(geometry, views=views)


def _plastimatch(
    volume: Volume, geometry: AcquisitionGeometry, options: DrrOptions, progress: Progress
) -> list[SimulatedView]:
    applied = {
        "summary": options.describe(),
        "options": options.to_dict(),
        "mu_rule": PLASTIMATCH.to_dict(),
    }
    images = siddon_project(volume, geometry, rule=PLASTIMATCH, progress=progress)
    return [
        SimulatedView(view.label, image, "plastimatch-raw", applied, {})
        for view, image in zip(geometry.views, images, strict=True)
    ]
