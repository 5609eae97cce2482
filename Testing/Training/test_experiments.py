"""Every shipped experiment is a network and a recipe that fit, with the rates that papers state."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import TomoRayTraining
from TomoRayCore.drr import project
from TomoRayCore.io.radiograph_io import write_drr
from TomoRayCore.io.volume_io import write_volume
from TomoRayCore.nets import build, parameter_count
from TomoRayCore.presets import from_preset
from TomoRayTraining.cases import Case
from TomoRayTraining.config import Config
from TomoRayTraining.config_file import config_from, read_config
from TomoRayTraining.engine import Trainer, learning_rate_share, peak_learning_rate, steps_of
from TomoRayTraining.perceptual import LAYERS
from TomoRayTraining.recipes import recipe
from TomoRayTraining.recipes.base import Recipe

FOLDER = Path(TomoRayTraining.__file__).parent / "experiments"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def experiment(name: str) -> Config:
    """Return an experiment, with a random backbone where it needs a file of the user's."""
    config = read_config(FOLDER / f"{name}.yaml")
    backbone = "random" if config.loss.backbone else ""
    return replace(config, loss=replace(config.loss, backbone=backbone))


def networks(config: Config) -> Recipe:
    kind = recipe(config.optimisation.recipe)
    model = config.model
    return kind(build(model.architecture, model.arguments, kind.REGISTRY), config)


def meta_networks(config: Config) -> Recipe:
    """Return an experiment's networks at full width, without memory for their weights."""
    with torch.device("meta"):
        return networks(config)


