"""DCT-Net: a generator of radiographs and one of bone-suppressed radiographs, tied together.

Zhang et al., MICCAI 2025: LSGAN with the factor 1/2, a perceptual consistency between both
volumes' projections onto the three anatomical planes ("contrastive", without negatives), mean
squared and projection errors. The weights are not published: 0.1, 1, 10, 10 by default here.

Departure: nothing but the consistency would train the second generator, which could then follow
the first into anything. ``loss.second_branch`` weighs a mean squared error of its own; 0 is the
loss as published. Without ``contrastive`` and ``second_branch`` the second generator is not run:
the ablation "without dual branch".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayTraining.config import Config
from TomoRayTraining.losses import mse_loss, voxel_terms
from TomoRayTraining.perceptual import PerceptualDistance
from TomoRayTraining.recipes.base import Batch
from TomoRayTraining.recipes.gan import GanRecipe


class DualBranchRecipe(GanRecipe):
    """Two generators in one module, whose first one is the product, and an adversary."""

    WEIGHTS = frozenset({"mse", "projection", "adversarial", "contrastive", "second_branch"})

    def __init__(self, generator: nn.Module, config: Config) -> None:
        super().__init__(generator, config)
        self._both = bool(config.loss.contrastive or config.loss.second_branch)
        if self._both and not (hasattr(generator, "forward_pair") and config.data.soft_images):
            raise InputError(
                "BAD_CONFIG",
                f"Two branches need a generator of pairs and bone-suppressed images; got "
                f"{config.model.architecture!r} and data.soft_images {config.data.soft_images}.",
                "Use 'dct-net' and set data.soft_images, or set loss.contrastive and "
                "loss.second_branch to 0.",
            )
        if self._both:
            self._pair = cast(Callable[..., tuple[Tensor, Tensor]], generator.forward_pair)
        self._perceptual = (
            PerceptualDistance(config.loss.backbone, normalise=False)
            if config.loss.contrastive
            else None
        )

    def predict(self, batch: Batch) -> list[Tensor]:
        if not self._both:
            return super().predict(batch)
        return list(self._pair(batch["images"], batch["soft_images"]))

    def generator_terms(self, predictions: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        target, mask = batch["target"], batch["mask"]
        terms = voxel_terms(predictions[0], target, mask)
        del terms["l1"]
        if self._perceptual is not None:
            terms["contrastive"] = torch.stack(
                [self._perceptual(*shadows) for shadows in shadow_pairs(*predictions)]
            ).mean()
        if self.weights.second_branch:
            terms["second_branch"] = mse_loss(predictions[1], target, mask)
        return terms


def shadow_pairs(one: Tensor, other: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return both volumes' means along the three axes, as images (B, 1, S, S)."""
    return [(one.mean(dim=axis), other.mean(dim=axis)) for axis in (2, 3, 4)]
