"""Line integrals of the water-like and the bone-like part of a head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.drr import project
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.physics.beam import bone_fraction
from TomoRayCore.progress import Progress
from TomoRayCore.volume import AIR_HU, Volume

Image = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Parts:
    """One view's (R, C) line integrals at 60 keV, dimensionless; water and bone make the whole."""

    whole: Image
    water: Image
    bone: Image


def project_parts(
    volume: Volume,
    geometry: AcquisitionGeometry,
    *,
    decomposed: bool,
    progress: Progress | None = None,
) -> list[Parts]:
    """Return the line integrals of every view.

    Args:
        volume: HU in any orientation.
        geometry: Source and detector of each view.
        decomposed: Whether the two parts are needed; if not, all counts as water.
        progress: Told after each view.
    """
    progress = Progress() if progress is None else progress
    whole = project(volume, geometry, progress=progress.part(0, 0.5 if decomposed else 1))
    if not decomposed:
        return [Parts(image, image, np.zeros_like(image)) for image in whole]
    bone = project(_bone_alone(volume), geometry, progress=progress.part(0.5, 1))
    return [
        Parts(image, np.maximum(image - part, 0), part)
        for image, part in zip(whole, bone, strict=True)
    ]


def _bone_alone(volume: Volume) -> Volume:
    """Return a volume whose attenuation is the bone-like part of this one's."""
    hu = volume.array_hu.astype(np.float32)
    kept = bone_fraction(hu) * (hu - np.float32(AIR_HU)) + np.float32(AIR_HU)
    return Volume(kept, volume.ijk_to_lps)
