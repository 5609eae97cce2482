"""From two images to a synthetic CT: placed, marked, repeatable, and honest about its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from TomoRayCore.bundle import Bundle, read_bundle, write_bundle
from TomoRayCore.drr import project
from TomoRayCore.errors import Cancelled, InputError, SetupError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.inference import NOT_FOR_DIAGNOSIS, Reconstruction, reconstruct
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.presets import from_preset, make_view
from TomoRayCore.progress import Step
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.volume import Volume, canonical_grid

ISOCENTRE = (13.0, -7.0, 405.0)


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return read_bundle(tiny_bundle)


@pytest.fixture(scope="module")
def head(tiny_ct: Path) -> Volume:
    ct = read_volume(tiny_ct)
    moved = ct.ijk_to_lps.copy()
    moved[:3, 3] += ISOCENTRE
    return Volume(ct.array_hu, moved)


def films(
    head: Volume, geometry: AcquisitionGeometry, *, stated: bool = False, spacing: bool = True
) -> list[Radiograph]:
    """Return a head's DRRs, which state their geometry or spacing, or do not."""
    return [
        Radiograph(
            image,
            view.label,
            view.pixel_spacing_mm if spacing else None,
            "line_integral",
            {"file": f"{view.label}.nrrd"},
            geometry if stated else None,
        )
        for image, view in zip(project(head, geometry), geometry.views, strict=True)
    ]


@pytest.fixture(scope="module")
def usual() -> AcquisitionGeometry:
    return from_preset(isocentre_lps=ISOCENTRE)


@pytest.fixture(scope="module")
def pair(head: Volume, usual: AcquisitionGeometry) -> list[Radiograph]:
    return films(head, usual)


@pytest.fixture(scope="module")
def result(pair, usual, bundle) -> Reconstruction:
    return reconstruct(pair, usual, bundle, device="cpu")


def refusal(*arguments, **named) -> str:
    with pytest.raises(InputError) as error:
        reconstruct(*arguments, device="cpu", **named)
    return error.value.code


def codes(warnings: Sequence[str]) -> list[str]:
    return [warning.split(":")[0] for warning in warnings]


# ------------------------------------------------------------------------------- the result


def test_the_sct_is_centred_on_the_isocentre(result, bundle):
    expected = canonical_grid(ISOCENTRE, bundle.output.size, bundle.output.spacing_mm)
    assert result.sct.grid.same_as(expected)
    assert result.sct.grid.centre_lps == pytest.approx(ISOCENTRE)
    assert result.sct.array_hu.dtype == np.int16


def test_an_sct_says_what_it_is(result, bundle):
    assert result.sct.is_synthetic
    assert result.sct.metadata["tomoray_notice"] == NOT_FOR_DIAGNOSIS
    assert result.sct.metadata["tomoray_model"] == "tiny"
    assert result.sct.metadata["tomoray_model_sha256"] == bundle.sha256


def test_values_lie_within_the_models_window(result, bundle):
    low, high = bundle.output.hu_window
    assert low <= result.sct.array_hu.min() <= result.sct.array_hu.max() <= high


def test_provenance_tells_how_it_came_about(result, usual, bundle):
    told = result.provenance
    assert told["synthetic"] is True
    assert told["model_sha256"] == bundle.sha256
    assert AcquisitionGeometry.from_dict(told["geometry"]) == usual
    assert [image["view"] for image in told["images"]] == ["AP", "LAT"]
    assert told["images"][0]["source_file"] == "AP.nrrd"
    assert told["device"] == "cpu"
    assert told["warnings"] == list(result.warnings)


def test_all_is_well_within_training(result):
    assert result.warnings == ()


def test_the_same_job_gives_the_same_voxels(result, pair, usual, bundle):
    again = reconstruct(pair, usual, bundle, device="cpu", seed=5)
    assert np.array_equal(again.sct.array_hu, result.sct.array_hu)


def test_the_order_of_the_images_does_not_matter(result, pair, usual, bundle):
    swapped = reconstruct(pair[::-1], usual, bundle, device="cpu")
    assert np.array_equal(swapped.sct.array_hu, result.sct.array_hu)
    assert [image["view"] for image in swapped.provenance["images"]] == ["AP", "LAT"]


def test_the_order_of_the_geometrys_views_does_not_matter(result, pair, usual, bundle):
    turned = AcquisitionGeometry("turned", ISOCENTRE, usual.views[::-1])
    other = reconstruct(pair, turned, bundle, device="cpu")
    assert np.array_equal(other.sct.array_hu, result.sct.array_hu)


