"""CNN-INR: a generator that is asked for single points in space.

TomoRay's comparison of GAN and CNN-INR samples coordinates at random; the code by Sun et al. that
it seems to build on takes the whole grid at once. Both minimise the mean squared error.
``data.points`` 0 is the whole grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayTraining.config import Config
from TomoRayTraining.losses import l1_loss, mse_loss
from TomoRayTraining.recipes.base import Batch, Recipe, Update, weighted


class ImplicitRecipe(Recipe):
    """One generator with a method ``sample``, trained on random points of each volume."""

    WEIGHTS = frozenset({"mse", "l1"})

    def __init__(self, generator: nn.Module, config: Config) -> None:
        super().__init__(generator, config)
        if not hasattr(generator, "sample"):
            raise InputError(
                "BAD_CONFIG",
                f"{config.model.architecture!r} cannot be asked for single points.",
                "The recipe 'implicit' trains implicit generators, such as 'cnn-inr'.",
            )
        self._sample = cast(Callable[..., Tensor], generator.sample)
        self._points = config.data.points

    def updates(self, batch: Batch) -> Iterator[Update]:
        target, mask = batch["target"], batch["mask"]
        images, matrices = batch["images"], batch["view_matrices"]
        if self._points:
            points = 2 * torch.rand(len(target), self._points, 3, device=target.device) - 1
            prediction = self._sample(images, matrices, points)
            target, mask = at_points(target, points), at_points(mask, points)
        else:
            prediction = self.generator(images, matrices)
        terms = {
            "mse": mse_loss(prediction, target, mask),
            "l1": l1_loss(prediction, target, mask),
        }
        yield Update("generator", weighted(self.weights, terms), terms)


def at_points(volume: Tensor, points: Tensor) -> Tensor:
    """Interpolate (B, C, D, H, W) at (B, N, 3) places (x, y, z) in -1..1 between the faces.

    Trilinear; beyond the outermost voxels' centres their value holds. Returns (B, C, N).
    """
    sampled = nn.functional.grid_sample(
        volume, points[:, :, None, None], padding_mode="border", align_corners=False
    )
    return sampled[..., 0, 0]