# --------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_is_named_as_its_file(name):
    config = experiment(name)
    assert name.removesuffix("-stage2") == config.name
    assert config_from(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("name", NAMES)
def test_full_networks_fit_their_recipe_and_their_views(name):
    config = experiment(name)
    made = meta_networks(config)
    assert "generator" in dict(made.named_children())
    assert all(parameter_count(network) > 0 for network in made.children())
    # Bone suppression takes any number of views.
    views = getattr(made.generator, "view_count", len(config.data.views))
    assert views == len(config.data.views)


PUBLISHED_COUNTS = {
    "x2ct-gan": {"generator": 61_740_467, "discriminator": 11_055_169},
    "x2ct-gan-single": {"generator": 29_384_481, "discriminator": 11_051_073},
    "tomoray-gan-realistic": {"generator": 61_740_467, "discriminator": 11_055_169},
    "henzler-2dcnn": {"generator": 9_068_480},
    "tomoray-cnn-inr": {"generator": 20_484_801},
    "sun-cnn-inr": {"generator": 20_484_801},
    "perx2ct": {"generator": 42_555_715},
    "perx2ct-global": {"generator": 70_150_979},
    "rt-srts": {"generator": 624_019_488},
    "dct-net": {"generator": 60_644_930},
    # Two views of 11,365,633 and 2,762,689: one grey channel.
    "cyclegan": {"generator": 22_731_266, "discriminator_drr": 5_525_378},
}


@pytest.mark.parametrize(("name", "counts"), PUBLISHED_COUNTS.items(), ids=PUBLISHED_COUNTS)
def test_an_experiment_trains_the_published_network(name, counts):
    made = meta_networks(experiment(name))
    found = {part: parameter_count(getattr(made, part)) for part in counts}
    assert found == counts


# (epochs, learning rates in the middle of the given epochs, counted from 1)
PUBLISHED_RATES = {
    "x2ct-gan": (100, {1: 2e-4, 50: 2e-4, 75: 1.02e-4, 100: 2e-6}),
    "tomoray-cnn-inr": (170, {1: 3e-5, 170: 3e-5}),
    "tomoray-gan": (170, {1: 2e-4, 170: 2e-4}),
    "sun-cnn-inr": (170, {50: 3e-5, 51: 3e-6, 100: 3e-6, 101: 3e-7}),
    "duolift-cnn": (100, {1: 5e-4, 70: 5e-4, 71: 5e-5, 100: 5e-5}),
    "duolift-gan": (100, {1: 1e-4, 70: 1e-4, 71: 1e-5, 100: 1e-5}),
    "dct-net": (100, {1: 2e-4, 100: 2e-4}),
    "rt-srts": (100, {50: 2e-4, 75: 1.02e-4}),
    "perx2ct": (100, {1: 9e-5, 100: 9e-5}),
    "cyclegan": (200, {1: 2e-4, 100: 2e-4, 150: 1.01e-4, 200: 1e-6}),
    "cyclegan-edges": (200, {100: 2e-4, 150: 1.01e-4}),
    "bone-suppression": (200, {1: 1e-4, 200: 1e-4}),
    "bone-suppression-released": (200, {1: 1e-4, 200: 1e-4}),
}


@pytest.mark.parametrize(("name", "stated"), PUBLISHED_RATES.items(), ids=PUBLISHED_RATES)
def test_the_learning_rate_is_the_published_one_in_each_epoch(name, stated):
    epochs, rates = stated
    config = experiment(name)
    cases = 400
    steps = steps_of(config, cases)
    passes = config.optimisation.batch_size * config.optimisation.accumulate
    assert steps == epochs * cases / passes
    parts = [part for part, _ in meta_networks(config).named_children()]
    for epoch, rate in rates.items():
        step = round((epoch - 0.5) * steps / epochs)
        for network in parts:
            found = learning_rate_share(config, step, steps) * peak_learning_rate(config, network)
            assert found == pytest.approx(rate, rel=0.02), (network, epoch)


# --------------------------------------------------------------------------------------- two steps

USUAL = {"width": 0.0625, "input_size": 64, "output_size": 64}
SMALLEST = {
    # A translator's images are as large as a generator's.
    "cyclegan": {"width": 0.0625, "blocks": 1},
    "bone-suppression": {"width": 0.0625, "residual_blocks": 1, "attention": [False] * 5},
    "cnn-inr": {**USUAL, "input_size": 32, "output_size": 32},
    "perx2ct": {**USUAL, "chunk": 2},
    "perx2ct-global": {**USUAL, "chunk": 2},
    "rt-srts": {**USUAL, "width": 0.03125},
    "cnn2d": {**USUAL, "input_size": 64, "output_size": 32},
    "duolift-biplanar": {**USUAL, "input_size": 32, "output_size": 32},
    "duolift-single": {**USUAL, "input_size": 32, "output_size": 32},
}
"""Smallest arguments by architecture, where they are not ``USUAL``."""


def shrunk(config: Config) -> Config:
    """Return an experiment on a head of the same size, with few channels, voxels and places."""
    model, data = config.model, config.data
    arguments = {**model.arguments, **SMALLEST.get(model.architecture, USUAL)}
    adversary: dict[str, Any] = {}
    if model.discriminator or model.architecture == "cyclegan":
        adversary = {**model.discriminator_arguments, "width": 0.0625}
    if model.discriminator == "dct-net":
        adversary["slices"] = 2
    edge = arguments.get("output_size", 128)
    return replace(
        config,
        model=replace(model, arguments=arguments, discriminator_arguments=adversary),
        data=replace(
            data,
            spacing_mm=256.0 / edge,
            detector_size=64,
            points=min(data.points, 512),
            slices=2,
            workers=0,
        ),
        optimisation=replace(config.optimisation, epochs=0.0, steps=2),
    )


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory, heads) -> list[Case]:
    """Two training heads with DRRs as their films."""
    folder = tmp_path_factory.mktemp("filmed")
    cases = []
    for number, head in enumerate(heads[:2]):
        ct = folder / f"head{number}.nrrd"
        write_volume(head, ct)
        geometry = from_preset(isocentre_lps=head.grid.centre_lps, size=64, sad_mm=900, sdd_mm=1200)
        films = {}
        for image, view in zip(project(head, geometry), geometry.views, strict=True):
            films[view.label] = folder / f"head{number}_{view.label}.nrrd"
            write_drr(films[view.label], image, geometry, view.label)
        cases.append(Case(f"head{number}", f"patient{number}", "train", "phantom", ct, films))
    return cases


@pytest.fixture
def slim_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """VGG-16 with a sixteenth of its channels."""
    slim = tuple(channels // 16 for channels in LAYERS)
    monkeypatch.setattr("TomoRayTraining.perceptual.LAYERS", slim)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_steps_of_an_experiment_move_all_its_networks(name, filmed, slim_backbone, tmp_path):
    config = shrunk(experiment(name))
    trainer = Trainer(config, filmed, tmp_path, device="cpu")
    before = {key: tensor.clone() for key, tensor in trainer.recipe.named_parameters()}
    trainer.run()
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [1, 2]
    assert all(math.isfinite(value) for entry in log for value in entry.values())
    weights = config.loss.weights()
    used = {term for term in type(trainer.recipe).WEIGHTS if weights[term]}
    assert used <= {key.rpartition("/")[2] for key in log[0]}
    moved = {
        key.partition(".")[0]
        for key, tensor in trainer.recipe.named_parameters()
        if not torch.equal(tensor, before[key])
    }
    assert moved == set(dict(trainer.recipe.named_children()))
