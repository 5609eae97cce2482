"""Line integrals of the water-like and the bone-like part of a head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.drr import Structure, project, project_structures
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.physics.beam import bone_fraction
from TomoRayCore.progress import Progress
from TomoRayCore.volume import Volume

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
        progress: Told after each piece of the volume.
    """
    if not decomposed:
        images = project(volume, geometry, progress=progress)
        return [Parts(image, image, np.zeros_like(image)) for image in images]
    # Weights of one leave every bit of the whole as ``project`` has it.
    whole, bone = Structure(weight=np.ones_like), Structure(weight=bone_fraction)
    images_of = project_structures(
        volume, geometry, {"whole": whole, "bone": bone}, progress=progress
    )
    return [
        Parts(image, np.maximum(image - part, 0), part)
        for image, part in zip(images_of["whole"], images_of["bone"], strict=True)
    ]
