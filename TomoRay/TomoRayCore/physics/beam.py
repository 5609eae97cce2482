"""Two materials and many energies: the signal that a tube's beam leaves behind a head.

A CT number alone does not say how attenuation changes with energy. As in Joseph and Spital's
beam-hardening correction (J. Comput. Assist. Tomogr. 2, 100, 1978) each voxel is taken as a
mixture of a water-like and a bone-like material: up to about 100 HU it is water of another
density, from there to the 1936 HU of cortical bone (ICRU-44, 1.92 g/cm3, 60 keV) the volume share
of bone grows in proportion, above that it is denser bone (so metal counts as very dense bone).
The bend at 100 HU is rounded over +-50 HU, so that noise around it is not rectified.

Both parts add up to the voxel's attenuation at 60 keV: the reference image is unchanged, and
``exp(-(L_w m_w(E) + L_b m_b(E)))`` with m(E) = mu(E) / mu(60 keV) gives every other energy.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.hounsfield import MU_WATER_ENERGY_KEV, MU_WATER_PER_MM
from TomoRayCore.physics.materials import (
    DENSITY_G_PER_CM3,
    mass_attenuation_cm2_per_g,
)
from TomoRayCore.physics.spectrum import Spectrum

Array = NDArray[np.float64]

BONE_FROM_HU = 100.0
ROUNDED_OVER_HU = 50.0
PIXELS_A_BLOCK = 16384
"""Keeps the scratch arrays in the processor's cache."""

CSI_G_PER_CM2 = 0.2
"""Mass loading of the scintillator: about 0.6 mm of structured CsI, as in flat panels."""


def cortical_bone_hu() -> float:
    """Return the CT number of cortical bone at the reference energy: about 1936 HU."""
    per_mm = DENSITY_G_PER_CM3["cortical_bone"] / 10
    mu = float(mass_attenuation_cm2_per_g("cortical_bone", MU_WATER_ENERGY_KEV)) * per_mm
    return (mu / MU_WATER_PER_MM - 1) * 1000


def bone_fraction(volume_hu: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return the bone-like part of each voxel's attenuation at 60 keV, 0 to 1, float32.

    The water-like part is the rest. Any shape; int16 is looked up, which is several times faster.
    """
    hu = np.asarray(volume_hu)
    if hu.dtype == np.int16:
        return _bone_fraction_of_int16()[hu.astype(np.intp) + 32768]
    return _bone_fraction(hu.astype(np.float32))


@functools.cache
def _bone_fraction_of_int16() -> NDArray[np.float32]:
    return _bone_fraction(np.arange(-32768, 32768, dtype=np.float32))


def _bone_fraction(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    full = cortical_bone_hu()
    above = np.clip(hu - np.float32(BONE_FROM_HU - ROUNDED_OVER_HU), 0, None)
    # A parabola from 50 HU meets the line through 100 HU at 150 HU, with its slope.
    beyond = np.where(
        above < 2 * ROUNDED_OVER_HU, above**2 / (4 * ROUNDED_OVER_HU), hu - BONE_FROM_HU
    )
    volume_share = np.clip(beyond / (full - BONE_FROM_HU), 0, 1)
    bone = volume_share * np.float32(1 + full / 1000)
    whole = np.maximum(1 + hu / 1000, np.float32(1e-6))
    # Denser than cortical bone: all of it is bone.
    return np.where(hu >= full, 1, np.clip(bone / whole, 0, 1)).astype(np.float32)


def detector_response(energies_kev: Array) -> Array:
    """Return the signal of one photon in keV: its energy times what 0.2 g/cm2 of CsI absorbs.

    Fluorescence that escapes from the scintillator is not taken off.
    """
    absorbed = 1 - np.exp(-CSI_G_PER_CM2 * mass_attenuation_cm2_per_g("csi_transfer", energies_kev))
    return np.asarray(energies_kev * absorbed)


def quantum_efficiency(spectrum: Spectrum) -> float:
    """Return noise-equivalent quanta per incident photon of an energy-integrating detector, 0 to 1.

    ``(sum w s)^2 / sum (w s^2 / a)``, s the signal and a the absorbed share: absorption times the
    Swank factor of the spectrum (Swank, J. Appl. Phys. 44, 4199, 1973), for the open beam.
    """
    energies, weights = spectrum.energies_kev, spectrum.weights
    signal = detector_response(energies)
    # An absorbed photon gives its energy; signal * energy is absorbed share * energy^2.
    return float((weights @ signal) ** 2 / (weights @ (signal * energies)))


def intensity(water: NDArray[np.generic], bone: NDArray[np.generic], spectrum: Spectrum) -> Array:
    """Return the primary signal as a share of the open beam's.

    Args:
        water: Line integrals of the water-like part at 60 keV, any shape, dimensionless.
        bone: The same of the bone-like part.
        spectrum: Photons in front of the head.

    Returns:
        Same shape, float64, above 0 and at most 1.
    """
    shares, by_water, by_bone = _factors(spectrum)
    water64, bone64 = np.asarray(water, np.float64), np.asarray(bone, np.float64)
    # Relative to the hardest energy the sum stays near 1, so float32 serves, several times faster.
    hardest = by_water.argmin()
    passed = np.asarray(np.exp(-(by_water[hardest] * water64 + by_bone[hardest] * bone64)))
    inside = (water64 != 0) | (bone64 != 0)
    water32, bone32 = water64[inside].astype(np.float32), bone64[inside].astype(np.float32)
    by_water, by_bone = by_water - by_water[hardest], by_bone - by_bone[hardest]
    part = np.empty_like(water32)
    for start in range(0, part.size, PIXELS_A_BLOCK):
        block = slice(start, start + PIXELS_A_BLOCK)
        exponents = zip(shares, by_water, by_bone, strict=True)
        part[block] = sum(
            np.float32(share)
            * np.exp(np.float32(-w) * water32[block] - np.float32(b) * bone32[block])
            for share, w, b in exponents
        )
    passed[inside] *= part
    return np.asarray(passed)


def _factors(spectrum: Spectrum) -> tuple[Array, Array, Array]:
    """Return shares of the signal (sum 1) and relative attenuations of water and bone, each (N,).

    Energies that no pixel would show are left out, the lowest ones for the most part.
    """
    energies = spectrum.energies_kev
    response = spectrum.weights * detector_response(energies)
    kept = response > 1e-9 * response.sum()
    energies, response = energies[kept], response[kept]
    water, bone = (
        mass_attenuation_cm2_per_g(material, energies)
        / mass_attenuation_cm2_per_g(material, MU_WATER_ENERGY_KEV)
        for material in ("water", "cortical_bone")
    )
    return response / response.sum(), water, bone


def effective_line_integral(
    water: NDArray[np.generic], bone: NDArray[np.generic], spectrum: Spectrum
) -> Array:
    """Return ``-log`` of ``intensity``: what a log image shows; sub-linear in thickness."""
    return np.asarray(-np.log(intensity(water, bone, spectrum)))
