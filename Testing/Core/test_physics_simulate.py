"""From a volume to an image: the whole chain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import projector_reference as reference
import pytest

from TomoRayCore.drr import project, siddon_project
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.physics import beam
from TomoRayCore.physics.options import PRESETS, DrrOptions
from TomoRayCore.physics.simulate import SimulatedView, simulate
from TomoRayCore.physics.spectrum import mono, photons_per_mm2_per_ugy, tube_spectrum
from TomoRayCore.presets import from_preset
from TomoRayCore.progress import Progress, Step
from TomoRayCore.volume import Volume, canonical_grid

ISOCENTRE = (2.0, -3.0, 1.0)


@pytest.fixture(scope="module")
def head() -> Volume:
    return reference.ellipsoid_volume(reference.HEAD, canonical_grid(ISOCENTRE, 48, 4.0), 1)


@pytest.fixture(scope="module")
def geometry() -> AcquisitionGeometry:
    return from_preset("radiography", isocentre_lps=ISOCENTRE, size=32, field_mm=200)


def pixels(views: list[SimulatedView]) -> np.ndarray:
    return np.stack([view.pixels for view in views])


def test_by_default_the_image_is_the_projection_bit_for_bit(
    head: Volume, geometry: AcquisitionGeometry
) -> None:
    views = simulate(head, geometry)
    assert [view.label for view in views] == ["AP", "LAT"]
    for view, image in zip(views, project(head, geometry), strict=True):
        assert view.pixels.dtype == np.float32
        assert view.quantity == "line-integral"
        np.testing.assert_array_equal(view.pixels, image)


def test_transmission_is_the_exponential_of_the_line_integral(
    head: Volume, geometry: AcquisitionGeometry
) -> None:
    transmission = pixels(simulate(head, geometry, DrrOptions(quantity="transmission")))
    np.testing.assert_allclose(transmission, np.exp(-pixels(simulate(head, geometry))), rtol=1e-6)


def test_the_parts_add_up_to_the_whole(head: Volume, geometry: AcquisitionGeometry) -> None:
    whole = simulate(head, geometry, DrrOptions(structures=("bone", "soft-tissue")))
    for view, image in zip(whole, project(head, geometry), strict=True):
        assert set(view.structures) == {"bone", "soft-tissue"}
        np.testing.assert_array_equal(view.pixels, image)
        total = view.structures["bone"] + view.structures["soft-tissue"]
        np.testing.assert_allclose(total, image, atol=2e-5)
        assert 0 < view.structures["bone"].max() < image.max()


def test_a_tube_sees_the_two_parts_through_its_spectrum(
    head: Volume, geometry: AcquisitionGeometry
) -> None:
    parts = simulate(head, geometry, DrrOptions(structures=("bone", "soft-tissue")))
    seen = simulate(head, geometry, DrrOptions(kvp=70))
    for view, part in zip(seen, parts, strict=True):
        expected = beam.effective_line_integral(
            part.structures["soft-tissue"], part.structures["bone"], tube_spectrum(70)
        )
        np.testing.assert_allclose(view.pixels, expected, atol=1e-4)
    assert seen[0].applied["spectrum"]["half_value_layer_mm_al"] == pytest.approx(2.34, abs=0.05)


def test_the_shape_of_a_tube_image_differs_by_a_few_percent(
    head: Volume, geometry: AcquisitionGeometry
) -> None:
    reference_image = pixels(simulate(head, geometry))
    inside = reference_image > 0.5
    image = pixels(simulate(head, geometry, DrrOptions(kvp=100)))
    scale = (image * reference_image)[inside].sum() / (image**2)[inside].sum()
    error = (scale * image - reference_image)[inside]
    rmse = np.sqrt((error**2).mean()) / reference_image[inside].mean()
    assert 0.005 < rmse < 0.06


def test_oversampling_approaches_the_mean_over_the_pixels_area(
    head: Volume, geometry: AcquisitionGeometry
) -> None:
    one, two, eight = (
        pixels(simulate(head, geometry, DrrOptions(oversampling=n))) for n in (1, 2, 8)
    )
    inside = eight > 0.5
    wrong = np.sqrt(((one - eight)[inside] ** 2).mean())
    better = np.sqrt(((two - eight)[inside] ** 2).mean())
    assert better < 0.5 * wrong


def test_scatter_only_brightens_and_a_grid_takes_most_of_it_away(
    head: Volume, geometry: AcquisitionGeometry
) -> None:
    without, scattered, grid = (
        pixels(simulate(head, geometry, DrrOptions(quantity="transmission", **more)))
        for more in ({}, {"scatter": True}, {"scatter": True, "grid": True})
    )
    assert (scattered > without).all()
    assert (grid > without).all()
    # Ratio 0.21 / 0.706 of the transmissions.
    np.testing.assert_allclose((grid - without) / (scattered - without), 0.297, rtol=0.01)


def test_the_scatter_behind_a_head_is_of_the_order_of_the_primary(
    head: Volume, geometry: AcquisitionGeometry
) -> None:
    without, scattered = (
        pixels(simulate(head, geometry, DrrOptions(kvp=70, quantity="transmission", scatter=s)))
        for s in (False, True)
    )
    middle = (slice(None), slice(12, 20), slice(12, 20))
    ratio = ((scattered - without)[middle] / without[middle]).mean()
    assert 0.5 < ratio < 5


def test_blur_and_focal_spot_soften_without_changing_the_total(
    head: Volume, geometry: AcquisitionGeometry
) -> None:
    sharp = pixels(simulate(head, geometry, DrrOptions(quantity="transmission")))
    for more in ({"detector_blur_mm": 8.0}, {"focal_spot_mm": 5.0, "detector_blur_mm": 5.0}):
        soft = pixels(simulate(head, geometry, DrrOptions(quantity="transmission", **more)))
        np.testing.assert_allclose(soft.sum(axis=(1, 2)), sharp.sum(axis=(1, 2)), rtol=1e-6)
        assert np.abs(np.diff(soft, axis=2)).sum() < np.abs(np.diff(sharp, axis=2)).sum()


def test_a_parallel_beam_has_no_focal_spot_blur(head: Volume) -> None:
    parallel = from_preset("parallel", isocentre_lps=ISOCENTRE, size=16, field_mm=200)
    blurred = simulate(head, parallel, DrrOptions(focal_spot_mm=5))
    np.testing.assert_allclose(
        pixels(blurred), pixels(simulate(head, parallel)), rtol=1e-5, atol=1e-6
    )


def test_noise_belongs_to_seed_and_view_and_to_nothing_else(
    head: Volume, geometry: AcquisitionGeometry
) -> None:
    noisy = DrrOptions(photons_per_mm2=100.0)
    first, again, other = (simulate(head, geometry, noisy, seed) for seed in (3, 3, 4))
    lateral = replace(geometry, views=geometry.views[1:])
    alone = simulate(head, lateral, noisy, 3)
    np.testing.assert_array_equal(pixels(first), pixels(again))
    np.testing.assert_array_equal(first[1].pixels, alone[0].pixels)
    assert (pixels(first) != pixels(other)).mean() > 0.9


def test_the_noise_in_the_open_beam_is_that_of_its_quanta(geometry: AcquisitionGeometry) -> None:
    air = Volume(np.full((8, 8, 8), -1000, np.int16), canonical_grid(ISOCENTRE, 8, 9.0).ijk_to_lps)
    options = DrrOptions(kvp=70, exposure_ugy=0.01, quantity="transmission")
    views = simulate(air, geometry, options)
    spectrum = tube_spectrum(70)
    area_mm2 = np.prod(geometry.views[0].pixel_spacing_mm)
    quanta = 0.01 * photons_per_mm2_per_ugy(spectrum) * beam.quantum_efficiency(spectrum) * area_mm2
    assert views[0].applied["quanta_per_pixel_in_open_beam"] == pytest.approx(quanta)
    image = pixels(views)
    assert image.mean() == pytest.approx(1, abs=5 / np.sqrt(quanta * image.size))
    assert image.var() == pytest.approx(1 / quanta, rel=0.15)


def test_photons_are_counted_as_the_detector_absorbs_them(geometry: AcquisitionGeometry) -> None:
    air = Volume(np.full((8, 8, 8), -1000, np.int16), canonical_grid(ISOCENTRE, 8, 9.0).ijk_to_lps)
    view = simulate(air, geometry, DrrOptions(photons_per_mm2=1e3))[0]
    area_mm2 = np.prod(geometry.views[0].pixel_spacing_mm)
    expected = 1e3 * area_mm2 * beam.quantum_efficiency(mono(60))
    assert view.applied["quanta_per_pixel_in_open_beam"] == pytest.approx(expected)


def test_the_physical_preset_gives_a_finite_softer_image(
    head: Volume, geometry: AcquisitionGeometry
) -> None:
    for view, image in zip(
        simulate(head, geometry, PRESETS["physical"]), project(head, geometry), strict=True
    ):
        assert np.isfinite(view.pixels).all()
        assert view.pixels.shape == image.shape
        assert np.corrcoef(view.pixels.ravel(), image.ravel())[0, 1] > 0.97
        assert "scatter" in view.applied["summary"]
        assert view.applied["mu_rule"]["name"] == "water-60kev"


def test_plastimatchs_numbers_come_from_its_own_projector(
    head: Volume, geometry: AcquisitionGeometry
) -> None:
    views = simulate(head, geometry, PRESETS["plastimatch-compatible"])
    for view, image in zip(views, siddon_project(head, geometry), strict=True):
        np.testing.assert_array_equal(view.pixels, image)
        assert view.quantity == "plastimatch-raw"
        assert view.applied["mu_rule"]["name"] == "plastimatch"


def test_progress_rises_to_the_end(head: Volume, geometry: AcquisitionGeometry) -> None:
    steps: list[Step] = []
    simulate(head, geometry, DrrOptions(kvp=70), progress=Progress(steps.append))
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)


def test_a_detector_that_oversampling_makes_too_large_is_refused(head: Volume) -> None:
    huge = from_preset("radiography", isocentre_lps=ISOCENTRE, size=2048)
    with pytest.raises(InputError, match="8192"):
        simulate(head, huge, DrrOptions(oversampling=8))


@pytest.mark.parametrize(
    "options", [DrrOptions(oversampling=2, scatter=True), DrrOptions(kvp=120), PRESETS["physical"]]
)
def test_a_block_that_lets_nothing_through_has_a_number(options: DrrOptions) -> None:
    block = np.full((16, 16, 16), 100_000, np.float32)
    metal = Volume(block, canonical_grid(ISOCENTRE, 16, 30.0).ijk_to_lps)
    image = pixels(simulate(metal, from_preset(isocentre_lps=ISOCENTRE, size=12), options))
    assert np.isfinite(image).all()
    assert image.max() > 3


def test_a_negative_seed_is_refused(head: Volume, geometry: AcquisitionGeometry) -> None:
    with pytest.raises(InputError, match="BAD_OPTION"):
        simulate(head, geometry, seed=-1)