def test_what_is_fine_inside_is_interpolated_onto_the_output_grid(pair, usual, bundle, tmp_path):
    description = dict(bundle.description)
    description["output"] = {**bundle.description["output"], "size": 128, "spacing_mm": 2.0}
    write_bundle(tmp_path / "fine.safetensors", description, bundle.tensors)
    fine = reconstruct(pair, usual, read_bundle(tmp_path / "fine.safetensors"), device="cpu").sct
    coarse = reconstruct(pair, usual, bundle, device="cpu").sct
    assert fine.shape == (128, 128, 128)
    assert fine.grid.centre_lps == pytest.approx(ISOCENTRE)
    # Nothing of the border is lost to air: a corner voxel is its coarse voxel's value.
    assert fine.array_hu[0, 0, 0] == coarse.array_hu[0, 0, 0]
    blocks = fine.array_hu.reshape(64, 2, 64, 2, 64, 2).mean(axis=(1, 3, 5))
    assert np.corrcoef(blocks.ravel(), coarse.array_hu.ravel())[0, 1] > 0.9


# ------------------------------------------------------------------------------- geometry


def test_the_geometry_that_images_state_is_used(result, head, usual, bundle):
    stated = reconstruct(films(head, usual, stated=True), None, bundle, device="cpu")
    assert np.array_equal(stated.sct.array_hu, result.sct.array_hu)
    assert stated.sct.grid.same_as(result.sct.grid)
    assert stated.warnings == ()


def test_without_a_geometry_the_models_own_is_assumed_and_said(result, pair, bundle):
    assumed = reconstruct(pair, None, bundle, device="cpu")
    assert codes(assumed.warnings) == ["GEOMETRY_ASSUMED"]
    assert assumed.sct.grid.centre_lps == pytest.approx((0, 0, 0))
    assert np.array_equal(assumed.sct.array_hu, result.sct.array_hu)


def test_a_models_own_geometry_may_have_any_name_and_distance(head, bundle, tmp_path):
    own = replace(from_preset(sad_mm=1200, sdd_mm=1700), name="our room")
    path = tmp_path / "own.safetensors"
    write_bundle(path, {**bundle.description, "geometry": own.to_dict()}, bundle.tensors)
    rig = AcquisitionGeometry(
        "rig", ISOCENTRE, from_preset(isocentre_lps=ISOCENTRE, sad_mm=1200, sdd_mm=1700).views
    )
    images = films(head, rig)
    explicit = reconstruct(images, rig, bundle, device="cpu")
    assumed = reconstruct(images, None, read_bundle(path), device="cpu")
    assert assumed.provenance["geometry"]["name"] == "our room"
    assert np.array_equal(assumed.sct.array_hu, explicit.sct.array_hu)


def test_an_assumed_pa_source_stands_behind_the_head(head, bundle):
    behind = from_preset(isocentre_lps=ISOCENTRE, views=("PA", "LAT"))
    assumed = reconstruct(films(head, behind), None, bundle, device="cpu")
    explicit = reconstruct(films(head, behind), behind, bundle, device="cpu")
    frontal = AcquisitionGeometry.from_dict(assumed.provenance["geometry"]).view("PA")
    assert frontal.source_lps == (0, 1000, 0)
    assert codes(assumed.warnings) == ["GEOMETRY_ASSUMED", "OUTSIDE_TRAINING"]
    assert codes(explicit.warnings) == ["OUTSIDE_TRAINING"]
    assert np.array_equal(assumed.sct.array_hu, explicit.sct.array_hu)


def test_a_film_of_another_resolution_fits_the_same_geometry(result, head, usual, bundle):
    finer = from_preset(isocentre_lps=ISOCENTRE, size=200)
    other = reconstruct(films(head, finer), usual, bundle, device="cpu")
    assert other.warnings == ()
    assert AcquisitionGeometry.from_dict(other.provenance["geometry"]).views[0].size == (200, 200)


def test_an_unknown_spacing_is_asked_for(head, usual, bundle):
    images = films(head, usual, spacing=False)
    assert refusal(images, None, bundle) == "SPACING_UNKNOWN"
    assert reconstruct(images, usual, bundle, device="cpu").warnings == ()


def test_a_spacing_that_contradicts_the_geometry_is_refused(pair, usual, bundle):
    wrong = [Radiograph(pair[0].pixels, "AP", (2.0, 2.0)), pair[1]]
    assert refusal(wrong, usual, bundle) == "GEOMETRY_MISMATCH"


def test_a_film_of_another_aspect_is_refused(pair, usual, bundle):
    wrong = [Radiograph(pair[0].pixels[:100], "AP", None), pair[1]]
    assert refusal(wrong, usual, bundle) == "GEOMETRY_MISMATCH"


