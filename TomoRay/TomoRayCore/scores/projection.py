"""Whether a synthetic CT's DRRs are the CT's: at the views that it was made from, and at others.

A network may fit the views that it saw with a depth that it made up; only an unseen view tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.drr import project
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry
from TomoRayCore.presets import make_view
from TomoRayCore.scores.arrays import checked_pair
from TomoRayCore.scores.card import Card
from TomoRayCore.volume import Volume

SHADOW = 0.1
"""Line integral above which a pixel sees the head: 5 mm of water at 60 keV."""

SAME_VIEW_DEG = 1.0
"""A view nearer than this to an input is not unseen; nor is it from the opposite side."""

_PIXELS = f"pixels where the line integral of either is above {SHADOW:g}"
_VIEWS = "DRRs at 60 keV"
CARDS = {
    "ncc": Card(
        f"zero-mean normalised cross-correlation of {_VIEWS}",
        scale="line integrals of mu",
        mask=_PIXELS,
        averaging="one vector an image",
    ),
    "mae": Card(
        f"mean absolute error of {_VIEWS}, dimensionless",
        scale="line integrals of mu",
        mask=_PIXELS,
    ),
    "rmse": Card(
        f"root mean square error of {_VIEWS}, dimensionless",
        scale="line integrals of mu",
        mask=_PIXELS,
        averaging="root of the mean square",
    ),
}
"""The numbers of one view."""


def image_scores(image: NDArray[np.generic], truth: NDArray[np.generic]) -> dict[str, float | None]:
    """Return the numbers of ``CARDS`` of two (R, C) images of line integrals.

    All are None where neither shows anything; the correlation also where one is constant.
    """
    one, other = checked_pair(image, truth, dimensions=2)
    seen = np.maximum(one, other) > SHADOW
    if not seen.any():
        return dict.fromkeys(CARDS)
    a, b = one[seen], other[seen]
    error = a - b
    return {
        "ncc": _correlation(a, b),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
    }


def projection_scores(
    sct: Volume,
    ct: Volume,
    views: AcquisitionGeometry,
    unseen_deg: Sequence[float] = (30.0, 60.0),
) -> dict[str, dict[str, float | None]]:
    """Return the numbers of each view: input views by label, unseen ones as ``unseen_30``.

    Args:
        sct: Synthetic CT.
        ct: The truth, in the same world.
        views: The geometry that the synthetic CT was made from.
        unseen_deg: Turns about the superior axis, 0 being AP and 90 LAT, at the first input view's
            distances and detector. A turn that the inputs saw has None for all its numbers.
    """
    names, geometry = _all_views(views, unseen_deg)
    images = project(sct, geometry)
    truths = project(ct, geometry)
    found = {
        name: image_scores(image, truth)
        for name, image, truth in zip(names, images, truths, strict=True)
    }
    nothing: Mapping[str, float | None] = dict.fromkeys(CARDS)
    return {name: found.get(name, dict(nothing)) for name in view_names(views, unseen_deg)}


def card_of(card: Card, view: str) -> Card:
    """Return the card of a number for a view or a group of views."""
    return replace(card, quantity=f"{card.quantity}; view: {view}")


def view_names(views: AcquisitionGeometry, unseen_deg: Sequence[float]) -> list[str]:
    """Return the names of input and unseen views, in that order."""
    return [label.lower() for label in views.labels] + [unseen_name(a) for a in unseen_deg]


def unseen_name(angle_deg: float) -> str:
    """Return, e.g., ``unseen_30``."""
    return f"unseen_{angle_deg:g}"


def _all_views(
    views: AcquisitionGeometry, unseen_deg: Sequence[float]
) -> tuple[list[str], AcquisitionGeometry]:
    inputs = list(views.views)
    unseen = {unseen_name(angle): _turned(views, angle) for angle in unseen_deg}
    kept = {n: v for n, v in unseen.items() if not any(_same_rays(v, one) for one in inputs)}
    names = [label.lower() for label in views.labels] + list(kept)
    geometry = AcquisitionGeometry("scored", views.isocentre_lps, (*inputs, *kept.values()))
    return names, geometry


def _turned(views: AcquisitionGeometry, angle_deg: float) -> ViewGeometry:
    first = views.views[0]
    height, width = (
        n * spacing for n, spacing in zip(first.size, first.pixel_spacing_mm, strict=True)
    )
    return make_view(
        unseen_name(angle_deg),
        float(angle_deg),
        sad_mm=first.sad_mm(views.isocentre_lps),
        sdd_mm=first.sdd_mm,
        detector_mm=(height, width),
        size=first.size,
        isocentre_lps=views.isocentre_lps,
        beam=first.beam,
    )


def _same_rays(one: ViewGeometry, other: ViewGeometry) -> bool:
    return float(abs(one.normal @ other.normal)) > float(np.cos(np.deg2rad(SAME_VIEW_DEG)))


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    if np.ptp(a) == 0 or np.ptp(b) == 0:  # before rounding makes something of nothing
        return None
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b))
