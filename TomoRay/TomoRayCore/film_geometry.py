"""Where source and detector stood for films, as far as they say: distances, spacing, views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry, Vector, ViewGeometry, as_triple
from TomoRayCore.radiograph import Radiograph

BEHIND_THE_HEAD_MM = 150.0
"""From the middle of a head to the detector where only the detector's distance is stated: half a
head and a bucky's depth, as in the preset ``radiography``."""


def geometry_of_films(
    radiographs: Sequence[Radiograph], like: AcquisitionGeometry
) -> tuple[AcquisitionGeometry, list[str]]:
    """Return the geometry that films state, completed by an arrangement, and what to warn about.

    Directions are the arrangement's; size and spacing are each film's. Where a film states the
    source's distances, they are taken; the head's middle is taken to lie in the central ray and in
    the middle of the film.

    Args:
        radiographs: In the order of the arrangement's views; AP and PA count as the same view.
        like: What is not stated.

    Raises:
        InputError: ``SPACING_UNKNOWN``.
    """
    views, stated = [], []
    for radiograph, view in zip(radiographs, like.views, strict=True):
        if radiograph.pixel_spacing_mm is None:
            raise InputError(
                "SPACING_UNKNOWN",
                f"The pixel spacing of the {radiograph.view} image is not known.",
                "State it in mm at the detector (--spacing MM, or in the panel), "
                "or give a geometry file.",
            )
        if radiograph.view != view.label:
            view = _from_the_other_side(view, like.isocentre_lps, radiograph.view)
        distances = _distances(radiograph, view)
        if distances is not None:
            view = _at(view, like.isocentre_lps, *distances)
            sad_mm, sdd_mm = distances
            stated.append(f"{view.label}: source {sad_mm:g} mm, detector {sdd_mm:g} mm")
        views.append(
            replace(view, size=radiograph.shape, pixel_spacing_mm=radiograph.pixel_spacing_mm)
        )
    geometry = AcquisitionGeometry(like.name, like.isocentre_lps, tuple(views))
    return geometry, [_warning(like.name, stated)]


def _warning(name: str, stated: Sequence[str]) -> str:
    if not stated:
        return (
            "GEOMETRY_ASSUMED: the images do not state where source and detector stood; "
            f"{name} about the middle of each image was assumed."
        )
    return (
        f"GEOMETRY_ASSUMED: the images state distances ({'; '.join(stated)}) and nothing more; "
        f"{name} about the middle of each image was assumed for the rest."
    )


def _distances(radiograph: Radiograph, view: ViewGeometry) -> tuple[float, float] | None:
    """Return the source's distances to head and detector, where any that can be is stated."""
    sad_mm, sdd_mm = radiograph.sad_mm, radiograph.sdd_mm
    if view.beam == "parallel" or (sad_mm is None and sdd_mm is None):
        return None
    if sdd_mm is None:
        sdd_mm = view.sdd_mm
    if sad_mm is None:
        sad_mm = sdd_mm - BEHIND_THE_HEAD_MM
    return (sad_mm, sdd_mm) if 0 < sad_mm < sdd_mm else None


def _at(view: ViewGeometry, isocentre_lps: Vector, sad_mm: float, sdd_mm: float) -> ViewGeometry:
    """Return the view with its source and detector at these distances along its central ray."""
    towards = np.array(view.normal)
    return replace(
        view,
        source_lps=as_triple(isocentre_lps + sad_mm * towards),
        detector_centre_lps=as_triple(isocentre_lps - (sdd_mm - sad_mm) * towards),
    )


def _from_the_other_side(view: ViewGeometry, isocentre_lps: Vector, label: str) -> ViewGeometry:
    """Turn AP into PA or back: source and detector change sides, the image is hung the same."""

    def opposite(point: Vector) -> Vector:
        return as_triple(2 * np.array(isocentre_lps) - np.array(point))

    return replace(
        view,
        label=label,
        source_lps=opposite(view.source_lps),
        detector_centre_lps=opposite(view.detector_centre_lps),
    )
