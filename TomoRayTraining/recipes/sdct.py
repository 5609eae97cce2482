"""SdCT-GAN: X2CT-GAN's losses, a perceptual one, and a discriminator that learns to rebuild.

As released (csqvictory/AECT-GAN): the generator adds 0.01 times the perceptual distance (LPIPS,
VGG) of axial slices, summed over them; the discriminator adds 10 times the mean squared error and
0.01 times such a sum of what its two decoders rebuild from the features of a real volume: one
octant at full, the whole at half resolution. With two views the backbone sees what is rebuilt,
lifted images and volume, as the three colours of a picture; with one the volume alone.

Departures: one forward pass of the generator serves both updates, where the released code runs it
again; the perceptual distance has no learned channel weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayTraining.config import Config
from TomoRayTraining.losses import voxel_terms
from TomoRayTraining.perceptual import PerceptualDistance, axial_slices
from TomoRayTraining.recipes.base import Batch
from TomoRayTraining.recipes.gan import GanRecipe

OCTANTS = 8
COLOURS = 3


class SdctRecipe(GanRecipe):
    """An adversary with decoders, and perceptual terms on both sides."""

    WEIGHTS = frozenset({"mse", "projection", "adversarial", "perceptual", "self_supervised"})

    def __init__(self, generator: nn.Module, config: Config) -> None:
        super().__init__(generator, config)
        if not hasattr(self.discriminator, "rebuild"):
            raise InputError(
                "BAD_CONFIG",
                f"The discriminator {config.model.discriminator!r} rebuilds nothing.",
                "The recipe 'sdct' needs one that does: 'sdct'.",
            )
        self._rebuild = cast(Callable[..., Any], self.discriminator.rebuild)
        self._perceptual = (
            PerceptualDistance(config.loss.backbone) if config.loss.perceptual else None
        )

    def generator_terms(self, predictions: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        target, mask = batch["target"], batch["mask"]
        terms = voxel_terms(predictions[0], target, mask)
        del terms["l1"]
        if self._perceptual is not None:
            filled = predictions[0] * mask + target * (1 - mask)
            terms["perceptual"] = over_slices(self._perceptual, filled, target)
        return terms

    def discriminator_terms(self, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        octant = int(torch.randint(OCTANTS, ()))
        verdict, rebuilt = self._rebuild(batch["target"], batch["images"], octant)
        pairs = (
            (rebuilt.octant, rebuilt.octant_target),
            (rebuilt.whole, rebuilt.whole_target),
        )
        weights = self.weights
        terms = {
            "real": weights.adversarial * self._adversary.accept(verdict),
            "fake": weights.adversarial
            * self._adversary.reject(self.discriminator(fake, batch["images"])),
            "self_supervised": weights.self_supervised
            * sum((a - b).square().mean() for a, b in pairs),
        }
        if self._perceptual is not None:
            seen = [(a, b) if a.shape[1] == COLOURS else (a[:, -1:], b[:, -1:]) for a, b in pairs]
            distances = [over_slices(self._perceptual, *pair) for pair in seen]
            terms["perceptual"] = weights.perceptual * torch.stack(distances).sum()
        return terms


def over_slices(distance: PerceptualDistance, one: Tensor, other: Tensor) -> Tensor:
    """Return the sum of the distances of axial slices: (B, 1 or 3, D, H, W) to a scalar."""
    images = axial_slices(one)
    return len(images) * distance(images, axial_slices(other))
