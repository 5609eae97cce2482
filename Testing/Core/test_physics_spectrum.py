"""The tube spectrum against SpekPy and against what every beam of X-rays obeys."""

from __future__ import annotations

import numpy as np
import pytest

from TomoRayCore.errors import InputError
from TomoRayCore.physics.materials import attenuation_per_mm
from TomoRayCore.physics.spectrum import (
    Spectrum,
    half_value_layer_mm,
    mono,
    photons_per_mm2_per_ugy,
    tube_spectrum,
)

SPEKPY = [
    # SpekPy 2.5.4, anode 12 degrees: kV, mm Al, mm Cu, HVL 1 and 2 in mm Al, mean keV,
    # photons/mm2/uGy, photons/mm2/mAs at 1 m; allowed share for the HVLs.
    (50, 2.5, 0.0, 1.750, 2.319, 32.22, 13079, 4.363e5, 0.03),
    (70, 2.5, 0.0, 2.397, 3.460, 39.40, 16975, 1.102e6, 0.03),
    (70, 3.0, 0.2, 4.922, 5.771, 47.10, 25217, None, 0.03),
    (80, 4.0, 0.0, 3.546, 4.889, 45.38, 21293, 1.147e6, 0.03),
    (100, 2.5, 0.0, 3.458, 5.398, 49.14, 21124, 2.512e6, 0.06),
    (120, 4.0, 0.0, 5.305, 7.576, 57.06, 25070, 2.955e6, 0.06),
    (150, 2.5, 0.0, 5.372, 8.386, 61.36, 24037, 5.356e6, 0.10),
]


@pytest.mark.parametrize("case", SPEKPY, ids=lambda case: f"{case[0]}kV-{case[1]}Al-{case[2]}Cu")
def test_quality_and_output_agree_with_spekpy_as_stated(case: tuple) -> None:
    kvp, al_mm, cu_mm, first, second, mean_kev, per_ugy, output, share = case
    spectrum = tube_spectrum(kvp, al_mm, cu_mm, 12)
    hvl = half_value_layer_mm(spectrum)
    assert hvl == pytest.approx(first, rel=share)
    assert half_value_layer_mm(spectrum, share=0.25) - hvl == pytest.approx(second, rel=share)
    assert spectrum.mean_energy_kev == pytest.approx(mean_kev, abs=2 if kvp > 80 else 0.5)
    assert photons_per_mm2_per_ugy(spectrum) == pytest.approx(per_ugy, rel=0.04)
    if output is not None:
        assert spectrum.photons_per_mm2_per_mas_at_1m == pytest.approx(output, rel=0.15)


def test_seventy_kilovolt_lies_near_the_standard_beam_quality() -> None:
    # IEC 61267 RQR 5: 70 kV, first HVL 2.58 mm Al, reached with about 3 mm Al.
    assert half_value_layer_mm(tube_spectrum(70, 3.0)) == pytest.approx(2.58, rel=0.03)


def test_no_photon_carries_more_than_the_tube_voltage() -> None:
    for kvp in (40.0, 69.9, 81.5, 150.0):
        spectrum = tube_spectrum(kvp)
        assert spectrum.energies_kev.max() <= kvp
        assert spectrum.weights.sum() == pytest.approx(1, abs=1e-12)
        assert (spectrum.weights >= 0).all()


def test_tungsten_lines_appear_above_the_k_edge_only() -> None:
    def excess(kvp: float) -> float:
        weights = tube_spectrum(kvp).weights
        return weights[59 - 10] / (weights[55 - 10] + weights[63 - 10]) * 2

    assert excess(69) < 1.05
    assert excess(80) > 1.3
    assert excess(120) > excess(80)


def test_lines_keep_their_share_of_the_photons() -> None:
    # SpekPy 2.5.4, 100 kV, 12 degrees, 2.5 mm Al: lines 5.9 % of the continuum.
    spectrum = tube_spectrum(100)
    smooth = np.interp(
        spectrum.energies_kev, *_without_lines(spectrum.energies_kev, spectrum.weights)
    )
    assert spectrum.weights.sum() / smooth.sum() - 1 == pytest.approx(0.059, abs=0.012)


def _without_lines(energies: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    beside = ~np.isin(energies, [57, 58, 59, 60, 67, 68, 69, 70])
    return energies[beside], weights[beside]


def test_filtration_hardens_and_voltage_hardens() -> None:
    qualities = [half_value_layer_mm(tube_spectrum(*beam)) for beam in [(60, 2), (60, 4), (90, 4)]]
    assert qualities == sorted(qualities)
    assert half_value_layer_mm(tube_spectrum(60, 2, 0.1)) > qualities[0]
    assert half_value_layer_mm(tube_spectrum(60, 2, 0, 8)) > qualities[0]


def test_a_layer_more_is_the_same_as_more_filtration() -> None:
    thick, added = tube_spectrum(80, 4.0), tube_spectrum(80, 2.5).filtered("al", 1.5)
    np.testing.assert_allclose(added.weights, thick.weights, rtol=1e-9)
    assert added.photons_per_mm2_per_mas_at_1m == pytest.approx(
        thick.photons_per_mm2_per_mas_at_1m, rel=1e-9
    )


def test_the_half_value_layer_of_one_energy_follows_from_its_attenuation() -> None:
    expected = np.log(2) / attenuation_per_mm("al", 60.0)
    assert half_value_layer_mm(mono(60)) == pytest.approx(float(expected), rel=1e-9)


def test_a_spectrum_cannot_be_changed_and_says_what_it_is() -> None:
    spectrum = tube_spectrum(70, 2.5, 0.1)
    with pytest.raises(ValueError, match="read-only"):
        spectrum.weights[0] = 1
    assert spectrum.describe().startswith("70 kV, 2.5 mm Al + 0.1 mm Cu (mean ")


@pytest.mark.parametrize(
    "beam",
    [
        (39, 2.5),
        (151, 2.5),
        (float("nan"), 2.5),
        (70, 0.4),
        (70, 41),
        (70, 2.5, -0.1),
        (70, 2, 0, 4),
    ],
)
def test_a_tube_that_cannot_be_is_refused(beam: tuple) -> None:
    with pytest.raises(InputError, match="BAD_OPTION"):
        tube_spectrum(*beam)


@pytest.mark.parametrize(
    ("energies", "weights"),
    [
        ([50, 40], [1, 1]),
        ([40, 50], [0, 0]),
        ([40, 50], [1, -1]),
        ([40, 50], [1]),
        ([40], [np.nan]),
    ],
)
def test_numbers_that_are_no_spectrum_are_refused(energies: list, weights: list) -> None:
    with pytest.raises(InputError, match="BAD_SPECTRUM"):
        Spectrum(np.array(energies), np.array(weights), None, "")
