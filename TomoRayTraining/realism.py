"""DRRs made to look like radiographs: what a network trained on DRRs has never seen, added to them.

In physical order: scatter, with or without a grid, blur and quantum noise on the intensity
(``TomoRayCore.physics.detector``); then what makes of an intensity a film: a contrast curve, gain
and offset of each film's own; then what lies in front of it: the edges of the collimator and
burned-in side markers. All of it is a function of the generator alone, and takes a few
milliseconds a view.

No paired radiographs were at hand to fit the ranges to; they are wide guesses about what happens
to films.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry
from TomoRayCore.physics import detector

Image = NDArray[np.float32]
Random = np.random.Generator

SMALLEST_INTENSITY = 1e-6
GLYPHS = {
    "R": ("11110", "10001", "10001", "11110", "10100", "10010", "10001"),
    "L": ("10000", "10000", "10000", "10000", "10000", "10000", "11111"),
}
"""Letters of 5 x 7 squares, as lead markers are."""

LARGEST_MARGIN = 0.15
"""Share of a film's edge that one blade of the collimator may hide."""

SHUTTER_CHANCE, COLLIMATED_CHANCE, MARKER_CHANCE = 0.5, 0.6, 0.8


@dataclass(frozen=True)
class Look:
    """What one film was given; drawn by ``random_look``.

    Attributes:
        scatter: Factor on the scatter that reaches the detector: 1 without a grid.
        blur_pixels: Standard deviation of the blur in pixels.
        quanta: A pixel's in the open beam.
        gamma: Exponent of the contrast curve.
        shoulder: How far the curve is bent like a film's, 0 to 1.
        gain: Of the values.
        offset: Of the values.
        margins: Shares hidden above, below, left and right.
        shutter: Whether what is hidden is black; else as bright as the collimator's shadow.
        marker: ``R``, ``L`` or nothing.
    """

    scatter: float
    blur_pixels: float
    quanta: float
    gamma: float
    shoulder: float
    gain: float
    offset: float
    margins: tuple[float, float, float, float]
    shutter: bool
    marker: str


def random_look(random: Random) -> Look:
    """Draw the look of one film."""
    collimated = random.random() < COLLIMATED_CHANCE
    top, bottom, left, right = random.uniform(0, LARGEST_MARGIN, 4) * collimated
    return Look(
        scatter=float(random.uniform(0.1, 1.0)),
        blur_pixels=float(random.uniform(0.0, 0.7)),
        quanta=float(10 ** random.uniform(3.5, 5.0)),
        gamma=float(np.exp(random.uniform(-0.4, 0.4))),
        shoulder=float(random.uniform(0, 1)),
        gain=float(10 ** random.uniform(-1, 3.5)),
        offset=float(random.uniform(-0.5, 1.0)),
        margins=(float(top), float(bottom), float(left), float(right)),
        shutter=bool(random.random() < SHUTTER_CHANCE),
        marker=str(random.choice(list(GLYPHS))) if random.random() < MARKER_CHANCE else "",
    )


def realistic(
    images: Sequence[Image], geometry: AcquisitionGeometry, random: Random
) -> list[Image]:
    """Return films of line integrals, (R, C) each, with a look of their own each.

    Larger is still more attenuation; the scale means nothing any more.
    """
    return [
        film(image, view, geometry, random_look(random), random)
        for image, view in zip(images, geometry.views, strict=True)
    ]


def film(
    image: Image, view: ViewGeometry, geometry: AcquisitionGeometry, look: Look, random: Random
) -> Image:
    """Return one film of (R, C) line integrals."""
    shown = curved(detected(image, view, geometry, look, random), look)
    shown = with_marker(shown, look.marker, random)
    shown = collimated(shown, look, random)
    return np.asarray(look.gain * (shown + look.offset), np.float32)


def detected(
    image: Image, view: ViewGeometry, geometry: AcquisitionGeometry, look: Look, random: Random
) -> NDArray[np.float64]:
    """Return (R, C) minus the logarithm of what is counted behind the head."""
    primary = np.maximum(np.exp(-image.astype(np.float64)), SMALLEST_INTENSITY)
    ahead = np.subtract(geometry.isocentre_lps, view.detector_centre_lps)
    gap_mm = max(float(ahead @ view.normal), 1.0)
    scattered = detector.scatter_signal(primary, view.pixel_spacing_mm, gap_mm, detector.Scatter())
    intensity = primary + look.scatter * scattered
    intensity = detector.blur(intensity, (1.0, 1.0), look.blur_pixels)
    return np.asarray(-np.log(detector.with_noise(intensity, look.quanta, 0.0, random)))


def curved(values: NDArray[np.float64], look: Look) -> NDArray[np.float64]:
    """Return values bent by a rising curve, and brought to about 0 to 1.

    ``v ** gamma`` blended with the same curve's shoulder, an S that is flat at both ends.
    """
    low, high = np.percentile(values, [0.1, 99.9])
    share = np.clip((values - low) / max(high - low, 1e-6), 0.0, 1.2)
    power = share**look.gamma
    bend = np.tanh(2.5 * (power - 0.5)) / np.tanh(1.25) / 2 + 0.5
    return np.asarray((1 - look.shoulder) * power + look.shoulder * bend)


def with_marker(values: NDArray[np.float64], letter: str, random: Random) -> NDArray[np.float64]:
    """Return the image with a bright letter in an upper corner, or as it was."""
    corner, size, inset = random.random(), random.uniform(0.04, 0.09), random.uniform(0.16, 0.2)
    if not letter:
        return values
    rows, columns = values.shape
    square = max(1, round(size * rows / 7))
    glyph = np.kron(
        np.array([[int(c) for c in line] for line in GLYPHS[letter]]), np.ones((square,) * 2)
    )
    height, width = glyph.shape
    top, left = round(inset * rows), round(inset * columns)
    if corner < 0.5:
        left = columns - left - width
    marked = values.copy()
    place = marked[top : top + height, left : left + width]
    place[glyph[: place.shape[0], : place.shape[1]] > 0] = max(1.0, float(values.max()))
    return marked


def collimated(values: NDArray[np.float64], look: Look, random: Random) -> NDArray[np.float64]:
    """Return the image with its margins hidden."""
    top, bottom, left, right = field_of(look, values.shape)
    level = float(values.min()) - 0.1 if look.shutter else float(values.max())
    hidden = np.full_like(values, level)
    if not look.shutter:
        hidden += random.normal(0, 0.005, values.shape)
    hidden[top:bottom, left:right] = values[top:bottom, left:right]
    return hidden


def field_of(look: Look, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return the first and the last row, the first and the last column of the field (half open)."""
    rows, columns = shape
    top, bottom, left, right = look.margins
    return (
        round(top * rows),
        rows - round(bottom * rows),
        round(left * columns),
        columns - round(right * columns),
    )