def test_images_of_different_examinations_are_refused(head, usual, bundle):
    elsewhere = from_preset(isocentre_lps=np.add(ISOCENTRE, (0, 0, 5)))
    first, second = films(head, usual, stated=True), films(head, elsewhere, stated=True)
    assert refusal([first[0], second[1]], None, bundle) == "GEOMETRY_MISMATCH"


def test_a_geometry_without_the_images_view_is_refused(pair, bundle):
    only = from_preset(isocentre_lps=ISOCENTRE, views=["PA", "LAT"])
    assert refusal(pair, only, bundle) == "VIEW_UNKNOWN"


def turned_frontal(angle_deg: float, **changes) -> AcquisitionGeometry:
    usual = from_preset(isocentre_lps=ISOCENTRE)
    arguments = {"sad_mm": 1000, "sdd_mm": 1500, "detector_mm": 440.0, "size": 128, **changes}
    view = make_view("AP", angle_deg, isocentre_lps=ISOCENTRE, **arguments)
    return AcquisitionGeometry("turned", ISOCENTRE, (view, usual.views[1]))


@pytest.mark.parametrize("angle_deg", [-45, 20, 45, 110, 135])
def test_an_oblique_view_is_refused(head, bundle, angle_deg):
    geometry = turned_frontal(angle_deg)
    assert refusal(films(head, geometry), geometry, bundle) == "GEOMETRY_NOT_SUPPORTED"


def test_a_slightly_turned_head_is_accepted(head, bundle):
    geometry = turned_frontal(7)
    assert reconstruct(films(head, geometry), geometry, bundle, device="cpu").warnings == ()


def test_a_film_hung_upside_down_is_refused(pair, usual, bundle):
    view = usual.views[0]
    hung = replace(view, v=(0.0, 0.0, 1.0))
    geometry = AcquisitionGeometry("hung", ISOCENTRE, (hung, usual.views[1]))
    assert refusal(pair, geometry, bundle) == "GEOMETRY_NOT_SUPPORTED"


@pytest.mark.parametrize(("sad_mm", "sdd_mm"), [(650, 900), (2500, 3000)])
def test_a_source_nearer_or_farther_than_in_training_is_warned_about(head, bundle, sad_mm, sdd_mm):
    geometry = from_preset(isocentre_lps=ISOCENTRE, sad_mm=sad_mm, sdd_mm=sdd_mm)
    warnings = reconstruct(films(head, geometry), geometry, bundle, device="cpu").warnings
    assert codes(warnings) == ["OUTSIDE_TRAINING"] * 2
    assert f"{sad_mm} mm" in warnings[0]


def test_a_parallel_beam_is_warned_about(head, bundle):
    geometry = from_preset("parallel", isocentre_lps=ISOCENTRE)
    warnings = reconstruct(films(head, geometry), geometry, bundle, device="cpu").warnings
    assert codes(warnings) == ["OUTSIDE_TRAINING"] * 2


# ------------------------------------------------------------------------------- images


def test_missing_and_repeated_views_are_refused(pair, usual, bundle):
    assert refusal(pair[:1], usual, bundle) == "VIEWS_MISSING"
    assert refusal([], usual, bundle) == "VIEWS_MISSING"
    assert refusal([*pair, pair[1]], usual, bundle) == "VIEWS_MISSING"


def test_the_same_image_for_both_views_is_refused(pair, usual, bundle):
    twice = [pair[0], replace(pair[0], view="LAT")]
    assert refusal(twice, usual, bundle) == "IDENTICAL_VIEWS"


def test_a_device_that_is_not_there_is_refused(pair, usual, bundle):
    import torch

    with pytest.raises(InputError) as error:
        reconstruct(pair, usual, bundle, device="tpu")
    assert error.value.code == "DEVICE_UNKNOWN"
    if not torch.cuda.is_available():
        with pytest.raises(SetupError) as missing:
            reconstruct(pair, usual, bundle, device="cuda")
        assert missing.value.code == "NO_CUDA"


# ------------------------------------------------------------------------------- progress


def test_progress_never_runs_backwards_and_ends_at_one(pair, usual, bundle):
    steps: list[Step] = []
    reconstruct(pair, usual, bundle, device="cpu", report=steps.append)
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert all(step.message and step.stage for step in steps)
    assert all(step.eta_s is None or step.eta_s >= 0 for step in steps)


@pytest.mark.parametrize("stage", ["checking", "model", "preparing", "network", "resampling"])
def test_a_job_can_be_stopped_at_every_stage(pair, usual, bundle, stage):
    def stop(step: Step) -> None:
        if step.stage == stage:
            raise Cancelled

    with pytest.raises(Cancelled):
        reconstruct(pair, usual, bundle, device="cpu", report=stop)
