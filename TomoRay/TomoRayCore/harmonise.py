"""Films to line integrals: collimation and markers taken off, and the contrast curve undone.

A film's grey value rises with attenuation, but nobody knows how: curve, gain and offset differ
from film to film. What differs little is how often a head shows which attenuation. So the values
in the head's shadow are mapped, in order, to those that the same shares of the shadow have in DRRs
of the training heads, view by view (``ViewReference``, kept in the model file); air becomes 0. The
mapping rises, so it invents no structure and hides none.

Limits: the field is taken as a rectangle along the film's edges; a head that is cut off by it has
other shares than a whole one; scatter, which is no function of the value alone, stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from TomoRayCore.errors import InputError

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Values = NDArray[np.float64]
Field = tuple[int, int, int, int]

LEVELS = np.linspace(0.0, 1.0, 65)
"""Shares of the shadow whose values are matched."""

ABOVE_AIR = 0.05
"""A shadow begins at this share of the way from air to the middle of what is bright. At a head's
rim attenuation rises so steeply that a film's curve hardly moves the outline."""

FLAT = 0.06
"""A hidden row or column varies, markers apart, by at most this share of the film's range."""

ENOUGH_PIXELS = 400
"""Of a row, to see that it is flat."""

SMALLEST_FIELD = 0.3
"""Share of an edge; where less would be left, nothing is taken for hidden."""

PENUMBRA = 0.005
"""Share of an edge that is taken off beside a hidden margin."""

MARKER_SHARE = 0.02
SPECK_SHARE = 1e-4
"""Bright islands beside the head between these shares of the film are markers."""

RIM = 0.01
"""Share of an edge by which a marker's blurred rim is taken off too."""


@dataclass(frozen=True)
class ViewReference:
    """Line integrals in the head's shadow, as DRRs of one view have them.

    Attributes:
        quantiles: At ``LEVELS``, rising.

    Raises:
        ValueError: For anything else.
    """

    quantiles: tuple[float, ...]

    def __post_init__(self) -> None:
        values = np.asarray(self.quantiles, float)
        rising = values.shape == LEVELS.shape and bool((np.diff(values) >= 0).all())
        if not rising or not np.isfinite(values).all() or not 0 <= values[0] < values[-1]:
            raise ValueError(f"a reference is no rising row of {len(LEVELS)} line integrals")

    @staticmethod
    def of(images: Sequence[Image]) -> ViewReference:
        """Return the mean of the quantiles of DRRs (R, C), rectified as the network sees them."""
        rows = [np.quantile(image[head_shadow(image)], LEVELS) for image in images]
        mean = np.maximum.accumulate(np.mean(rows, axis=0).clip(0))
        return ViewReference(tuple(round(float(value), 5) for value in mean))


def references_to_dict(references: Mapping[str, ViewReference]) -> dict[str, Any]:
    """Return a model file's ``harmonise``: quantiles by view."""
    return {"views": {label: list(r.quantiles) for label, r in references.items()}}


def references_from_dict(data: Mapping[str, Any], labels: Sequence[str]) -> list[ViewReference]:
    """Read what ``references_to_dict`` wrote, in the order of the views.

    Raises:
        KeyError, TypeError, ValueError: For anything else.
    """
    views = data["views"]
    return [ViewReference(tuple(float(value) for value in views[label])) for label in labels]


@dataclass(frozen=True, eq=False)
class CleanFilm:
    """A film without what is no radiograph.

    Attributes:
        pixels: (R, C); what was hidden or marked shows air.
        field: First and last row, first and last column of the field, half open.
        markers: How many were taken off.
    """

    pixels: Image
    field: Field
    markers: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"field": list(self.field), "markers_removed": self.markers}


def cleaned(film: Image) -> CleanFilm:
    """Take collimation and burned-in markers off a film (R, C), in which bright is dense.

    What lies over the head stays as it is.

    Raises:
        InputError: ``CONSTANT_IMAGE`` when nothing but one value is left.
    """
    field = exposed_field(film)
    top, bottom, left, right = field
    inside = film[top:bottom, left:right]
    head, others, count = _shadow_and_markers(inside, film.size)
    rim = max(1, round(RIM * max(film.shape)))
    others = ndimage.binary_dilation(others, iterations=rim) & ~head
    air = float(np.median(inside[~head & ~others])) if (~head & ~others).any() else _low(inside)
    pixels = np.full_like(film, air)
    pixels[top:bottom, left:right] = np.where(others, np.float32(air), inside)
    return CleanFilm(pixels, field, count)


