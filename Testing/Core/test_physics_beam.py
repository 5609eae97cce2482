"""Two materials and many energies: what must hold for any beam."""

from __future__ import annotations

import numpy as np
import pytest

from TomoRayCore.hounsfield import MU_WATER_PER_MM, mu_per_mm_from_hu
from TomoRayCore.physics import beam
from TomoRayCore.physics.materials import attenuation_per_mm
from TomoRayCore.physics.spectrum import Spectrum, mono, tube_spectrum

WATER = np.linspace(0, 6, 13)[:, None] * np.ones((1, 5))
BONE = np.ones((13, 1)) * np.linspace(0, 4, 5)


def test_at_the_reference_energy_the_signal_is_beer_and_lamberts() -> None:
    np.testing.assert_allclose(
        beam.effective_line_integral(WATER, BONE, mono(60)), WATER + BONE, rtol=0, atol=1e-9
    )


def test_one_other_energy_scales_each_material_by_its_own_factor() -> None:
    at_80 = attenuation_per_mm("water", 80) / attenuation_per_mm("water", 60)
    assert beam.effective_line_integral(
        np.array([2.0]), np.array([0.0]), mono(80)
    ) == pytest.approx(2 * at_80, rel=1e-12)


def test_a_slab_of_water_takes_what_its_table_says_from_each_energy() -> None:
    spectrum = tube_spectrum(80)
    thickness_mm = 150.0
    line_integral = thickness_mm * float(attenuation_per_mm("water", 60))
    signal = spectrum.weights * beam.detector_response(spectrum.energies_kev)
    passed = np.exp(-attenuation_per_mm("water", spectrum.energies_kev) * thickness_mm)
    expected = (signal * passed).sum() / signal.sum()
    found = beam.intensity(np.array(line_integral), np.array(0.0), spectrum)
    assert float(found) == pytest.approx(expected, rel=5e-6)


def test_a_beam_hardens_so_each_centimetre_counts_less_than_the_one_before() -> None:
    thickness = np.linspace(0, 6, 25)
    for material in ("water", "bone"):
        parts = (thickness, 0 * thickness) if material == "water" else (0 * thickness, thickness)
        steps = np.diff(beam.effective_line_integral(*parts, tube_spectrum(70)))
        assert (steps > 0).all()
        assert (np.diff(steps) < 0).all()


def test_a_softer_beam_hardens_more() -> None:
    def loss(kvp: float) -> float:
        one, four = beam.effective_line_integral(
            np.array([1.0, 4.0]), np.zeros(2), tube_spectrum(kvp)
        )
        return 1 - four / (4 * one)

    assert loss(60) > loss(90) > loss(120) > 0


def test_bone_stands_out_more_at_lower_voltage() -> None:
    def contrast(kvp: float) -> float:
        with_bone, without = beam.effective_line_integral(
            np.array([2.5, 3.0]), np.array([0.5, 0.0]), tube_spectrum(kvp)
        )
        return float(with_bone / without)

    assert contrast(60) > contrast(80) > contrast(120) > 1


def test_the_open_beam_is_one_and_nothing_is_brighter() -> None:
    intensity = beam.intensity(WATER, BONE, tube_spectrum(70))
    assert intensity[0, 0] == pytest.approx(1, abs=1e-12)
    assert intensity.max() == intensity[0, 0]
    assert intensity.min() > 0


def test_water_has_no_bone_and_cortical_bone_no_water() -> None:
    full = beam.cortical_bone_hu()
    assert full == pytest.approx(1936, abs=3)
    fraction = beam.bone_fraction(np.array([-1024, -1000, -100, 0, 40, 50, full, 3000.0, 30000]))
    np.testing.assert_array_equal(fraction, [0, 0, 0, 0, 0, 0, 1, 1, 1])


def test_bone_grows_without_a_jump_and_never_exceeds_the_voxel() -> None:
    hu = np.arange(-1024, 4000, 0.5, dtype=np.float32)
    fraction = beam.bone_fraction(hu)
    assert fraction.min() == 0
    assert fraction.max() == 1
    # 1 HU changes attenuation by 1e-3 of water; bone cannot change faster than twice that.
    bone = fraction * mu_per_mm_from_hu(hu) / MU_WATER_PER_MM
    assert (np.diff(bone) >= -1e-6).all()
    assert np.abs(np.diff(bone)).max() <= 2 * 0.5e-3


def test_stored_numbers_do_not_depend_on_their_type() -> None:
    hu = np.random.default_rng(4).integers(-32768, 32768, (5, 6, 7)).astype(np.int16)
    np.testing.assert_array_equal(beam.bone_fraction(hu), beam.bone_fraction(hu.astype(np.float32)))


def test_half_bone_half_tissue_by_volume_is_found_as_such() -> None:
    full = beam.cortical_bone_hu()
    hu = (full + 100) / 2
    bone_part = 0.5 * (1 + full / 1000) / (1 + hu / 1000)
    assert beam.bone_fraction(np.array([hu]))[0] == pytest.approx(bone_part, rel=1e-5)


def test_an_integrating_detector_wastes_some_of_the_quanta() -> None:
    assert beam.quantum_efficiency(mono(40)) == pytest.approx(
        float(beam.detector_response(np.array([40.0]))[0] / 40), rel=1e-9
    )
    spectrum = tube_spectrum(100)
    absorbed = (
        spectrum.weights * beam.detector_response(spectrum.energies_kev) / spectrum.energies_kev
    ).sum()
    assert 0.3 < beam.quantum_efficiency(spectrum) < absorbed < 1


def test_two_lines_add_as_intensities() -> None:
    both = Spectrum(np.array([40.0, 80.0]), np.array([3.0, 1.0]), None, "")
    response = (
        3 * beam.detector_response(np.array([40.0])),
        beam.detector_response(np.array([80.0])),
    )
    parts = [beam.intensity(WATER, BONE, mono(e)) for e in (40, 80)]
    expected = (response[0] * parts[0] + response[1] * parts[1]) / (response[0] + response[1])
    np.testing.assert_allclose(beam.intensity(WATER, BONE, both), expected, rtol=1e-6)
