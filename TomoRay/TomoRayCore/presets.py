"""Named arrangements of source and detector, and views at any angle about the isocentre.

At 0 degrees the source is anterior (an AP view) and ``u`` points to the patient's left, so column
0 shows the patient's right. A positive angle turns source and detector about the superior axis;
at 90 degrees (LAT) the source is on the patient's left and ``u`` points to posterior, so column 0
is anterior. Both have ``v`` pointing to inferior: row 0 is superior.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import (
    AcquisitionGeometry,
    Beam,
    ViewGeometry,
    as_triple,
    as_vector,
    bad_geometry,
)

ANGLE_OF_VIEW = {"AP": 0.0, "PA": 180.0, "LAT": 90.0}


@dataclass(frozen=True)
class Preset:
    """A named arrangement; lengths in mm.

    Attributes:
        summary: One line for people.
        sad_mm: Source to isocentre.
        sdd_mm: Source to detector.
        beam: ``cone`` or ``parallel``.
        field_mm: Edge of the cube about the isocentre that the detector sees whole.
    """

    summary: str
    sad_mm: float
    sdd_mm: float
    beam: Beam = "cone"
    field_mm: float = 256.0


PRESETS: dict[str, Preset] = {
    "cranial-biplanar": Preset(
        "Frontal and lateral cone beams, SAD 1000 mm, SDD 1500 mm: TomoRay's default",
        sad_mm=1000.0,
        sdd_mm=1500.0,
    ),
    "radiography": Preset(
        "Skull radiographs: tube at SDD 1150 mm, film 150 mm behind the middle of the head",
        sad_mm=1000.0,
        sdd_mm=1150.0,
    ),
    "parallel": Preset(
        "Parallel beams, as X2CT-GAN's projection loss assumes",
        sad_mm=1000.0,
        sdd_mm=1500.0,
        beam="parallel",
    ),
}


def make_view(
    label: str,
    angle_deg: float,
    *,
    sad_mm: float,
    sdd_mm: float,
    detector_mm: float,
    size: int,
    isocentre_lps: ArrayLike = (0.0, 0.0, 0.0),
    beam: Beam = "cone",
) -> ViewGeometry:
    """Return a view whose central ray meets the isocentre at right angles to a square detector.

    Args:
        label: The view's name.
        angle_deg: Turn about the superior axis: 0 AP, 90 LAT, 180 PA. For angles beyond a right
            angle the image is shown from the front, as radiologists hang a PA film.
        sad_mm: Source to isocentre.
        sdd_mm: Source to detector.
        detector_mm: Edge length of the detector.
        size: Pixels along an edge.
        isocentre_lps: Point in space.
        beam: ``cone`` or ``parallel``.
    """
    if not (math.isfinite(angle_deg) and 0 < sad_mm < sdd_mm < math.inf):
        raise bad_geometry(
            "0 < SAD < SDD and a finite angle must hold; "
            f"got SAD {sad_mm:g} mm, SDD {sdd_mm:g} mm, {angle_deg:g} degrees."
        )
    if not (1 <= int(size) <= 8192 and detector_mm > 0):
        raise bad_geometry(f"A detector of {size} pixels and {detector_mm:g} mm cannot be built.")
    turn = math.radians(angle_deg)
    to_source = _exact_units(np.array([math.sin(turn), -math.cos(turn), 0.0]))
    along = _exact_units(np.array([math.cos(turn), math.sin(turn), 0.0]))
    if abs((angle_deg + 180) % 360 - 180) > 90 + 1e-9:
        along = -along + 0.0
    isocentre = np.array(as_vector("isocentre_lps", isocentre_lps))
    spacing_mm = detector_mm / size
    return ViewGeometry(
        label=label,
        source_lps=as_triple(isocentre + sad_mm * to_source),
        detector_centre_lps=as_triple(isocentre - (sdd_mm - sad_mm) * to_source),
        u=as_triple(along),
        v=(0.0, 0.0, -1.0),
        pixel_spacing_mm=(spacing_mm, spacing_mm),
        size=(size, size),
        beam=beam,
    )


def from_preset(
    name: str = "cranial-biplanar",
    *,
    isocentre_lps: ArrayLike = (0.0, 0.0, 0.0),
    size: int = 128,
    views: Sequence[str] = ("AP", "LAT"),
    sad_mm: float | None = None,
    sdd_mm: float | None = None,
    field_mm: float | None = None,
) -> AcquisitionGeometry:
    """Return a preset's geometry about an isocentre.

    The detector is as large as the shadow of a cube of ``field_mm`` about the isocentre, so the
    cube is seen whole from every preset view.

    Args:
        name: A key of ``PRESETS``.
        isocentre_lps: World position in mm.
        size: Pixels along each edge of the detector.
        views: Labels out of ``AP``, ``PA``, ``LAT``; upper or lower case.
        sad_mm: Instead of the preset's.
        sdd_mm: Instead of the preset's.
        field_mm: Instead of the preset's.

    Raises:
        InputError: ``PRESET_UNKNOWN``, ``VIEW_UNKNOWN`` or ``BAD_GEOMETRY``.
    """
    if name not in PRESETS:
        raise InputError(
            "PRESET_UNKNOWN",
            f"There is no geometry preset {name!r}.",
            f"Use one of {', '.join(PRESETS)}.",
        )
    preset = PRESETS[name]
    sad_mm = preset.sad_mm if sad_mm is None else float(sad_mm)
    sdd_mm = preset.sdd_mm if sdd_mm is None else float(sdd_mm)
    field_mm = preset.field_mm if field_mm is None else float(field_mm)
    if not 0 < field_mm < 2 * sad_mm:
        raise bad_geometry(
            f"A field of {field_mm:g} mm does not fit in front of a source at {sad_mm:g} mm."
        )
    magnification = sdd_mm / (sad_mm - field_mm / 2) if preset.beam == "cone" else 1.0
    labels = [str(label).strip().upper() for label in views]
    unknown = [label for label in labels if label not in ANGLE_OF_VIEW]
    if unknown:
        raise InputError(
            "VIEW_UNKNOWN",
            f"The view {unknown[0]!r} is not known.",
            f"Use one of {', '.join(ANGLE_OF_VIEW)}.",
        )
    return AcquisitionGeometry(
        name=name,
        isocentre_lps=as_vector("isocentre_lps", isocentre_lps),
        views=tuple(
            make_view(
                label,
                ANGLE_OF_VIEW[label],
                sad_mm=sad_mm,
                sdd_mm=sdd_mm,
                detector_mm=field_mm * magnification,
                size=size,
                isocentre_lps=isocentre_lps,
                beam=preset.beam,
            )
            for label in labels
        ),
    )


def _exact_units(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn 6e-17 into 0, so that right-angle views are exactly parallel to the world's axes."""
    return np.where(np.abs(vector) < 1e-12, 0.0, vector) + 0.0
