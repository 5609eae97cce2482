"""Named arrangements of source and detector, and views at any angle about the isocentre.

At 0 degrees the source is anterior (an AP view) and ``u`` points to the patient's left, so column
0 shows the patient's right. A positive angle turns source and detector about the superior axis;
at 90 degrees (LAT) the source is on the patient's left and ``u`` points to posterior, so column 0
is anterior. Both have ``v`` pointing to inferior: row 0 is superior. A positive tilt then raises
the source toward the head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import (
    MOST_PIXELS,
    AcquisitionGeometry,
    Beam,
    ViewGeometry,
    as_triple,
    as_vector,
    bad_geometry,
)
from TomoRayCore.view_names import view_angle

Pair = tuple[float, float]

LARGEST_DETECTOR_MM = 10_000.0
"""A shadow wider than this comes of a source next to the field, not of a wish."""


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
    detector_mm: float | Pair,
    size: int | tuple[int, int],
    isocentre_lps: ArrayLike = (0.0, 0.0, 0.0),
    beam: Beam = "cone",
    tilt_deg: float = 0.0,
    rotate_deg: float = 0.0,
    detector_offset_mm: Pair = (0.0, 0.0),
    mirrored: bool | None = None,
) -> ViewGeometry:
    """Return a view whose central ray meets the isocentre at right angles to the detector.

    Args:
        label: The view's name.
        angle_deg: Turn about the superior axis: 0 AP, 90 LAT, 180 PA.
        sad_mm: Source to isocentre.
        sdd_mm: Source to detector.
        detector_mm: Edge length of the detector, or (height, width).
        size: Pixels along an edge, or (rows, columns).
        isocentre_lps: Point in space.
        beam: ``cone`` or ``parallel``.
        tilt_deg: Rise of the source toward the head.
        rotate_deg: Turn of the detector in its plane, from ``u`` toward ``v``: clockwise as the
            image is shown, so that what it shows turns counter-clockwise.
        detector_offset_mm: Shift of the detector's middle away from the central ray, along ``u``
            and ``v`` (after the turn).
        mirrored: Show the image from the other side than the source's. None: for angles beyond a
            right angle, as radiologists hang a PA film.
    """
    angles = (angle_deg, tilt_deg, rotate_deg, *detector_offset_mm)
    if not (all(map(math.isfinite, angles)) and 0 < sad_mm < sdd_mm < math.inf):
        raise bad_geometry(
            "0 < SAD < SDD and finite angles and offsets must hold; "
            f"got SAD {sad_mm:g} mm, SDD {sdd_mm:g} mm, {', '.join(f'{a:g}' for a in angles)}."
        )
    rows, columns = (size, size) if isinstance(size, int) else size
    height_mm, width_mm = (
        detector_mm if isinstance(detector_mm, tuple) else (detector_mm, detector_mm)
    )
    buildable = min(rows, columns) >= 1 and max(rows, columns) <= MOST_PIXELS
    if not (buildable and min(height_mm, width_mm) > 0):
        raise bad_geometry(
            f"A detector of {rows} x {columns} pixels and {height_mm:g} x {width_mm:g} mm cannot "
            "be built."
        )
    if mirrored is None:
        mirrored = abs((angle_deg + 180) % 360 - 180) > 90 + 1e-9
    to_source, u, v = _directions(angle_deg, tilt_deg, rotate_deg, mirrored)
    isocentre = np.array(as_vector("isocentre_lps", isocentre_lps))
    shift = detector_offset_mm[0] * u + detector_offset_mm[1] * v
    return ViewGeometry(
        label=label,
        source_lps=as_triple(isocentre + sad_mm * to_source),
        detector_centre_lps=as_triple(isocentre - (sdd_mm - sad_mm) * to_source + shift),
        u=as_triple(u),
        v=as_triple(v),
        pixel_spacing_mm=(height_mm / rows, width_mm / columns),
        size=(rows, columns),
        beam=beam,
    )


def from_preset(
    name: str = "cranial-biplanar",
    *,
    isocentre_lps: ArrayLike = (0.0, 0.0, 0.0),
    size: int | Sequence[int] = 128,
    views: Sequence[str] = ("AP", "LAT"),
    sad_mm: float | None = None,
    sdd_mm: float | None = None,
    field_mm: float | None = None,
    beam: Beam | None = None,
    spacing_mm: float | Sequence[float] | None = None,
    detector_mm: float | Sequence[float] | None = None,
    rotate_deg: float = 0.0,
    detector_offset_mm: Sequence[float] = (0.0, 0.0),
) -> AcquisitionGeometry:
    """Return a preset's geometry about an isocentre.

    Unless told otherwise the detector is as large as the shadow of a cube of ``field_mm`` about
    the isocentre: the cube is seen whole by an AP, PA or lateral view, and the ball in it by
    every view.

    Args:
        name: A key of ``PRESETS``.
        isocentre_lps: World position in mm.
        size: Pixels along each edge of the detector, or (rows, columns).
        views: ``AP``, ``PA``, ``LAT`` or angles; see ``view_names.view_angle``.
        sad_mm: Instead of the preset's.
        sdd_mm: Instead of the preset's.
        field_mm: Instead of the preset's.
        beam: Instead of the preset's.
        spacing_mm: Pixel spacing at the detector, one number or (row, column); instead of
            ``field_mm``'s.
        detector_mm: Edge length of the detector, one number or (height, width); instead of
            ``field_mm``'s.
        rotate_deg: Turn of each detector in its plane; see ``make_view``.
        detector_offset_mm: Shift of each detector along its ``u`` and ``v``.

    Raises:
        InputError: ``PRESET_UNKNOWN``, ``VIEW_UNKNOWN`` or ``BAD_GEOMETRY`` (also for a
            view asked for twice).
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
    beam = preset.beam if beam is None else beam
    if not 0 < sad_mm < sdd_mm < math.inf:
        raise bad_geometry(f"0 < SAD < SDD must hold; got SAD {sad_mm:g} mm, SDD {sdd_mm:g} mm.")
    if not 0 < field_mm < 2 * sad_mm:
        raise bad_geometry(
            f"A field of {field_mm:g} mm does not fit in front of a source at {sad_mm:g} mm."
        )
    rows, columns = _whole_pair("size", size)
    magnification = sdd_mm / (sad_mm - field_mm / 2) if beam == "cone" else 1.0
    edges_mm = (field_mm * magnification, field_mm * magnification)
    if spacing_mm is not None and detector_mm is not None:
        raise bad_geometry("Both a pixel spacing and a detector size are given; one follows.")
    if spacing_mm is not None:
        row_mm, column_mm = _pair("spacing_mm", spacing_mm)
        edges_mm = (row_mm * rows, column_mm * columns)
    elif detector_mm is not None:
        edges_mm = _pair("detector_mm", detector_mm)
    elif edges_mm[0] > LARGEST_DETECTOR_MM:
        raise bad_geometry(
            f"With SAD {sad_mm:g} mm the near side of the {field_mm:g} mm field is "
            f"{sad_mm - field_mm / 2:g} mm from the source; at SDD {sdd_mm:g} mm its shadow would "
            f"be {edges_mm[0]:g} mm wide. Move the source away or name the detector's size."
        )
    return AcquisitionGeometry(
        name=name,
        isocentre_lps=as_vector("isocentre_lps", isocentre_lps),
        views=tuple(
            make_view(
                view.label,
                view.angle_deg,
                sad_mm=sad_mm,
                sdd_mm=sdd_mm,
                detector_mm=edges_mm,
                size=(rows, columns),
                isocentre_lps=isocentre_lps,
                beam=beam,
                tilt_deg=view.tilt_deg,
                rotate_deg=float(rotate_deg),
                detector_offset_mm=_pair("detector_offset_mm", detector_offset_mm),
                mirrored=view.mirrored,
            )
            for view in map(view_angle, views)
        ),
    )


