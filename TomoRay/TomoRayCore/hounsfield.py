"""HU to linear attenuation and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MU_WATER_PER_MM = 0.02059
"""Linear attenuation of water at 60 keV, 1/mm: 0.2059 cm2/g (NIST XAAMDI, Hubbell and Seltzer)
times 1 g/cm3. 60 keV is near the mean energy of a filtered 100-120 kVp beam; one energy stands
for the whole spectrum, so beam hardening is not modelled."""

MU_WATER_ENERGY_KEV = 60.0


def mu_per_mm_from_hu(
    volume_hu: NDArray[np.generic], mu_water_per_mm: float = MU_WATER_PER_MM
) -> NDArray[np.float32]:
    """Return ``mu_water * (1 + HU/1000)`` in 1/mm, clipped at 0 (air and below), as float32."""
    mu = np.asarray(volume_hu, np.float32) * np.float32(mu_water_per_mm / 1000)
    mu += np.float32(mu_water_per_mm)
    np.maximum(mu, 0, out=mu)
    return mu


def hu_from_mu_per_mm(
    mu_per_mm: NDArray[np.generic], mu_water_per_mm: float = MU_WATER_PER_MM
) -> NDArray[np.float32]:
    """Return ``1000 * (mu/mu_water - 1)`` in HU, as float32."""
    return np.asarray(mu_per_mm, np.float32) * np.float32(1000 / mu_water_per_mm) - np.float32(1000)
