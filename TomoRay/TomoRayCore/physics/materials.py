"""Mass attenuation coefficients of the few materials that a radiograph is made of.

``attenuation.csv`` holds mu/rho in cm2/g at every whole keV from 10 to 150, from Elam, Ravel and
Sieber (Radiat. Phys. Chem. 63, 121, 2002); it agrees with NIST XAAMDI (Hubbell and Seltzer)
within 1.5 %. Tissues are ICRU-44's. Absorption edges (W K 69.5 keV, I K 33.2, Cs K 36.0) fall
between two rows, which interpolation joins by a steep line.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from TomoRayCore.errors import InputError

TABLE = Path(__file__).with_name("attenuation.csv")

LOWEST_KEV, HIGHEST_KEV = 10.0, 150.0

DENSITY_G_PER_CM3: Mapping[str, float] = MappingProxyType(
    {
        "water": 1.0,
        "soft_tissue": 1.06,
        "cortical_bone": 1.92,
        "air": 1.205e-3,
        "al": 2.699,
        "cu": 8.96,
        "w": 19.3,
        "csi": 4.51,
    }
)
"""NIST XAAMDI, tables 1 and 2."""


@functools.cache
def _table() -> Mapping[str, NDArray[np.float64]]:
    text = TABLE.read_text(encoding="utf-8")
    rows = list(csv.reader(line for line in text.splitlines() if not line.startswith("#")))
    values = np.array(rows[1:], dtype=np.float64)
    values.setflags(write=False)
    return MappingProxyType(dict(zip(rows[0], values.T, strict=True)))


def mass_attenuation_cm2_per_g(material: str, energies_kev: ArrayLike) -> NDArray[np.float64]:
    """Return mu/rho, coherent scattering included, interpolated in log-log.

    Args:
        material: A key of ``DENSITY_G_PER_CM3``, or ``air_transfer`` / ``csi_transfer`` for the
            mass energy-transfer coefficient.
        energies_kev: Photon energies of any shape, 10 to 150 keV.

    Raises:
        InputError: ``MATERIAL_UNKNOWN`` or ``ENERGY_RANGE``.
    """
    table = _table()
    if material not in table or material == "energy_kev":
        raise InputError(
            "MATERIAL_UNKNOWN",
            f"There are no attenuation coefficients of {material!r}.",
            f"Use one of {', '.join(name for name in table if name != 'energy_kev')}.",
        )
    energies = np.asarray(energies_kev, float)
    if not ((energies >= LOWEST_KEV) & (energies <= HIGHEST_KEV)).all():
        raise InputError(
            "ENERGY_RANGE",
            f"Photon energies of {energies.min():g} to {energies.max():g} keV leave the table.",
            f"Stay between {LOWEST_KEV:g} and {HIGHEST_KEV:g} keV.",
        )
    log_values = np.interp(np.log(energies), np.log(table["energy_kev"]), np.log(table[material]))
    return np.asarray(np.exp(log_values))


def attenuation_per_mm(material: str, energies_kev: ArrayLike) -> NDArray[np.float64]:
    """Return the linear attenuation coefficient in 1/mm at the material's usual density."""
    per_cm = mass_attenuation_cm2_per_g(material, energies_kev) * DENSITY_G_PER_CM3[material]
    return per_cm / 10


def transmission(
    material: str, thickness_mm: float, energies_kev: ArrayLike
) -> NDArray[np.float64]:
    """Return the share of photons that pass a layer, 0 to 1."""
    return np.exp(-attenuation_per_mm(material, energies_kev) * thickness_mm)
