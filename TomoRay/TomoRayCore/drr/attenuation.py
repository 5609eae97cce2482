"""How HU become linear attenuation: named rules that travel with every DRR.

A DRR's numbers mean nothing without the rule that made them, so a rule is one object that the
projectors take and the files keep.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.errors import InputError
from TomoRayCore.hounsfield import MU_WATER_ENERGY_KEV, MU_WATER_PER_MM, mu_per_mm_from_hu


@dataclass(frozen=True)
class MuRule:
    """``mu = mu_water * (1 + HU/1000)``, never below 0, with or without a threshold for air.

    Attributes:
        name: What files and command lines call the rule.
        mu_water_per_mm: Linear attenuation of water, 1/mm.
        air_below_hu: HU up to and including this one attenuate nothing; None: only those up to
            -1000 HU, where the line itself reaches 0.
        output_scale: Factor from the line integral to the pixel; 1 is the dimensionless integral.
        energy_kev: Photon energy that ``mu_water_per_mm`` holds for, keV; None when not known.
        source: Where the numbers come from, in words.

    Raises:
        InputError: ``BAD_MU_RULE`` for numbers that are not finite, a water that attenuates
            nothing or a scale of 0.
    """

    name: str
    mu_water_per_mm: float
    air_below_hu: float | None = None
    output_scale: float = 1.0
    energy_kev: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        energy_kev = 1.0 if self.energy_kev is None else self.energy_kev
        air_hu = 0.0 if self.air_below_hu is None else self.air_below_hu
        positive = (self.mu_water_per_mm, self.output_scale, energy_kev)
        if not all(0 < n < math.inf for n in positive) or not math.isfinite(air_hu):
            raise InputError(
                "BAD_MU_RULE",
                f"The attenuation rule {self.name!r} has water at {self.mu_water_per_mm:g} /mm, "
                f"air below {self.air_below_hu} HU, output scale {self.output_scale:g} and energy "
                f"{self.energy_kev} keV.",
                "Give finite numbers; attenuation, scale and energy above 0.",
            )

    def mu_per_mm(self, volume_hu: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return the attenuation of HU values of any shape in 1/mm, float32; the input stays."""
        mu = mu_per_mm_from_hu(volume_hu, self.mu_water_per_mm)
        if self.air_below_hu is not None:
            mu[np.asarray(volume_hu) <= self.air_below_hu] = 0
        return mu

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, for the files that keep the rule."""
        return {
            "name": self.name,
            "mu_water_per_mm": self.mu_water_per_mm,
            "air_below_hu": self.air_below_hu,
            "output_scale": self.output_scale,
            "energy_kev": self.energy_kev,
            "source": self.source,
        }


WATER_60KEV = MuRule(
    name="water-60kev",
    mu_water_per_mm=MU_WATER_PER_MM,
    energy_kev=MU_WATER_ENERGY_KEV,
    source="NIST XAAMDI: 0.2059 cm2/g at 60 keV, 1 g/cm3",
)
"""The default."""

PLASTIMATCH = MuRule(
    name="plastimatch",
    mu_water_per_mm=0.022,
    air_below_hu=-800.0,
    output_scale=0.1,
    energy_kev=50.0,
    source="plastimatch 1.9.4: 0.022 /mm, HU up to -800 as air, raw output one tenth",
)
"""What ``plastimatch drr`` computes without ``-e``: a tenth of the line integral at 50 keV."""

RULES = {rule.name: rule for rule in (WATER_60KEV, PLASTIMATCH)}
"""The named rules."""
