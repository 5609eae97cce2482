"""DuoLift-CNN and DuoLift-GAN: supervision at several depths, errors counted again in a region.

Zhang and Ying, arXiv 2411.07941: 1 (MSE + L1 + MSE in the mask + L1 in the mask) + 0.01 BCE for
the GAN; MSE + L1 for the CNN. The masked errors are divided by the number of all voxels, as there.
For heads the mask is a region of ours (``data.region``) instead of the lungs. Every supervised
cube counts as much as the final one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayTraining.config import Config
from TomoRayTraining.losses import l1_loss, mse_loss
from TomoRayTraining.recipes.base import Batch, Recipe, Update, weighted
from TomoRayTraining.recipes.gan import GanRecipe


class DuoLiftCnnRecipe(Recipe):
    """Deeply supervised regression."""

    WEIGHTS = frozenset({"mse", "l1"})

    def __init__(self, generator: nn.Module, config: Config) -> None:
        super().__init__(generator, config)
        _check_deep(generator, config)

    def updates(self, batch: Batch) -> Iterator[Update]:
        terms = deep_terms(all_volumes(self.generator, batch), batch)
        yield Update("generator", weighted(self.weights, terms), terms)


class DuoLiftGanRecipe(GanRecipe):
    """Deeply supervised, with an adversary and a region that counts twice."""

    WEIGHTS = frozenset({"mse", "l1", "masked_mse", "masked_l1", "adversarial"})

    def __init__(self, generator: nn.Module, config: Config) -> None:
        super().__init__(generator, config)
        _check_deep(generator, config)
        masked = config.loss.masked_mse or config.loss.masked_l1
        if masked and not config.data.region:
            raise InputError(
                "BAD_CONFIG",
                "Masked losses need a region; data.region is empty.",
                "Set data.region, or loss.masked_mse and loss.masked_l1 to 0.",
            )

    def predict(self, batch: Batch) -> list[Tensor]:
        return all_volumes(self.generator, batch)

    def generator_terms(self, predictions: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        terms = deep_terms(predictions, batch)
        if "region" in batch:
            inside = batch["region"]
            target = batch["target"] * inside
            masked = deep_terms([p * inside for p in predictions], {**batch, "target": target})
            terms |= {f"masked_{name}": term for name, term in masked.items()}
        return terms


def all_volumes(generator: nn.Module, batch: Batch) -> list[Tensor]:
    """Return the final volume and the supervised ones."""
    volumes: list[Tensor] = generator.forward_all(batch["images"])  # type: ignore[operator]
    return volumes


def deep_terms(volumes: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
    """Return ``mse`` and ``l1``, each the mean over all supervised volumes."""
    target, mask = batch["target"], batch["mask"]
    return {
        "mse": torch.stack([mse_loss(volume, target, mask) for volume in volumes]).mean(),
        "l1": torch.stack([l1_loss(volume, target, mask) for volume in volumes]).mean(),
    }


def _check_deep(generator: nn.Module, config: Config) -> None:
    if not hasattr(generator, "forward_all"):
        raise InputError(
            "BAD_CONFIG",
            f"{config.model.architecture!r} gives no supervised volumes.",
            "The DuoLift recipes train DuoLift's generators.",
        )
