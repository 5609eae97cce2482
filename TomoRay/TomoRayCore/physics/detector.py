"""What lies between the intensity behind the head and a digital image, all of it on intensities.

Intensities are shares of the open beam: 1 where nothing is in the way. The physical order is
focal spot (blurs the primary) -> scatter (adds) -> detector blur -> pixels (average) -> quanta
(noise); ``simulate`` keeps it. Images are (R, C) float64 with pixel spacing (row, column) in mm at
the detector.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SCATTER_CELLS = 96
"""Scatter is so smooth that its sources are gathered in at most this many cells along an edge."""

SMALLEST_QUANTA = 0.5
"""Pixels with fewer quanta are set to this many, so that the logarithm exists."""


@dataclass(frozen=True)
class AntiscatterGrid:
    """A grid in front of the detector: what it lets through of each kind, 0 to 1.

    The defaults are those measured for a radiographic lead grid of ratio 10 (Altunbas et al., Med.
    Phys. 44, 3952, 2017; 43, 3931, 2016: 70.6 % and 21 %). Other grids differ widely.
    """

    primary_transmission: float = 0.706
    scatter_transmission: float = 0.21


@dataclass(frozen=True)
class Scatter:
    """Compton scatter as a convolution of the primary image.

    Source strength ``amplitude * I_p * p**exponent`` with p = -ln(I_p/I_0), the form of Ohnesorge,
    Flohr and Klingenbeck-Regn (Eur. Radiol. 9, 563, 1999), spread over the detector by two
    Gaussians whose widths grow with the distance from the isocentre to the detector, as the
    angles of scattering ask for.

    The five numbers are fitted to our own Monte Carlo simulation of water spheres of 100 to 180 mm
    at 50 keV, 150 to 500 mm in front of the detector (Testing/Support/scatter_monte_carlo.py): of
    the scatter in the middle they miss 4 % rms, and at most 17 % (the largest sphere at the
    shortest distance, where the model gives too much). Left out: coherent scattering, what enters
    from outside the field, the dependence on tube voltage, and that bone absorbs more of what it
    takes from the beam than water does.

    Attributes:
        amplitude: Dimensionless.
        exponent: Of p.
        narrow_share: Share of the narrow Gaussian, 0 to 1.
        narrow_tangent: Its standard deviation by the distance to the detector.
        wide_tangent: The same of the wide Gaussian.
    """

    amplitude: float = 0.61
    exponent: float = 1.02
    narrow_share: float = 0.16
    narrow_tangent: float = 0.42
    wide_tangent: float = 1.10


def scatter_signal(
    primary: Array,
    pixel_spacing_mm: tuple[float, float],
    gap_mm: float,
    model: Scatter,
) -> Array:
    """Return the scattered intensity that reaches each pixel, never negative.

    Args:
        primary: (R, C) primary intensity, share of the open beam, above 0.
        pixel_spacing_mm: (row, column) at the detector.
        gap_mm: Isocentre to detector.
        model: The numbers.
    """
    depth = np.clip(-np.log(primary), 0, None)
    source = _in_cells(primary * depth**model.exponent)
    total = np.zeros_like(primary)
    parts = (
        (model.narrow_share, model.narrow_tangent),
        (1 - model.narrow_share, model.wide_tangent),
    )
    for share, tangent in parts:
        sigma_mm = tangent * gap_mm
        down = _spread(primary.shape[0], source.shape[0], pixel_spacing_mm[0], sigma_mm)
        along = _spread(primary.shape[1], source.shape[1], pixel_spacing_mm[1], sigma_mm)
        total += model.amplitude * share * (down @ source @ along.T)
    return total


def _in_cells(source: Array) -> Array:
    """Average blocks of pixels into at most SCATTER_CELLS cells a side; the last may be partial."""
    for axis in (0, 1):
        size = source.shape[axis]
        starts = np.arange(0, size, -(-size // SCATTER_CELLS))
        counts = np.diff(np.append(starts, size))
        shape = (-1, 1) if axis == 0 else (1, -1)
        source = np.add.reduceat(source, starts, axis=axis) / counts.reshape(shape)
    return source


def _spread(pixels: int, cells: int, spacing_mm: float, sigma_mm: float) -> Array:
    """(pixels, cells) share of a cell's scatter per pixel, times the cell's pixels.

    Exact integral of the Gaussian over each pixel; what falls beside the detector is lost.
    """
    from scipy.special import erf

    width = -(-pixels // SCATTER_CELLS)
    starts = np.arange(cells) * width
    ends = np.minimum(starts + width, pixels)
    edges = np.arange(pixels + 1)[:, None] - (starts + ends)[None] / 2  # in pixels
    cumulative = erf(edges * spacing_mm / (sigma_mm * math.sqrt(2))) / 2
    return np.asarray(np.diff(cumulative, axis=0) * (ends - starts))


def sigma_mm_from_mtf10(frequency_per_mm: float) -> float:
    """Return the Gaussian's standard deviation whose MTF falls to 10 % at a frequency, in mm.

    MTF(f) = exp(-2 (pi sigma f)^2).
    """
    return math.sqrt(math.log(10) / 2) / (math.pi * frequency_per_mm)


def focal_spot_sigma_mm(focal_spot_mm: float, magnification: float) -> float:
    """Return the blur of a square focal spot at the detector as a standard deviation in mm.

    Its image has the edge f (M - 1); a Gaussian of the same variance stands for it. One
    magnification, the isocentre's, stands for the whole head.
    """
    return focal_spot_mm * (magnification - 1) / math.sqrt(12)


def blur(image: Array, pixel_spacing_mm: tuple[float, float], sigma_mm: float) -> Array:
    """Return a Gaussian blur; the image goes on as its mirror beyond the edges.

    The sum and a constant image stay as they are.
    """
    if sigma_mm == 0:
        return image
    from scipy.ndimage import gaussian_filter

    sigma_pixels = [sigma_mm / spacing for spacing in pixel_spacing_mm]
    return np.asarray(gaussian_filter(image, sigma_pixels, mode="reflect", truncate=5.0))


def binned(intensity: Array, factor: int) -> Array:
    """Average blocks of factor x factor pixels: what a pixel's area collects.

    Args:
        intensity: (R * factor, C * factor).
        factor: Fine pixels per pixel along an edge.
    """
    rows, columns = (n // factor for n in intensity.shape)
    return np.asarray(intensity.reshape(rows, factor, columns, factor).mean(axis=(1, 3)))


def with_noise(
    intensity: Array,
    open_quanta: float,
    electronic_quanta: float,
    rng: np.random.Generator,
) -> Array:
    """Return an intensity as counted: Poisson quanta plus Gaussian electronic noise.

    Args:
        intensity: (R, C), share of the open beam.
        open_quanta: Quanta that a pixel counts in the open beam.
        electronic_quanta: Standard deviation per pixel, in quanta.
        rng: Source of chance.

    Returns:
        (R, C) share of the open beam, at least ``SMALLEST_QUANTA / open_quanta``.
    """
    counts = rng.poisson(intensity * open_quanta).astype(np.float64)
    if electronic_quanta:
        counts += rng.normal(0.0, electronic_quanta, counts.shape)
    return np.asarray(np.maximum(counts, SMALLEST_QUANTA) / open_quanta)