def exposed_field(film: Image) -> Field:
    """Return the rectangle that the collimator or a shutter leaves open.

    Rows and columns at the edges that hold one value are hidden, however bright that value is, if
    the image beside them has another.
    """
    low, high = np.percentile(film, [0.5, 99.5])
    tolerance = FLAT * float(high - low)
    rows = _open_range(film, tolerance)
    columns = _open_range(film[slice(*rows)].T, tolerance)
    rows = _open_range(film[:, slice(*columns)], tolerance)  # beside a bright side margin
    return (*rows, *columns)


def matched(image: Image, reference: ViewReference) -> Image:
    """Return line integrals for a cleaned and rectified film (R, C).

    Values in the head's shadow go to the reference's of the same rank, those between air and
    shadow evenly to 0 and the reference's least.

    Raises:
        InputError: ``CONSTANT_IMAGE`` where there is no shadow.
    """
    head = head_shadow(image)
    if not head.any() or head.all():
        raise InputError(
            "CONSTANT_IMAGE",
            "No head stands out from the air around it.",
            "Check that the head lies in the film and around the isocentre.",
        )
    values = np.quantile(image[head], LEVELS)
    air = min(float(np.median(image[~head])), float(values[0]))
    known = np.concatenate([[air], values])
    wanted = np.concatenate([[0.0], reference.quantiles])
    # Equal values of the film cannot be told apart: they get the mean of what they stand for.
    known, place = np.unique(known, return_inverse=True)
    wanted = np.bincount(place, wanted) / np.bincount(place)
    return np.asarray(np.interp(image, known, wanted), np.float32)


def head_shadow(image: Image) -> Mask:
    """Return the largest part of an (R, C) image that is brighter than air."""
    return _shadow_and_markers(image, 0)[0]


def _shadow_and_markers(image: Image, film_size: int) -> tuple[Mask, Mask, int]:
    """Return the head's shadow, what is bright and small beside it, and how many such there are."""
    labels, count = ndimage.label(image > _end_of_air(image))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    if count == 0:
        return labels > 0, labels > 0, 0
    head = 1 + int(sizes[1:].argmax())
    small = (SPECK_SHARE * film_size < sizes) & (sizes <= MARKER_SHARE * film_size)
    small[[0, head]] = False
    return labels == head, small[labels], int(small.sum())


def _open_range(image: Image, tolerance: float) -> tuple[int, int]:
    """Return the first and the last row (half open) between the hidden ones at both ends."""
    some = image[:, :: max(1, image.shape[1] // ENOUGH_PIXELS)]
    low, level, high = np.percentile(some, [10, 50, 90], axis=1)
    flat = high - low <= tolerance
    count = len(level)
    first = _hidden(level, flat, tolerance)
    last = _hidden(level[::-1], flat[::-1], tolerance)
    if count - first - last < SMALLEST_FIELD * count:
        return 0, count
    return first, count - last


def _hidden(level: Values, flat: Mask, tolerance: float) -> int:
    """Return how many rows from the first on are hidden: flat, alike, and ended by a step.

    Without the step it is air that slowly gives way to the head.
    """
    alike = flat & (np.abs(level - level[0]) <= tolerance)
    if alike.all() or not alike[0]:
        return 0
    end = int(alike.argmin())
    if abs(level[end] - level[0]) <= tolerance:
        return 0
    return end + max(1, round(PENUMBRA * len(level)))


def _end_of_air(image: Image) -> float:
    bright = image > _otsu(image)
    if not bright.any():
        return float(image.max())
    air, middle = float(np.median(image[~bright])), float(np.median(image[bright]))
    return air + ABOVE_AIR * (middle - air)


def _otsu(image: Image) -> float:
    """Return the value that parts all values best into two classes (Otsu, 1979)."""
    low, high = np.percentile(image, [0.5, 99.5])
    if high <= low:
        raise InputError(
            "CONSTANT_IMAGE",
            f"Nearly every pixel of the film has the value {low:g}.",
            "Check that the export worked; a blank film cannot be reconstructed.",
        )
    counts, edges = np.histogram(np.clip(image, low, high), bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below, sums = np.cumsum(counts)[:-1], np.cumsum(counts * centres)[:-1]
    above, rest = counts.sum() - below, (counts * centres).sum() - sums
    between = below * above * (sums / below - rest / above) ** 2
    return float(edges[1:-1][int(between.argmax())])


def _low(image: Image) -> float:
    return float(np.percentile(image, 0.5))
