"""A recipe's losses are its formulas, and it moves the network it says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayTraining.config import Config, LossConfig, ModelConfig
from TomoRayTraining.losses import voxel_terms
from TomoRayTraining.recipes import RECIPES, recipe


class Constant(nn.Module):
    """A generator that always gives the same volume, its only parameter."""

    def __init__(self, volume: Tensor) -> None:
        super().__init__()
        self.volume = nn.Parameter(volume)

    def forward(self, images: Tensor, view_matrices: Tensor) -> Tensor:
        return self.volume


def batch(size: int = 8) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(3)
    target = torch.rand(1, 1, size, size, size, generator=random)
    mask = torch.ones_like(target)
    mask[:, :, :2] = 0
    return {
        "images": torch.rand(1, 2, size, size, generator=random),
        "view_matrices": torch.zeros(1, 2, 3, 4),
        "target": target,
        "mask": mask,
    }


def test_regression_weighs_its_terms():
    config = Config("x", loss=LossConfig(mse=3, l1=5, projection=7))
    data = batch()
    prediction = data["target"].flip(2) + 0.1
    (update,) = RECIPES["regression"](Constant(prediction), config).updates(data)
    terms = voxel_terms(prediction, data["target"], data["mask"])
    assert update.network == "generator"
    assert update.terms.keys() == {"mse", "l1", "projection"}
    expected = 3 * terms["mse"] + 5 * terms["l1"] + 7 * terms["projection"]
    torch.testing.assert_close(update.loss, expected)


def test_an_unknown_recipe_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="no recipe 'magic'") as error:
        recipe("magic")
    assert "regression" in error.value.remedy


@pytest.mark.parametrize(
    "change",
    [
        {"loss": LossConfig(adversarial=0.1)},
        {"model": ModelConfig(discriminator="patch3d")},
    ],
)
def test_a_recipe_refuses_what_it_would_ignore(change):
    config = replace(Config("x"), **change)
    with pytest.raises(InputError) as error:
        RECIPES["regression"](Constant(torch.zeros(1)), config)
    assert error.value.code == "BAD_CONFIG"
