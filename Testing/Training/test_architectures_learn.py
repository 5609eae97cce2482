"""Every architecture, through the recipe it is published with, learns what it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from generator_checks import SMALL, centroid
from torch import Tensor, nn

from TomoRayCore.nets import GENERATORS
from TomoRayCore.network_io import InputSpec, OutputSpec, view_matrices
from TomoRayCore.phantom import make_phantom
from TomoRayCore.presets import from_preset
from TomoRayTraining.config import Config, DataConfig, LossConfig, ModelConfig, OptimisationConfig
from TomoRayTraining.recipes import RECIPES
from TomoRayTraining.recipes.base import Recipe
from TomoRayTraining.synthesis import make_example

SHIPPED = tuple(GENERATORS)
"""Other tests may register generators of their own for a while."""

STEPS = 30
STEP_LENGTH = 1e-3
"""Of all weights together, downhill: so short that the loss is nearly a plane."""


@dataclass(frozen=True)
class Lesson:
    """How an architecture is trained here.

    Attributes:
        recipe: Its own.
        psnr_db: What it reaches on two heads after ``STEPS`` steps, from random weights. The best
            volume of one value has 13.4 dB.
        loss: Weights.
        data: Settings of the data.
        discriminator: Of adversarial recipes, with its arguments.
        learning_rate: Of Adam.
    """

    recipe: str
    psnr_db: float
    loss: dict[str, Any] = field(default_factory=lambda: {"mse": 10.0, "l1": 2.0})
    data: dict[str, Any] = field(default_factory=dict)
    discriminator: tuple[str, dict[str, Any]] = ("", {})
    learning_rate: float = 1e-3


PLAIN = {"mse": 10.0, "l1": 2.0, "projection": 0.0}
SLICES = {"mse": 0.0, "l1": 1.0, "projection": 0.0}
LESSONS = {
    "x2ct-biplanar": Lesson("regression", 17.5),
    "x2ct-single": Lesson("regression", 17.5),
    "cnn2d": Lesson("regression", 15.0, learning_rate=1e-2),
    "sdct": Lesson(
        "sdct",
        17.5,
        {
            "mse": 10.0,
            "l1": 0.0,
            "adversarial": 0.1,
            "self_supervised": 10.0,
        },
        discriminator=("sdct", {"width": 0.0625}),
    ),
    "x-recon": Lesson(
        "xrecon",
        17.5,
        {"mse": 10.0, "l1": 0.0, "projection": 0.1, "adversarial": 0.1},
        {"spacing_mm": 8.0},
        ("patch3d-coordinates", {"width": 0.0625}),
        learning_rate=3e-3,
    ),
    "duolift-biplanar": Lesson("duolift-cnn", 19.0, PLAIN, learning_rate=3e-2),
    "duolift-single": Lesson("duolift-cnn", 17.5, PLAIN, learning_rate=3e-2),
    "dct-net": Lesson(
        "dual-branch",
        15.0,
        {
            "mse": 10.0,
            "l1": 0.0,
            "adversarial": 0.1,
            "contrastive": 1.0,
            "second_branch": 10.0,
            "backbone": "random",
        },
        {"soft_images": True},
        ("dct-net", {"width": 0.0625, "slices": 2}),
    ),
    "cnn-inr": Lesson("implicit", 19.0, PLAIN, {"points": 4096}, learning_rate=3e-3),
    "perx2ct": Lesson("slices", 16.5, SLICES, {"slices": 8}, learning_rate=3e-3),
    "perx2ct-global": Lesson("slices", 16.5, SLICES, {"slices": 8}, learning_rate=3e-3),
    "rt-srts": Lesson(
        "segmented",
        16.5,
        {"mse": 10.0, "l1": 0.0, "projection": 0.0, "segmentation": 1.0},
        {"region": "skull"},
        learning_rate=1e-2,
    ),
}


def config_of(name: str) -> Config:
    lesson = LESSONS[name]
    discriminator, arguments = lesson.discriminator
    return Config(
        "lesson",
        model=ModelConfig(name, dict(SMALL[name].arguments), discriminator, arguments),
        data=DataConfig(views=("AP", "LAT")[: SMALL[name].views], **lesson.data),
        optimisation=OptimisationConfig(recipe=lesson.recipe),
        loss=LossConfig(**lesson.loss),
    )


@cache
def head(seed: int):
    return make_phantom(seed, size=64, spacing_mm=4.0).ct


@cache
def batches(name: str) -> list[dict[str, Tensor]]:
    """Return both heads, each as one batch, as the architecture's recipe wants them."""
    small, data = SMALL[name], config_of(name).data
    size = small.output_size
    input_spec = InputSpec(small.input_size)
    output_spec = OutputSpec(size, 256 / size, size, 256 / size)
    found = []
    for seed in (31, 32):
        volume = head(seed)
        geometry = from_preset(
            isocentre_lps=volume.grid.centre_lps, views=data.views, size=small.input_size
        )
        example = make_example(
            volume,
            np.ones(volume.shape, bool),
            geometry,
            input_spec,
            output_spec,
            soft_images=data.soft_images,
            region=data.region,
        )
        arrays = {
            "images": example.images,
            "view_matrices": view_matrices(geometry, input_spec, output_spec),
            "target": example.target[None],
            "mask": example.mask[None],
            "soft_images": example.soft_images,
            "region": None if example.region is None else example.region[None],
        }
        found.append({k: torch.from_numpy(a)[None] for k, a in arrays.items() if a is not None})
    return found


