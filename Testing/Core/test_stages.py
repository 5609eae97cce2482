"""Films on their way to the generator: matched, translated, placed as they say; DRRs untouched."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dicom_factory import radiograph, save
from torch import Tensor, nn

from TomoRayCore.bundle import Bundle, read_bundle, write_bundle
from TomoRayCore.drr import project
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.harmonise import ViewReference, references_to_dict
from TomoRayCore.inference import load_network, reconstruct
from TomoRayCore.io.radiograph_io import read_radiograph, write_drr
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.nets import GENERATORS, TRANSLATORS
from TomoRayCore.network_io import InputSpec, OutputSpec, network_images, rectify
from TomoRayCore.pipeline import case_files, reconstruct_files
from TomoRayCore.presets import from_preset
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.stages import run_stages

SIZE = 32
INPUT, OUTPUT = InputSpec(SIZE, 256.0), OutputSpec(SIZE, 8.0, SIZE, 8.0)


class Shown(nn.Module):
    """A generator that lays its images into the volume, so that one can see what it was given."""

    def __init__(self, views: int = 2) -> None:
        super().__init__()
        self.views = nn.Parameter(torch.zeros(views))

    def forward(self, images: Tensor, view_matrices: Tensor | None = None) -> Tensor:
        if images.shape[1] != len(self.views):
            raise InputError("BAD_SHAPE", "other views", "no")
        volume = torch.zeros(1, 1, SIZE, SIZE, SIZE)
        for place in range(len(self.views)):
            volume[0, 0, :, place] = images[0, place] / 2  # which may be above 1
        return volume


class Affine(nn.Module):
    """A translator: a scale and a shift."""

    def __init__(self, worse: bool = False) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))
        self.worse = worse

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * images[..., : SIZE - self.worse] + self.shift


@pytest.fixture(autouse=True)
def toys():
    GENERATORS["shown"], TRANSLATORS["affine"] = Shown, Affine
    yield
    del GENERATORS["shown"], TRANSLATORS["affine"]


def stage(name: str, prefix: str, applies_to: str = "films", **arguments: Any) -> dict[str, Any]:
    architecture = {"name": "affine", "arguments": arguments}
    return {
        "name": name,
        "architecture": architecture,
        "applies_to": applies_to,
        "prefix": prefix,
    }


def weights(scale: float, shift: float, prefix: str) -> dict[str, np.ndarray]:
    return {f"{prefix}scale": np.array([scale], "f4"), f"{prefix}shift": np.array([shift], "f4")}


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Bundle]:
    """A function that writes and reads a model of the toy generator, with more as it is told."""

    def make(tensors: dict[str, np.ndarray] | None = None, views=("AP", "LAT"), **more) -> Bundle:
        description = {
            "name": "toy",
            "summary": "A toy",
            "architecture": {"name": "shown", "arguments": {"views": len(views)}},
            "input": INPUT.to_dict(),
            "output": OUTPUT.to_dict(),
            "geometry": from_preset(views=views).to_dict(),
            "tolerance": {"sad_mm": [700, 2000], "angle_deg": 10},
            "training": {},
            "intended_use": "tests",
            "known_failures": [],
            "metrics": {},
            "seed": 0,
            **more,
        }
        path = tmp_path / "toy.safetensors"
        write_bundle(path, description, {"views": np.zeros(len(views), "f4"), **(tensors or {})})
        return read_bundle(path)

    return make


@pytest.fixture(scope="module")
def head(tiny_ct: Path):
    return read_volume(tiny_ct)


@pytest.fixture(scope="module")
def geometry(head) -> AcquisitionGeometry:
    return from_preset(isocentre_lps=head.grid.centre_lps, size=64)


@pytest.fixture(scope="module")
def drrs(head, geometry) -> list[Radiograph]:
    return [
        Radiograph(image, view.label, view.pixel_spacing_mm, "line_integral", {}, geometry)
        for image, view in zip(project(head, geometry), geometry.views, strict=True)
    ]


@pytest.fixture(scope="module")
def films(drrs) -> list[Radiograph]:
    """The same as films: a curve, a gain, an offset."""
    return [
        Radiograph(700 * r.pixels**0.6 + 90, r.view, r.pixel_spacing_mm, "relative") for r in drrs
    ]


def references(drrs, geometry) -> dict[str, Any]:
    flat = [
        rectify(r.pixels, view, geometry.isocentre_lps, INPUT)
        for r, view in zip(drrs, geometry.views, strict=True)
    ]
    views = {r.view: ViewReference.of([image]) for r, image in zip(drrs, flat, strict=True)}
    return references_to_dict(views)


def shown(bundle: Bundle, radiographs, geometry) -> np.ndarray:
    """Return the views as the generator was given them, (V, S, S)."""
    sct = reconstruct(radiographs, geometry, bundle, device="cpu").sct
    low, high = OUTPUT.hu_window
    return 2 * ((sct.array_hu - low) / (high - low))[::-1, :2].transpose(1, 0, 2)


# --------------------------------------------------------------------------------- stages


def test_stages_run_in_their_order_on_films_and_leave_drrs_alone(model, drrs, films, geometry):
    plain = model()
    two = model(
        weights(0.5, 0.0, "a.") | weights(1.0, 0.25, "b."),
        stages=[stage("halve", "a."), stage("raise", "b.")],
    )
    before = shown(plain, films, geometry)
    np.testing.assert_allclose(shown(two, films, geometry), 0.5 * before + 0.25, atol=1e-3)
    assert np.array_equal(shown(two, drrs, geometry), shown(plain, drrs, geometry))


def test_a_stage_may_apply_to_every_image_and_films_are_told_apart_one_by_one(
    model, drrs, films, geometry
):
    two = model(
        weights(0.5, 0.0, "a.") | weights(0.0, 1.0, "b."),
        stages=[stage("halve", "a.", "always"), stage("white", "b.")],
    )
    mixed = [drrs[0], films[1]]
    result = reconstruct(mixed, geometry, two, device="cpu")
    seen = shown(two, mixed, geometry)
    np.testing.assert_allclose(seen[0], 0.5 * shown(model(), drrs, geometry)[0], atol=1e-3)
    assert (seen[1] > 0.99).all()
    assert result.provenance["stages"] == [
        {"name": "halve", "architecture": two.stages[0].architecture, "views": ["AP", "LAT"]},
        {"name": "white", "architecture": two.stages[1].architecture, "views": ["LAT"]},
    ]
    assert "stages" not in reconstruct(drrs, geometry, model(), device="cpu").provenance


def test_real_translators_run_as_stages_in_half_precision(model, films, geometry):
    for name, arguments in (
        ("cyclegan", {"width": 0.1, "blocks": 1}),
        (
            "bone-suppression",
            {"width": 0.125, "channels": [64, 64], "attention": [False, True], "sampling_steps": 2},
        ),
    ):
        torch.manual_seed(1)
        net = TRANSLATORS[name](**arguments)
        halves = {f"s.{n}": t.half().numpy() for n, t in net.state_dict().items()}
        entry = {**stage("x", "s."), "architecture": {"name": name, "arguments": arguments}}
        bundle = model(halves, stages=[entry])
        images = np.random.default_rng(0).random((2, SIZE, SIZE), "f4")
        got, _ = run_stages(bundle, images, [True, True], torch.device("cpu"))
        with torch.no_grad():
            expected = net.eval()(torch.from_numpy(images)[None])[0].numpy()
        assert np.abs(got - expected).mean() < 5e-3
        assert shown(bundle, films, geometry).shape == (2, SIZE, SIZE)


@pytest.mark.parametrize(
    "stages",
    [
        {},
        [5],
        [{"name": "x"}],
        [stage("", "a.")],
        [stage("x", "a")],
        [stage("x", "")],
        [stage("x", "c.")],
        [stage("x", "a.", "sometimes")],
        [stage("x", "a."), stage("x", "b.")],
        [stage("x", "a."), stage("y", "a.")],
        [{**stage("x", "a."), "architecture": "affine"}],
        [{**stage("x", "a."), "prefix": 5}],
    ],
    ids=[
        "no_list", "a_number", "fields_missing", "no_name", "no_dot", "no_prefix", "no_tensors",
        "applies_to", "same_name", "same_prefix", "architecture", "prefix",
    ],
)  # fmt: skip
def test_garbled_stages_are_refused_on_reading(model, stages):
    with pytest.raises(InputError) as error:
        model(weights(1, 0, "a.") | weights(1, 0, "b."), stages=stages)
    assert error.value.code == "MODEL_DESCRIPTION"


@pytest.mark.parametrize(
    ("entry", "tensors", "code"),
    [
        (stage("x", "a."), {"a.scale": np.ones(1, "f4")}, "MODEL_MISMATCH"),
        (stage("x", "a.", "films", worse=True), weights(1, 0, "a."), "MODEL_MISMATCH"),
        (stage("x", "a.", "films", colour=1), weights(1, 0, "a."), "ARCHITECTURE_ARGUMENTS"),
        (stage("x", "a."), weights(np.inf, 0, "a."), "MODEL_WEIGHTS"),
        (
            {**stage("x", "a."), "architecture": {"name": "magic"}},
            weights(1, 0, "a."),
            "ARCHITECTURE_UNKNOWN",
        ),
        (
            {**stage("x", "a."), "architecture": {"name": "shown"}},
            weights(1, 0, "a."),
            "ARCHITECTURE_UNKNOWN",
        ),
    ],
    ids=["missing_tensor", "other_size", "arguments", "infinite", "unknown", "a_generator"],
)
def test_a_stage_that_cannot_run_is_refused_by_its_usual_code(
    model, films, geometry, entry, tensors, code
):
    with pytest.raises(InputError) as error:
        reconstruct(films, geometry, model(tensors, stages=[entry]), device="cpu")
    assert error.value.code == code


def test_a_stage_without_its_entry_is_a_foreign_weight(model):
    with pytest.raises(InputError) as error:
        load_network(model(weights(1, 0, "a.")))
    assert error.value.code == "MODEL_MISMATCH"


def test_a_translator_alone_is_no_model(model):
    bundle = model(weights(1, 0, ""), architecture={"name": "affine", "arguments": {}})
    with pytest.raises(InputError, match="translator of images") as error:
        load_network(bundle)
    assert error.value.code == "MODEL_MISMATCH"


# ------------------------------------------------------------------------- harmonisation


def test_films_are_matched_to_the_models_reference_and_drrs_are_not(model, drrs, films, geometry):
    plain, matching = model(), model(harmonise=references(drrs, geometry))
    goal = shown(plain, drrs, geometry)
    assert np.array_equal(shown(matching, drrs, geometry), goal)
    before = np.abs(shown(plain, films, geometry) - goal).mean()
    after = np.abs(shown(matching, films, geometry) - goal).mean()
    assert after < 0.5 * before
    told = reconstruct(films, geometry, matching, device="cpu").provenance["harmonised"]
    assert told == {view: {"field": [0, 64, 0, 64], "markers_removed": 0} for view in ("AP", "LAT")}
    assert "harmonised" not in reconstruct(drrs, geometry, matching, device="cpu").provenance


@pytest.mark.parametrize(
    "spoil",
    [
        lambda h: h.pop("views"),
        lambda h: h["views"].pop("LAT"),
        lambda h: h["views"].update(AP=[1, 2]),
        lambda h: h["views"].update(AP=["x"] * 65),
        lambda h: h.update(views=[1]),
    ],
    ids=["no_views", "one_view", "short", "texts", "list"],
)
def test_a_garbled_reference_is_refused_on_reading(model, drrs, geometry, spoil):
    harmonise = json.loads(json.dumps(references(drrs, geometry)))
    spoil(harmonise)
    with pytest.raises(InputError) as error:
        model(harmonise=harmonise)
    assert error.value.code == "MODEL_DESCRIPTION"


# ------------------------------------------------------------------------- films' geometry


def dicom(path: Path, film: Radiograph, **tags: Any) -> Path:
    """Write a film as a DX file: 12 bits, bone bright, hung as radiographs are."""
    low, high = film.pixels.min(), film.pixels.max()
    stored = np.rint(4095 * (film.pixels - low) / (high - low)).astype("<u2")
    orientation = ["L", "F"] if film.view != "LAT" else ["P", "F"]
    usual = {
        "ViewPosition": "AP" if film.view == "AP" else "LL",
        "PatientOrientation": orientation,
        "PhotometricInterpretation": "MONOCHROME2",
        "PresentationLUTShape": "IDENTITY",
        "PixelIntensityRelationship": "LOG",
        "PixelIntensityRelationshipSign": -1,
        "ImagerPixelSpacing": list(film.pixel_spacing_mm),
    }
    return save(radiograph(stored, **(usual | tags)), path)


def test_films_from_dicom_are_reconstructed_with_their_own_distances(model, head, films, tmp_path):
    """From files alone: distances from tags, harmonised, translated, recorded."""
    own = from_preset(size=64, sad_mm=900, sdd_mm=1300)
    moved = own.centred_on(head.grid.centre_lps)
    images = project(head, moved)
    shot = [
        Radiograph(500 * image**0.7 + 3, view.label, view.pixel_spacing_mm)
        for image, view in zip(images, own.views, strict=True)
    ]
    files = {
        film.view: dicom(
            tmp_path / f"{film.view}.dcm",
            film,
            DistanceSourceToDetector="1300",
            DistanceSourceToPatient="1000",  # the bucky's front, half a head behind its middle
        )
        for film in shot
    }
    drr_radiographs = [
        Radiograph(image, view.label, view.pixel_spacing_mm, "line_integral", {}, moved)
        for image, view in zip(images, own.views, strict=True)
    ]
    bundle = model(
        weights(0.5, 0.25, "a."),
        harmonise=references(drr_radiographs, moved),
        stages=[stage("toy", "a.")],
    )
    result = reconstruct_files(files, tmp_path / "sct.nrrd", model=bundle, device="cpu")
    used = AcquisitionGeometry.from_dict(result["provenance"]["geometry"])
    for view in used.views:
        assert view.sdd_mm == pytest.approx(1300)
        assert view.sad_mm(used.isocentre_lps) == pytest.approx(900)
    assert [w.split(":")[0] for w in result["warnings"]] == ["UNCALIBRATED", "GEOMETRY_ASSUMED"]
    assert "source 900 mm, detector 1300 mm" in result["warnings"][1]
    assert result["provenance"]["stages"][0]["views"] == ["AP", "LAT"]
    assert result["provenance"]["harmonised"].keys() == {"AP", "LAT"}
    sct = read_volume(tmp_path / "sct.nrrd")
    low, high = OUTPUT.hu_window
    seen = 2 * ((sct.array_hu - low) / (high - low))[::-1, :2].transpose(1, 0, 2)
    goal = network_images(images, moved, INPUT)
    assert np.abs(seen - (0.5 * goal + 0.25)).mean() < 0.02


@pytest.mark.parametrize(
    ("tags", "sad_mm", "sdd_mm"),
    [
        ({}, 1000, 1500),
        ({"DistanceSourceToDetector": "1150"}, 1000, 1150),
        ({"DistanceSourceToPatient": "1300"}, 1200, 1500),
        ({"DistanceSourceToDetector": "1150", "DistanceSourceToPatient": "2000"}, 1000, 1500),
        (
            {
                "Modality": "XA",
                "DistanceSourceToDetector": "1100",
                "DistanceSourceToPatient": "750",
            },
            750,
            1100,
        ),
    ],
    ids=["none", "detector", "patient", "impossible", "c_arm"],
)
def test_what_a_file_does_not_state_is_completed(model, films, tmp_path, tags, sad_mm, sdd_mm):
    files = [dicom(tmp_path / f"{film.view}.dcm", film, **tags) for film in films]
    read = [read_radiograph(file, film.view) for file, film in zip(files, films, strict=True)]
    told = reconstruct(read, None, model(), device="cpu").provenance["geometry"]
    for view in told["views"]:
        assert (view["sad_mm"], view["sdd_mm"]) == pytest.approx((sad_mm, sdd_mm))


def test_a_drr_from_dicom_is_no_film(model, drrs, geometry, tmp_path):
    bundle = model(harmonise=references(drrs, geometry))
    files = {}
    for drr in drrs:
        files[drr.view] = tmp_path / f"{drr.view}.dcm"
        write_drr(files[drr.view], drr.pixels, geometry, drr.view)
    result = reconstruct_files(files, tmp_path / "sct.nrrd", model=bundle, device="cpu")
    assert "harmonised" not in result["provenance"]
    assert AcquisitionGeometry.from_dict(result["provenance"]["geometry"]) == geometry


# ------------------------------------------------------------------------- single views


@pytest.mark.parametrize("views", [("AP",), ("LAT",), ("PA",)])
def test_a_model_of_one_view_takes_that_view_alone(model, drrs, geometry, views):
    bundle = model(views=views)
    kind = [drr for drr in drrs if (drr.view == "LAT") == (views == ("LAT",))]
    result = reconstruct(kind, None, bundle, device="cpu")
    assert [image["view"] for image in result.provenance["images"]] == [kind[0].view]
    for wrong in (drrs, [drr for drr in drrs if drr not in kind], []):
        with pytest.raises(InputError) as error:
            reconstruct(wrong, None, bundle, device="cpu")
        assert error.value.code == "VIEWS_MISSING"


def test_a_ct_is_projected_for_the_views_that_the_model_takes(model, tiny_ct, tmp_path):
    result = case_files(tmp_path / "out", ct=tiny_ct, model=model(views=("AP",)), device="cpu")
    assert {"AP", "sct", "metrics"} <= result["outputs"].keys()
    assert "LAT" not in result["outputs"]
    assert result["provenance"]["inputs"].keys() == {"AP"}


def test_a_film_keeps_its_view_from_the_other_side(model, films):
    """PA films in a model of AP views: the source stands behind, at the stated distance."""
    behind = [replace(films[0], view="PA", sad_mm=800.0, sdd_mm=1400.0), films[1]]
    told = reconstruct(behind, None, model(), device="cpu").provenance["geometry"]
    assert told["views"][0]["source_lps"] == pytest.approx([0, 800, 0])
    assert told["views"][0]["sdd_mm"] == pytest.approx(1400)
    assert told["views"][1]["sad_mm"] == pytest.approx(1000)
