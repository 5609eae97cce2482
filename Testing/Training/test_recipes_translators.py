"""Translators between images: losses as published, exact resumption, and a place in a model file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from TomoRayCore.bundle import read_bundle
from TomoRayCore.errors import InputError
from TomoRayCore.inference import reconstruct
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.nets import TRANSLATORS, build
from TomoRayCore.nets.cyclegan import CycleGANTranslator
from TomoRayCore.nets.diffusion import denoising_loss
from TomoRayCore.presets import from_preset
from TomoRayTraining.__main__ import main
from TomoRayTraining.cases import Case, read_cases
from TomoRayTraining.checkpoint import read_average
from TomoRayTraining.config import Config, ModelConfig
from TomoRayTraining.config_file import read_config
from TomoRayTraining.engine import Trainer
from TomoRayTraining.evaluate import realistic_films_of
from TomoRayTraining.export import ModelCard, TrainedStage, export
from TomoRayTraining.image_examples import UnpairedImages
from TomoRayTraining.recipes import recipe
from TomoRayTraining.recipes.cyclegan import POOL_SIZE, CycleGanRecipe, edge_loss
from TomoRayTraining.recipes.diffusion import DiffusionRecipe

CYCLEGAN = {
    "name": "films-to-drrs",
    "seed": 6,
    "model": {
        "architecture": "cyclegan",
        "arguments": {"width": 0.05, "blocks": 1},
        "discriminator_arguments": {"width": 0.05},
    },
    "data": {"images": "realistic", "workers": 0, "detector_size": 32, "spacing_mm": 2.0},
    "augmentation": {"noise": 0.0},
    "optimisation": {
        "recipe": "cyclegan",
        "steps": 3,
        "warmup_steps": 1,
        "validate_every": 3,
        "ema_decay": 0.0,
        "gradient_clip": 0.0,
    },
    "loss": {"adversarial": 1.0, "cycle": 10.0, "identity": 5.0, "edge": 2.0},
}
DIFFUSION = {
    "name": "without-bone",
    "model": {
        "architecture": "bone-suppression",
        "arguments": {
            "width": 0.125,
            "channels": [64, 64, 64],
            "residual_blocks": 1,
            "attention": [False, False, False],
            "steps": 20,
            "sampling_steps": 2,
        },
    },
    "data": {"soft_images": True, "workers": 0, "detector_size": 32, "spacing_mm": 2.0},
    "optimisation": {"recipe": "diffusion", "steps": 2, "warmup_steps": 1},
}
CARD = {
    "summary": "A test.",
    "data": "Phantoms.",
    "licence": "None needed.",
    "attribution": "Nobody.",
    "intended_use": "Tests.",
    "known_failures": ["Everything."],
}


def written(folder: Path, settings: dict) -> Path:
    path = folder / f"{settings['name']}.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@pytest.fixture
def cyclegan(tmp_path) -> Config:
    return read_config(written(tmp_path, CYCLEGAN))


@pytest.fixture
def diffusion(tmp_path) -> Config:
    return read_config(written(tmp_path, DIFFUSION))


def training(table: Path) -> list[Case]:
    return [case for case in read_cases(table) if case.split == "train"]


def made(config: Config) -> CycleGanRecipe:
    torch.manual_seed(1)
    net = build(config.model.architecture, config.model.arguments, TRANSLATORS)
    return recipe(config.optimisation.recipe)(net, config)


def images(seed: int = 0, count: int = 1) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(count, 2, 128, 128, generator=random)
        for name in ("films", "drrs", "images", "soft_images")
    }


# --------------------------------------------------------------------------------- CycleGAN


def test_cyclegan_losses_are_the_published_formulas(cyclegan):
    one = made(cyclegan)
    data = images()
    to_drr, to_film = one.generator, one.generator_back
    updates = one.updates(data)
    first = next(updates)
    with torch.no_grad():
        a, b = data["films"], data["drrs"]
        fake_b, fake_a = to_drr(a), to_film(b)

        def l1(x: Tensor, y: Tensor) -> Tensor:  # twice, since the papers' images span -1 to 1
            return 2 * (x - y).abs().mean()

        def patches(net: torch.nn.Module, x: Tensor) -> Tensor:
            return net(2 * x - 1)

        fooled = ((patches(one.discriminator_drr, fake_b) - 1) ** 2).mean()
        fooled = fooled + ((patches(one.discriminator_film, fake_a) - 1) ** 2).mean()
        cycle = l1(to_film(fake_b), a) + l1(to_drr(fake_a), b)
        identity = l1(to_drr(b), b) + l1(to_film(a), a)
        edge = edge_loss(a, fake_b) + edge_loss(b, fake_a)
        expected = fooled + 10 * cycle + 5 * identity + 2 * edge
    torch.testing.assert_close(first.loss, expected, rtol=1e-4, atol=1e-5)
    assert (first.network, first.also) == ("generator", ("generator_back",))
    first.loss.backward()
    assert all(p.grad is None for p in one.discriminator_drr.parameters())
    for net in (to_drr, to_film):
        assert all(p.grad.abs().sum() > 0 for n, p in net.named_parameters() if "weight" in n)
    for update, net, real, fake in (
        (next(updates), one.discriminator_drr, b, fake_b),
        (next(updates), one.discriminator_film, a, fake_a),
    ):
        with torch.no_grad():
            expected = 0.5 * (
                ((patches(net, real) - 1) ** 2).mean() + (patches(net, fake) ** 2).mean()
            )
        assert getattr(one, update.network) is net
        torch.testing.assert_close(update.loss, expected, rtol=1e-4, atol=1e-5)
    assert next(updates, None) is None


def test_each_view_has_a_discriminator_of_its_own(cyclegan):
    net = made(cyclegan).discriminator_drr
    data = images()["drrs"]
    with torch.no_grad():
        both, swapped = net(data), net(data.flip(1)).flip(1)
    assert both.shape[:2] == (1, 2)
    assert not torch.allclose(both, swapped, atol=1e-3)


def test_terms_without_weight_are_not_computed(cyclegan):
    bare = replace(cyclegan, loss=replace(cyclegan.loss, identity=0.0, edge=0.0))
    assert next(made(bare).updates(images())).terms.keys() == {"adversarial", "cycle"}


def test_the_edge_term_sees_moved_outlines_and_no_contrast():
    picture = torch.rand(2, 2, 32, 32)
    assert edge_loss(picture, 0.3 * picture + 0.1).item() == pytest.approx(0, abs=1e-4)
    assert edge_loss(picture, -picture).item() == pytest.approx(2, abs=1e-4)
    assert 0.8 < edge_loss(picture, picture.roll(3, dims=3)).item() < 1.2
    assert torch.isfinite(edge_loss(picture, torch.zeros_like(picture)))


def test_the_pool_keeps_fifty_and_shows_older_ones_half_of_the_time(cyclegan):
    one = made(cyclegan)
    torch.manual_seed(0)

    def image(number: int) -> Tensor:
        return torch.full((1, 2, 128, 128), float(number))

    for number in range(POOL_SIZE):
        assert one._pooled(image(number), one.drr_pool, 0).mean() == number
    assert one.pool_count.tolist() == [POOL_SIZE, 0]
    older = 0
    for number in range(POOL_SIZE, POOL_SIZE + 200):
        before = set(one.drr_pool[:, 0, 0, 0].tolist())
        shown = one._pooled(image(number), one.drr_pool, 0).mean().item()
        after = set(one.drr_pool[:, 0, 0, 0].tolist())
        if shown == number:
            assert after == before
        else:
            older += 1
            assert before - after == {shown}
            assert after - before == {number}
    assert 70 < older < 130


def test_films_and_drrs_are_of_different_heads(table, cyclegan):
    config = replace(cyclegan, augmentation=replace(cyclegan.augmentation, flip=False))
    examples = UnpairedImages(training(table), config, 3)
    example = examples[1]
    assert example.keys() == {"films", "drrs"}
    assert example["films"].shape == example["drrs"].shape == (2, 128, 128)
    assert torch.equal(UnpairedImages(training(table), config, 9)[1]["films"], example["films"])
    # The same draw would put both heads in the same place.
    paired = examples._drrs[2]["images"]
    assert (example["drrs"] - paired).abs().mean() > 0.02
    flipped = replace(config, augmentation=replace(config.augmentation, image_flip=True))
    mirrored = UnpairedImages(training(table), flipped, 3)
    ways = {
        (name, torch.equal(mirrored[n][name], examples[n][name].flip(-1)))
        for n in range(3)
        for name in ("films", "drrs")
    }
    assert {way for _, way in ways} == {True, False}


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"images": "drr"}},
        {"data": {"views": ["AP"]}},
        {"model": {"discriminator": "patch3d"}},
        {"model": {"architecture": "bone-suppression", "arguments": {"width": 0.125}}},
        {"loss": {"cycle": 10.0, "contrastive": 1.0}},
    ],
    ids=["drrs", "views", "discriminator", "architecture", "loss"],
)
def test_cyclegan_refuses_what_it_cannot_do(table, tmp_path, change):
    merged = {
        key: {**value, **change.get(key, {})} if isinstance(value, dict) else value
        for key, value in CYCLEGAN.items()
    }
    with pytest.raises(InputError) as error:
        Trainer(read_config(written(tmp_path, merged)), training(table), tmp_path / "run")
    assert error.value.code == "BAD_CONFIG"


def test_a_stopped_cyclegan_goes_on_to_the_same_weights_and_pools(
    table, cyclegan, tmp_path, monkeypatch
):
    monkeypatch.setattr("TomoRayTraining.recipes.cyclegan.POOL_SIZE", 1)  # full after one step
    cases = training(table)
    whole = Trainer(cyclegan, cases, tmp_path / "whole")
    whole.run()
    part = Trainer(cyclegan, cases, tmp_path / "part")
    batches = part._batches()
    for _ in range(2):
        part._take_step(next(batches))
    part._save()
    resumed = Trainer(cyclegan, cases, tmp_path / "part")
    assert resumed.step == 2
    resumed.run()
    one, other = whole.recipe.state_dict(), resumed.recipe.state_dict()
    assert {"drr_pool", "film_pool", "pool_count"} < one.keys()
    assert one["pool_count"].tolist() == [1, 1]
    assert all(torch.equal(one[name], other[name]) for name in one)
    log = [json.loads(line) for line in (tmp_path / "whole/log.jsonl").read_text().splitlines()]
    assert {"cycle", "identity", "edge", "gradient", "generator_back/gradient"} <= log[0].keys()
    assert {"discriminator_drr/fake", "discriminator_film/loss"} <= log[0].keys()


def test_both_generators_and_discriminators_learn(table, cyclegan, tmp_path):
    fresh = Trainer(cyclegan, training(table), tmp_path / "run")
    before = {name: t.clone() for name, t in fresh.recipe.state_dict().items()}
    fresh._take_step(next(fresh._batches()))
    changed = {
        name.split(".")[0]
        for name, tensor in fresh.recipe.named_parameters()
        if not torch.equal(before[name], tensor)
    }
    assert changed == {"generator", "generator_back", "discriminator_drr", "discriminator_film"}
    # Nothing averaged: the exported weights are the last ones.
    net = fresh.averaged_net()
    assert isinstance(net, CycleGANTranslator)
    last = fresh.recipe.generator.state_dict()
    assert all(torch.equal(tensor, last[name]) for name, tensor in net.state_dict().items())


def test_cyclegan_is_scored_by_its_distance_from_the_same_heads_drrs(table, cyclegan):
    class Copy(torch.nn.Module):
        def forward(self, films: Tensor) -> Tensor:
            return films

    cases = [case for case in read_cases(table) if case.split == "val"]
    scores = CycleGanRecipe.validation(cases, cyclegan)(Copy())
    assert scores["l1_to_drr"] == scores["l1_untranslated"] > 0.01
    with pytest.raises(InputError):
        CycleGanRecipe.validation([], cyclegan)


# --------------------------------------------------------------------------------- diffusion


@pytest.mark.parametrize("scheme", ["paper", "released"])
def test_the_diffusion_loss_is_the_denoisers(diffusion, scheme):
    arguments = {**diffusion.model.arguments, "scheme": scheme}
    config = replace(diffusion, model=ModelConfig("bone-suppression", arguments))
    one = made(config)
    small = {name: tensor[..., :16, :16] for name, tensor in images(count=2).items()}
    torch.manual_seed(5)
    (update,) = one.updates(small)
    torch.manual_seed(5)
    random = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
    net = one.generator
    films, soft = (2 * small[name].reshape(4, 1, 16, 16) - 1 for name in ("images", "soft_images"))
    view = torch.tensor([0, 1, 0, 1])
    expected = denoising_loss(net.denoiser, soft, films, view, net.schedule, random, scheme)
    torch.testing.assert_close(update.loss, expected)
    update.loss.backward()
    assert net.denoiser.first.weight.grad.abs().sum() > 0


def test_a_run_of_diffusion_repeats_itself_and_is_scored(table, diffusion, tmp_path):
    cases = read_cases(table)
    score = DiffusionRecipe.validation([cases[2]], diffusion)
    first = Trainer(diffusion, training(table), tmp_path / "one")
    example = first._examples[0]
    assert example.keys() == {"images", "soft_images"}
    first.run()
    again = Trainer(diffusion, training(table), tmp_path / "two")
    again.run()
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.average.values(), again.average.values(), strict=True)
    )
    scores = score(first.averaged_net())
    assert scores == score(again.averaged_net())
    assert 0 < scores["denoising"] < 10
    assert 0 < scores["l1"] < 1


@pytest.mark.parametrize(
    "change",
    [{"data": {"soft_images": False}}, {"model": {"architecture": "cyclegan", "arguments": {}}}],
    ids=["no_pairs", "architecture"],
)
def test_diffusion_refuses_what_it_cannot_do(tmp_path, change):
    merged = {
        key: {**value, **change.get(key, {})} if isinstance(value, dict) else value
        for key, value in DIFFUSION.items()
    }
    config = read_config(written(tmp_path, merged))
    with pytest.raises(InputError) as error:
        recipe("diffusion")(torch.nn.Identity(), config)
    assert error.value.code == "BAD_CONFIG"


# ------------------------------------------------------------------------------------ export


@pytest.fixture(scope="module")
def translator_run(table, tmp_path_factory) -> tuple[Path, Path, Path]:
    """A short run of CycleGAN by the commands: its experiment, its folder, its exported file."""
    folder = tmp_path_factory.mktemp("translator")
    experiment, run = written(folder, CYCLEGAN), folder / "run"
    card, out = folder / "card.json", folder / "translator.safetensors"
    card.write_text(json.dumps(CARD))
    cases = ["--cases", str(table)]
    assert main(["train", str(experiment), *cases, "--out", str(run)]) == 0
    arguments = ["--run", str(run), "--card", str(card), "--out", str(out)]
    assert main(["export", str(experiment), *cases, *arguments]) == 0
    return experiment, run, out


def test_a_translator_is_exported_with_its_score(translator_run):
    _, run, file = translator_run
    description = read_bundle(file).description
    assert description["architecture"]["name"] == "cyclegan"
    assert description["metrics"]["split"] == "test"
    assert description["metrics"]["results"]["l1_to_drr"] > 0
    weights, _ = read_average(run / "checkpoint.safetensors")
    stage = TrainedStage.read(file)
    assert stage.config.model == TrainedStage.read(run).config.model
    for name, tensor in weights.items():
        assert torch.equal(stage.weights[name], tensor.half())


def test_a_generator_with_a_trained_stage_translates_films_alone(
    translator_run, table, toy, tmp_path
):
    _, run, file = translator_run
    torch.manual_seed(2)
    weights, cases = build("toy").state_dict(), read_cases(table)
    card = ModelCard(**(CARD | {"known_failures": ("x",)}))
    path = tmp_path / "toy.safetensors"
    bundles = [
        export(path, toy, weights, card, cases, {}, {"step": 1}, stages=stages)
        for stages in ([], [TrainedStage.read(run)], [TrainedStage.read(file)])
    ]
    entry = bundles[1].stages[0]
    assert (entry.name, entry.applies_to, entry.prefix) == ("films-to-drrs", "films", "stage1.")
    assert bundles[1].sha256 == bundles[2].sha256
    ct = read_volume(cases[3].ct)
    geometry = from_preset(isocentre_lps=ct.grid.centre_lps)
    films = realistic_films_of(ct, geometry, seed=3)
    with_stage, without = (reconstruct(films, geometry, b, "cpu") for b in bundles[1::-1])
    assert not np.array_equal(with_stage.sct.array_hu, without.sct.array_hu)
    assert with_stage.provenance["stages"][0]["views"] == ["AP", "LAT"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": {"spacing_mm": 4.0}}, "128 pixels of 512 mm"),
        ({"data": {"views": ["PA", "LAT"]}}, "its views are PA, LAT"),
        ({"model": {"harmonise": True}}, "harmonised"),
    ],
    ids=["field", "views", "harmonise"],
)
def test_a_stage_trained_for_other_images_is_refused(
    translator_run, table, toy, tmp_path, change, words
):
    stage = TrainedStage.read(translator_run[1])
    parts = {name: replace(getattr(stage.config, name), **more) for name, more in change.items()}
    if "data" in parts:
        parts["data"] = replace(parts["data"], views=tuple(parts["data"].views))
    other = TrainedStage(replace(stage.config, **parts), stage.weights)
    card = ModelCard(**(CARD | {"known_failures": ("x",)}))
    weights = build("toy").state_dict()
    path = tmp_path / "x.safetensors"
    with pytest.raises(InputError, match=words) as error:
        export(path, toy, weights, card, read_cases(table), {}, {"step": 1}, stages=[other])
    assert error.value.code == "BAD_STAGE"
    assert not path.exists()


def test_what_is_no_translator_cannot_be_a_stage(table, toy, tmp_path):
    card = ModelCard(**(CARD | {"known_failures": ("x",)}))
    path = tmp_path / "toy.safetensors"
    export(path, toy, build("toy").state_dict(), card, read_cases(table), {}, {"step": 1})
    with pytest.raises(InputError, match="no translator") as error:
        TrainedStage.read(path)
    assert error.value.code == "BAD_STAGE"
    with pytest.raises(InputError) as error:
        TrainedStage.read(tmp_path)
    assert error.value.code == "BAD_CHECKPOINT"


def test_a_file_of_more_than_twenty_megabytes_must_be_asked_for(table, toy, tmp_path):
    card = ModelCard(**(CARD | {"known_failures": ("x",)}))
    weights = {**build("toy").state_dict(), "ballast": torch.zeros(10_000_001)}
    path, cases = tmp_path / "x.safetensors", read_cases(table)
    with pytest.raises(InputError, match="20 MB") as error:
        export(path, toy, weights, card, cases, {}, {"step": 1})
    assert error.value.code == "MODEL_TOO_LARGE"
    assert not path.exists()
    export(path, toy, weights, card, cases, {}, {"step": 1}, large=True)
    assert path.stat().st_size > 20_000_000
