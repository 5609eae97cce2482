"""The attenuation table against the values that NIST publishes."""

from __future__ import annotations

import numpy as np
import pytest

from TomoRayCore.errors import InputError
from TomoRayCore.hounsfield import MU_WATER_ENERGY_KEV, MU_WATER_PER_MM
from TomoRayCore.physics import materials

NIST_XAAMDI = [
    # material, keV, cm2/g (Hubbell and Seltzer, tables 3 and 4)
    ("water", 20, 0.8096),
    ("water", 40, 0.2683),
    ("water", 60, 0.2059),
    ("water", 80, 0.1837),
    ("water", 100, 0.1707),
    ("water", 150, 0.1505),
    ("cortical_bone", 30, 1.331),
    ("cortical_bone", 60, 0.3148),
    ("cortical_bone", 80, 0.2229),
    ("cortical_bone", 100, 0.1855),
    ("soft_tissue", 60, 0.2048),
    ("soft_tissue", 100, 0.1693),
    ("air", 60, 0.1875),
    ("air", 100, 0.1541),
    ("al", 30, 1.128),
    ("al", 60, 0.2778),
    ("al", 100, 0.1704),
    ("cu", 60, 1.593),
    ("cu", 100, 0.4584),
    ("w", 60, 3.713),
    ("w", 100, 4.438),
    ("air_transfer", 30, 0.1537),
    ("air_transfer", 60, 0.03041),
    ("air_transfer", 100, 0.02325),
    ("air_transfer", 150, 0.02496),
]


@pytest.mark.parametrize(("material", "energy_kev", "expected"), NIST_XAAMDI)
def test_the_table_agrees_with_nist(material: str, energy_kev: float, expected: float) -> None:
    assert materials.mass_attenuation_cm2_per_g(material, energy_kev) == pytest.approx(
        expected, rel=0.015
    )


def test_the_default_rule_of_the_projectors_is_water_of_the_table() -> None:
    water = materials.attenuation_per_mm("water", MU_WATER_ENERGY_KEV)
    assert water == pytest.approx(MU_WATER_PER_MM, rel=1e-3)


def test_between_two_rows_the_curve_is_a_power_law() -> None:
    low, middle, high = materials.mass_attenuation_cm2_per_g(
        "cortical_bone", [20.0, np.sqrt(20.0 * 21.0), 21.0]
    )
    assert middle == pytest.approx(np.sqrt(low * high), rel=1e-12)


def test_energy_transfer_is_a_part_of_attenuation() -> None:
    energies = np.arange(10.0, 151.0)
    for material in ("air", "csi"):
        whole = materials.mass_attenuation_cm2_per_g(material, energies)
        part = materials.mass_attenuation_cm2_per_g(f"{material}_transfer", energies)
        assert (part < whole).all()
        assert (part > 0.1 * whole).all()


def test_transmission_of_two_layers_is_the_product() -> None:
    energies = np.array([25.0, 70.0])
    one, two, three = (materials.transmission("al", mm, energies) for mm in (1.0, 2.0, 3.0))
    np.testing.assert_allclose(one * two, three, rtol=1e-12)


def test_an_unknown_material_and_an_energy_off_the_table_are_refused() -> None:
    with pytest.raises(InputError, match="MATERIAL_UNKNOWN"):
        materials.mass_attenuation_cm2_per_g("unobtainium", 60)
    with pytest.raises(InputError, match="MATERIAL_UNKNOWN"):
        materials.mass_attenuation_cm2_per_g("energy_kev", 60)
    for energy_kev in (9.9, 151.0, float("nan")):
        with pytest.raises(InputError, match="ENERGY_RANGE"):
            materials.mass_attenuation_cm2_per_g("water", energy_kev)