def _directions(
    angle_deg: float, tilt_deg: float, rotate_deg: float, mirrored: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the unit vectors to the source, of growing column and of growing row."""
    turn, rise, spin = (math.radians(deg) for deg in (angle_deg, tilt_deg, rotate_deg))
    level = np.array([math.sin(turn), -math.cos(turn), 0.0])
    up = np.array([0.0, 0.0, 1.0])
    along = np.array([math.cos(turn), math.sin(turn), 0.0]) * (-1 if mirrored else 1)
    to_source = math.cos(rise) * level + math.sin(rise) * up
    down = math.sin(rise) * level - math.cos(rise) * up
    u = math.cos(spin) * along + math.sin(spin) * down
    v = math.cos(spin) * down - math.sin(spin) * along
    return _exact_units(to_source), _exact_units(u), _exact_units(v)


def _pair(name: str, value: float | Sequence[float]) -> Pair:
    """Return one number twice, or two numbers."""
    try:
        first, second = np.broadcast_to(np.asarray(value, float), 2).tolist()
    except (TypeError, ValueError) as error:
        raise bad_geometry(f"{name} must be one or two numbers, not {value!r}.") from error
    return first, second


def _whole_pair(name: str, value: float | Sequence[float]) -> tuple[int, int]:
    first, second = _pair(name, value)
    if not (first.is_integer() and second.is_integer()):
        raise bad_geometry(f"{name} must be whole numbers, not {value!r}.")
    return int(first), int(second)


def _exact_units(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn 6e-17 into 0, so that right-angle views are exactly parallel to the world's axes."""
    return np.where(np.abs(vector) < 1e-12, 0.0, vector) + 0.0