def step(recipe: Recipe, optimisers: dict[str, torch.optim.Optimizer], batch) -> None:
    for update in recipe.updates(batch):
        update.loss.backward()
        nn.utils.clip_grad_norm_(getattr(recipe, update.network).parameters(), 1.0)
        optimisers[update.network].step()
        optimisers[update.network].zero_grad()


def optimisers_of(recipe: Recipe, rate: float) -> dict[str, torch.optim.Optimizer]:
    return {
        name: torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.99))
        for name, network in recipe.named_children()
    }


@cache
def taught(name: str) -> Recipe:
    """Return the recipe after 30 steps on two heads, in evaluation mode."""
    lesson = LESSONS[name]
    recipe = RECIPES[lesson.recipe](SMALL[name].net(name), config_of(name))
    for module in recipe.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    optimisers = optimisers_of(recipe.train(), lesson.learning_rate)
    for number in range(STEPS):
        for optimiser in optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = lesson.learning_rate * 0.5 * (1 + np.cos(np.pi * number / STEPS))
        step(recipe, optimisers, batches(name)[number % 2])
    return recipe.eval()


def psnr_db(volume: Tensor, target: Tensor) -> float:
    return -10 * float((volume.clamp(0, 1) - target).square().mean().log10())


def scores(name: str) -> Iterator[float]:
    net = taught(name).generator
    for batch in batches(name):
        with torch.inference_mode():
            volume = net(batch["images"], batch["view_matrices"])
        yield psnr_db(volume, batch["target"])


def test_every_generator_has_a_lesson():
    assert set(LESSONS) == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_two_heads_are_learnt(name):
    assert min(scores(name)) > LESSONS[name].psnr_db


@pytest.mark.parametrize("name", SHIPPED)
def test_what_was_learnt_survives_half_precision(name):
    net, batch = taught(name).generator, batches(name)[0]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        volume = net(batch["images"], batch["view_matrices"])
    assert psnr_db(volume.float(), batch["target"]) > next(scores(name)) - 1.0


@pytest.mark.parametrize("name", SHIPPED)
def test_one_step_lowers_the_loss_of_what_it_was_taken_on(name):
    recipe = RECIPES[LESSONS[name].recipe](SMALL[name].net(name), config_of(name)).train()
    batch = batches(name)[0]
    losses = []
    for _ in range(2):
        torch.manual_seed(5)  # the same dropout, points and slices
        losses.append(next(recipe.updates(batch)).loss)
        if len(losses) == 1:
            losses[0].backward()
            moved = [p for p in recipe.generator.parameters() if p.grad is not None]
            length = torch.stack([p.grad.norm() for p in moved]).norm()
            with torch.no_grad():
                for parameter in moved:
                    parameter -= STEP_LENGTH * parameter.grad / length
    assert losses[1] < losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_a_ball_moves_in_the_volume_as_it_moves_before_the_detectors(name):
    """No view is flipped against the other, after training on balls elsewhere."""
    small = SMALL[name]
    net = small.net(name).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=small.learning_rate)
    random = torch.Generator().manual_seed(1)
    for _ in range(small.steps):
        images, volume = small.balls(1.2 * torch.rand(2, 3, generator=random) - 0.6)
        optimiser.zero_grad()
        # Bright voxels are few: without more weight nothing at all is the best answer at first.
        error = (net(images, small.matrices(2)) - volume).square() * (1 + 20 * volume)
        error.mean().backward()
        optimiser.step()
    places = 1.2 * torch.rand(8, 3, generator=random) - 0.6
    images, _ = small.balls(places)
    with torch.inference_mode():
        net.eval()
        found = torch.cat([centroid(net(image[None], small.matrices())) for image in images])
    # One frontal image says nothing of y.
    for axis in (0, 1, 2) if small.views == 2 else (0, 2):
        both = torch.stack([found[:, axis], places[:, axis]])
        assert torch.corrcoef(both)[0, 1] > 0.8, "xyz"[axis]
