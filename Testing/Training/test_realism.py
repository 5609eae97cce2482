"""DRRs made realistic, and films of the cases: what the network is shown, and where it stood."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from TomoRayCore.bundle import read_bundle
from TomoRayCore.drr import project
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.harmonise import exposed_field
from TomoRayCore.io.radiograph_io import write_drr
from TomoRayCore.io.volume_io import read_volume, write_volume
from TomoRayCore.nets import build
from TomoRayCore.network_io import network_images, view_matrices
from TomoRayCore.presets import from_preset
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.volume import Volume
from TomoRayTraining import dataset
from TomoRayTraining.cases import Case, read_cases, write_cases
from TomoRayTraining.config import AugmentationConfig, Config
from TomoRayTraining.dataset import TrainingExamples, training_references
from TomoRayTraining.evaluate import evaluate, model_prediction
from TomoRayTraining.export import ModelCard, export
from TomoRayTraining.films import films_of
from TomoRayTraining.realism import (
    Look,
    curved,
    detected,
    field_of,
    film,
    random_look,
    realistic,
)
from TomoRayTraining.specs import specs_of
from TomoRayTraining.validate import validation

PLAIN = Look(
    scatter=0.0,
    blur_pixels=0.0,
    quanta=1e12,
    gamma=1.0,
    shoulder=0.0,
    gain=1.0,
    offset=0.0,
    margins=(0.0, 0.0, 0.0, 0.0),
    shutter=True,
    marker="",
)
STILL = AugmentationConfig(0.0, 0.0, 0.0, False, 0.0, 0.0, 0.0)


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(autouse=True)
def few_references(monkeypatch):
    monkeypatch.setattr(dataset, "REFERENCE_EXAMPLES", 3)


@pytest.fixture(scope="module")
def geometry(heads) -> AcquisitionGeometry:
    return from_preset(isocentre_lps=heads[0].grid.centre_lps, size=96)


@pytest.fixture(scope="module")
def drrs(heads, geometry) -> list[np.ndarray]:
    return project(heads[0], geometry)


def one(drrs, geometry, **look) -> np.ndarray:
    return film(drrs[0], geometry.views[0], geometry, replace(PLAIN, **look), draws())


# --------------------------------------------------------------------------------- realism


def test_a_plain_look_is_the_drr_on_another_scale(drrs, geometry):
    shown = one(drrs, geometry)
    low, high = np.percentile(drrs[0], [0.1, 99.9])
    np.testing.assert_allclose(shown, ((drrs[0] - low) / (high - low)).clip(0, 1.2), atol=1e-3)
    np.testing.assert_allclose(
        one(drrs, geometry, gain=300.0, offset=0.5), 300 * (shown + 0.5), atol=0.3
    )


def test_the_same_draws_give_the_same_films_and_others_give_others(drrs, geometry):
    first, again = realistic(drrs, geometry, draws(1)), realistic(drrs, geometry, draws(1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    other = realistic(drrs, geometry, draws(2))
    assert not any(np.allclose(a, b) for a, b in zip(first, other, strict=True))
    assert all(a.dtype == np.float32 and a.shape == (96, 96) for a in first)
    for seed in range(20):
        films = realistic(drrs, geometry, draws(seed))
        assert all(np.isfinite(a).all() and a.std() > 0 for a in films)


@pytest.mark.parametrize("seed", range(5))
def test_a_contrast_curve_keeps_the_order_of_values(seed):
    look = random_look(draws(seed))
    values = np.linspace(-0.1, 6, 500).reshape(20, 25)
    assert (np.diff(curved(values, look).ravel()) >= 0).all()


def test_scatter_lowers_contrast_and_noise_is_the_quanta_s(drrs, geometry):
    arguments = (drrs[0], geometry.views[0], geometry)
    clear = detected(*arguments, PLAIN, draws())
    np.testing.assert_allclose(clear, drrs[0].clip(max=-np.log(1e-6)), atol=1e-3)
    foggy = detected(*arguments, replace(PLAIN, scatter=1.0), draws())
    dense = drrs[0] > 3
    assert (foggy <= clear + 1e-3).all()
    assert np.ptp(foggy[dense]) < 0.9 * np.ptp(clear[dense])
    noisy = detected(*arguments, replace(PLAIN, quanta=1e4), draws())
    air = drrs[0] == 0
    assert np.std(noisy[air]) == pytest.approx(0.01, rel=0.1)


def test_blades_hide_what_they_say_and_a_letter_lies_beside_the_head(drrs, geometry):
    margins = (0.1, 0.05, 0.0, 0.12)
    assert field_of(replace(PLAIN, margins=margins), (96, 96)) == (10, 91, 0, 84)
    clear = one(drrs, geometry)
    for shutter in (True, False):
        shown = one(drrs, geometry, margins=margins, shutter=shutter)
        np.testing.assert_array_equal(shown[10:91, :84], clear[10:91, :84])
        assert (shown[:10] < clear.min()).all() if shutter else (shown[:10] > 0.9).all()
        top, bottom, left, right = exposed_field(shown)
        assert 0 <= top - 10 <= 1
        assert 0 <= 91 - bottom <= 1
        assert (left, 84 - right) in ((0, 0), (0, 1))
    changed = one(drrs, geometry, marker="L") != clear
    assert 10 < changed.sum() < 200
    assert not changed[40:].any()
    assert set(np.unique(one(drrs, geometry, marker="L")[changed])) == {max(1.0, clear.max())}


# ------------------------------------------------------------------------- training examples


def shown_as(config: Config, images: str, **model: bool) -> Config:
    return replace(
        config,
        data=replace(config.data, images=images),
        model=replace(config.model, **model),
    )


def training(table: Path) -> list[Case]:
    return [case for case in read_cases(table) if case.split == "train"]


def test_realistic_examples_show_the_head_of_the_drr_examples(table, tiny):
    cases = training(table)
    specs = specs_of(tiny)
    plain = TrainingExamples(cases, tiny, *specs, 4)
    films = TrainingExamples(cases, shown_as(tiny, "realistic"), *specs, 4)
    for number in (0, 3):
        drr, film_ = plain[number], films[number]
        assert torch.equal(drr["target"], film_["target"])
        assert torch.equal(drr["view_matrices"], film_["view_matrices"])
        assert not torch.allclose(drr["images"], film_["images"], atol=0.05)
        assert torch.equal(films[number]["images"], film_["images"])


def test_harmonised_examples_are_nearer_to_the_drrs(table, tiny):
    cases, specs = training(table), specs_of(tiny)
    quiet = replace(tiny, augmentation=STILL)
    references = training_references(cases, shown_as(quiet, "realistic", harmonise=True))
    errors = []
    for found in ([], references):
        config = shown_as(quiet, "realistic")
        examples = TrainingExamples(cases, config, *specs, 6, found)
        pairs = [examples.film_and_drr(number) for number in range(6)]
        errors.append(np.mean([(a - b).abs().mean() for a, b in pairs]))
    assert errors[1] < 0.8 * errors[0]


def test_references_are_a_function_of_cases_and_settings(table, tiny):
    cases = training(table)
    config = shown_as(tiny, "films", harmonise=True)
    first = training_references(cases, config)
    assert len(first) == 2
    assert first == training_references(cases, shown_as(config, "realistic"))
    assert first != training_references(cases, replace(config, seed=9))
    assert training_references(cases, shown_as(config, "films", harmonise=False)) == []


# ------------------------------------------------------------------------------------- films


@pytest.fixture(scope="module")
def filmed(tmp_path_factory, heads) -> Path:
    """A table of four heads; three have films: by a geometry file, as a DRR, and as bare NRRDs."""
    folder = tmp_path_factory.mktemp("filmed")
    cases = []
    for number, head in enumerate(heads[:4]):
        moved = head.ijk_to_lps.copy()
        moved[:3, 3] += (40.0, -20.0, 300.0)
        write_volume(Volume(head.array_hu, moved), folder / f"h{number}.nrrd")
        split = ("train", "train", "val", "test")[number]
        cases.append(Case(f"h{number}", f"p{number}", split, "whole", Path(f"h{number}.nrrd")))
    for number in (0, 1, 2):
        ct = read_volume(folder / f"h{number}.nrrd")
        centre = np.add(ct.grid.centre_lps, (4, 6, 8) if number == 0 else 0)
        geometry = from_preset(isocentre_lps=centre, size=64, sad_mm=900, sdd_mm=1200)
        films = {}
        for image, view in zip(project(ct, geometry), geometry.views, strict=True):
            name = f"h{number}_{view.label}.nrrd"
            write_drr(folder / name, image, geometry, view.label)
            films[view.label] = Path(name)
        path = None
        if number == 0:
            path = Path("h0_geometry.json")
            (folder / path).write_text(geometry.to_json())
        cases[number] = replace(cases[number], films=films, film_geometry=path)
    write_cases(folder / "cases.csv", cases)
    return folder / "cases.csv"


def test_a_table_with_films_returns_as_it_was_written(filmed):
    cases = read_cases(filmed)
    assert cases[0].films == {v: filmed.parent / f"h0_{v}.nrrd" for v in ("AP", "LAT")}
    assert cases[0].film_geometry == filmed.parent / "h0_geometry.json"
    assert cases[1].film_geometry is None
    assert cases[3].films == {}
    header = filmed.read_text().splitlines()[0]
    assert header == "case,patient,split,kind,ct,ap,lat,geometry"


def test_a_geometry_without_films_is_refused(tmp_path):
    lone = Case("a", "p", "train", "whole", Path("a.nrrd"), {}, Path("g.json"))
    with pytest.raises(InputError, match="no films"):
        write_cases(tmp_path / "cases.csv", [lone])


def test_films_are_shown_with_their_own_geometry_and_the_head_lies_under_them(filmed, tiny):
    config = replace(shown_as(tiny, "films"), augmentation=STILL)
    cases = read_cases(filmed)
    for case in cases[:2]:
        examples = TrainingExamples([case], config, *specs_of(config), 1)
        example = examples[0]
        radiographs, geometry = films_of(case, config.data, (0.0, 0.0, 0.0))
        assert geometry.views[0].sad_mm(geometry.isocentre_lps) == pytest.approx(900)
        expected = network_images([r.pixels for r in radiographs], geometry, specs_of(config)[0])
        assert np.array_equal(example["images"].numpy(), expected)
        matrices = view_matrices(geometry, *specs_of(config))
        assert np.array_equal(example["view_matrices"].numpy(), matrices)
        # The target's own projections look like the films: CT and films share one world.
        film_, drr = examples.film_and_drr(0)
        assert (film_ - drr).abs().mean() < 0.01


def test_only_cases_with_films_are_drawn_and_none_is_an_error(filmed, tiny):
    cases = read_cases(filmed)
    config = shown_as(tiny, "films")
    examples = TrainingExamples(cases, config, *specs_of(config), 3)
    assert [case.case for case in examples._cases] == ["h0", "h1", "h2"]
    with pytest.raises(InputError) as error:
        TrainingExamples(cases[3:], config, *specs_of(config), 3)
    assert error.value.code == "BAD_CASES"
    frontal = replace(config, data=replace(config.data, views=("AP",)))
    assert TrainingExamples(cases, frontal, *specs_of(config), 1)[0]["images"].shape[0] == 1
    soft = replace(config, data=replace(config.data, soft_images=True))
    with pytest.raises(InputError) as error:
        TrainingExamples(cases, soft, *specs_of(config), 1)
    assert error.value.code == "BAD_CONFIG"


def test_bare_films_stand_about_the_middle_of_the_ct(filmed, tiny, tmp_path):
    case = read_cases(filmed)[1]
    films = {}
    for view, path in case.films.items():
        picture = Radiograph(np.load(_npy(path, tmp_path)), view, (3.0, 3.0))
        films[view] = _bare(picture, tmp_path)
    bare = replace(case, films=films)
    centre = read_volume(case.ct).grid.centre_lps
    _, geometry = films_of(bare, tiny.data, centre)
    assert geometry.isocentre_lps == centre
    assert geometry.views[0].sad_mm(centre) == pytest.approx(sum(tiny.data.sad_mm) / 2)
    assert geometry.views[0].pixel_spacing_mm == (3.0, 3.0)


def _npy(path: Path, folder: Path) -> Path:
    from TomoRayCore.io.radiograph_io import read_radiograph

    np.save(folder / "pixels.npy", read_radiograph(path).pixels)
    return folder / "pixels.npy"


def _bare(radiograph: Radiograph, folder: Path) -> Path:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(radiograph.pixels)
    image.SetSpacing((3.0, 3.0))
    sitk.WriteImage(image, folder / f"{radiograph.view}.nrrd")
    return folder / f"{radiograph.view}.nrrd"


def test_validation_looks_at_what_training_shows(filmed, toy):
    cases = [case for case in read_cases(filmed) if case.split == "val"]
    torch.manual_seed(0)
    net = build("toy")
    scores = {
        images: validation(cases, shown_as(toy, images))(net)["mae_hu"]
        for images in ("drr", "films", "realistic")
    }
    assert len(set(scores.values())) == 3
    assert all(np.isfinite(score) for score in scores.values())


# ------------------------------------------------------------------------------------ export

CARD = ModelCard("A test.", "Phantoms.", "None.", "Nobody.", "Tests.", ("Everything.",))


def test_a_harmonising_model_keeps_the_reference_of_its_training(filmed, toy, tmp_path):
    cases = read_cases(filmed)
    config = shown_as(toy, "realistic", harmonise=True)
    torch.manual_seed(0)
    weights = build("toy").state_dict()
    path = tmp_path / "toy.safetensors"
    export(path, config, weights, CARD, cases, {}, {"step": 1})
    bundle = read_bundle(path)
    train = [case for case in cases if case.split == "train"]
    assert list(bundle.references) == training_references(train, config)
    for images in ("films", "realistic"):
        rows = evaluate(cases[2:3], model_prediction(bundle, "cpu", images))
        assert np.isfinite(rows[0]["mae_hu"])
    plain = shown_as(toy, "realistic")
    export(path, plain, weights, CARD, cases, {}, {"step": 1})
    assert read_bundle(path).references == (None, None)
