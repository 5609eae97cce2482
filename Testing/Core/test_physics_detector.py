"""Scatter, blur, pixels and quanta against closed forms and against simulated photons."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scatter_monte_carlo as monte_carlo

from TomoRayCore.physics import detector
from TomoRayCore.physics.detector import Scatter


def head_like(size: int = 60, spacing_mm: float = 5.0) -> np.ndarray:
    """Return the primary of an off-centre ellipsoid of water."""
    axis = (np.arange(size) - (size - 1) / 2) * spacing_mm
    square = 1 - ((axis[:, None] - 10) / 90) ** 2 - ((axis[None] + 15) / 70) ** 2
    return np.exp(-0.0206 * 150 * np.sqrt(np.clip(square, 0, None)))


def test_the_mean_over_a_pixel_of_a_wedge_is_its_integral() -> None:
    factor, pixels, slope = 64, 5, 0.9
    fine = (np.arange(pixels * factor) + 0.5) / factor  # in pixels
    wedge = np.exp(-slope * fine)[None] * np.ones((3 * factor, 1))
    left = np.arange(pixels)
    exact = (np.exp(-slope * left) - np.exp(-slope * (left + 1))) / slope
    binned = detector.binned(wedge, factor)
    assert binned.shape == (3, pixels)
    np.testing.assert_allclose(binned, np.ones((3, 1)) * exact, rtol=1e-5)


def test_a_pixel_across_an_edge_lets_through_more_than_its_mean_thickness_says() -> None:
    line_integral = np.array([[0.0, 4.0], [0.0, 4.0]])
    assert -np.log(detector.binned(np.exp(-line_integral), 2)[0, 0]) < line_integral.mean()


@pytest.mark.parametrize("sigma_mm", [0.1, 0.8, 3.0, 20.0])
def test_blur_keeps_the_sum_and_the_open_beam(sigma_mm: float) -> None:
    image = np.random.default_rng(2).random((23, 31))
    blurred = detector.blur(image, (1.0, 0.5), sigma_mm)
    assert blurred.sum() == pytest.approx(image.sum(), rel=1e-12)
    assert blurred.std() <= image.std()
    np.testing.assert_allclose(detector.blur(np.ones((9, 7)), (1.0, 0.5), sigma_mm), 1, rtol=1e-12)


def test_blur_is_as_wide_in_mm_whatever_the_pixels() -> None:
    image = np.zeros((101, 101))
    image[50, 50] = 1
    blurred = detector.blur(image, (1.0, 0.5), 4.0)
    place = np.arange(101) - 50
    assert (blurred.sum(axis=1) * place**2).sum() == pytest.approx(16, rel=1e-3)
    assert (blurred.sum(axis=0) * (0.5 * place) ** 2).sum() == pytest.approx(16, rel=1e-3)


def test_the_mtf_of_the_blur_falls_to_a_tenth_where_it_was_asked_to() -> None:
    sigma = detector.sigma_mm_from_mtf10(2.5)
    assert math.exp(-2 * (math.pi * sigma * 2.5) ** 2) == pytest.approx(0.1, rel=1e-12)


def test_a_focal_spot_blurs_by_its_image() -> None:
    assert detector.focal_spot_sigma_mm(1.2, 1.0) == 0
    # Magnification 1.5: an image of 0.6 mm, variance width^2 / 12.
    assert detector.focal_spot_sigma_mm(1.2, 1.5) ** 2 == pytest.approx(0.6**2 / 12, rel=1e-12)


def test_nothing_in_the_beam_scatters_nothing() -> None:
    scatter = detector.scatter_signal(np.ones((20, 30)), (4.0, 4.0), 150.0, Scatter())
    assert not scatter.any()


def test_scatter_adds_and_never_removes() -> None:
    scatter = detector.scatter_signal(head_like(), (5.0, 5.0), 150.0, Scatter())
    assert (scatter > 0).all()


def test_scatter_is_only_what_the_primary_lost() -> None:
    for attenuation in (1e-4, 0.01, 0.3, 1.0, 3.0, 8.0):
        primary = np.full((40, 40), math.exp(-attenuation))
        scatter = detector.scatter_signal(primary, (5.0, 5.0), 150.0, Scatter())
        assert (primary + scatter).max() < 1


def test_all_scatter_arrives_on_a_large_enough_detector() -> None:
    size, model = 401, Scatter()
    primary = np.ones((size, size))
    primary[200, 200] = math.exp(-1.3)
    scatter = detector.scatter_signal(primary, (10.0, 10.0), 100.0, model)
    made = model.amplitude * math.exp(-1.3) * 1.3**model.exponent
    assert scatter.sum() == pytest.approx(made, rel=1e-6)


def test_a_longer_air_gap_leaves_less_scatter_behind_the_head() -> None:
    near, middle, far = (
        detector.scatter_signal(head_like(), (5.0, 5.0), gap, Scatter())[30, 30]
        for gap in (100.0, 200.0, 500.0)
    )
    assert near > 2 * middle > 4 * far / 2 > 0


def test_scatter_does_not_depend_on_the_pixels() -> None:
    coarse = detector.scatter_signal(head_like(60, 5.0), (5.0, 5.0), 150.0, Scatter())
    fine = detector.scatter_signal(head_like(240, 1.25), (1.25, 1.25), 150.0, Scatter())
    np.testing.assert_allclose(detector.binned(fine, 4), coarse, rtol=0.02)


def test_an_uneven_number_of_pixels_is_gathered_without_loss() -> None:
    primary = np.ones((197, 3))
    primary[194:] = 0.5
    scatter = detector.scatter_signal(primary, (50.0, 2000.0), 1.0, Scatter())
    made = Scatter().amplitude * 0.5 * math.log(2) ** Scatter().exponent
    np.testing.assert_allclose(scatter[195:, 1], made, rtol=0.2)


@pytest.mark.parametrize(
    ("diameter_mm", "gap_mm", "share"), [(120.0, 200.0, 0.08), (170.0, 150.0, 0.18)]
)
def test_scatter_behind_a_water_sphere_is_that_of_simulated_photons(
    diameter_mm: float, gap_mm: float, share: float
) -> None:
    arrangement = monte_carlo.Arrangement(diameter_mm, gap_mm)
    profile = monte_carlo.transport(arrangement, histories=30_000, seed=11, bins=6)
    axis = (np.arange(76) - 37.5) * 8.0
    distance = np.hypot(axis[:, None], axis[None])
    mu, _ = monte_carlo.without_coherent_per_mm(np.array([arrangement.energy_kev]))
    primary = np.exp(-mu * monte_carlo.chord_mm(arrangement, distance))
    scatter = detector.scatter_signal(primary, (8.0, 8.0), gap_mm, Scatter())
    ring = (distance // 50).astype(int)
    modelled = [scatter[ring == n].mean() for n in range(6)]
    np.testing.assert_allclose(modelled, profile.scatter, atol=share * profile.scatter[0])


def test_simulated_photons_know_the_attenuation_of_water() -> None:
    total, compton = monte_carlo.without_coherent_per_mm(np.array([40.0, 60.0]))
    # NIST XAAMDI 0.2683 and 0.2059 cm2/g with, and by Elam's table 0.2395 and 0.1920
    # without coherent scattering.
    np.testing.assert_allclose(total * 10, [0.2395, 0.1920], rtol=0.03)
    assert (compton < total).all()


@pytest.mark.parametrize("quanta", [5.0, 400.0, 3e6])
def test_the_variance_of_the_counts_is_their_mean(quanta: float) -> None:
    rng = np.random.default_rng(7)
    counts = detector.with_noise(np.full((300, 300), 0.5), quanta, 0.0, rng) * quanta
    expected = 0.5 * quanta
    if quanta > 100:
        assert counts.mean() == pytest.approx(expected, abs=5 * math.sqrt(expected) / 300)
    assert counts.var() == pytest.approx(expected, rel=0.05 if quanta > 100 else 0.1)


def test_electronic_noise_adds_its_variance() -> None:
    rng = np.random.default_rng(8)
    counts = detector.with_noise(np.full((300, 300), 0.25), 4e3, 40.0, rng) * 4e3
    assert counts.var() == pytest.approx(1e3 + 40.0**2, rel=0.03)


def test_a_pixel_without_quanta_has_a_logarithm() -> None:
    rng = np.random.default_rng(9)
    dark = detector.with_noise(np.full((8, 8), 1e-9), 100.0, 3.0, rng)
    assert dark.min() == detector.SMALLEST_QUANTA / 100
    assert np.isfinite(np.log(dark)).all()
