"""RT-SRTS: a volume and a segmentation of it at once.

Zhu et al., 2023: mean squared error of the volume plus the cross entropy of the segmentation. Its
target was a tumour; here it is a region that TomoRay finds in every head (``data.region``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from torch import nn

from TomoRayCore.errors import InputError
from TomoRayTraining.config import Config
from TomoRayTraining.losses import masked_mean, mse_loss
from TomoRayTraining.recipes.base import Batch, Recipe, Update, weighted

SMALLEST = 1e-6
"""Of a probability whose logarithm is taken."""


class SegmentedRecipe(Recipe):
    """One generator with a method ``segment`` for two classes: outside, inside."""

    WEIGHTS = frozenset({"mse", "segmentation"})

    def __init__(self, generator: nn.Module, config: Config) -> None:
        super().__init__(generator, config)
        if not hasattr(generator, "segment") or not config.data.region:
            raise InputError(
                "BAD_CONFIG",
                f"The recipe 'segmented' cannot train {config.model.architecture!r} with the "
                f"region {config.data.region!r}.",
                "Use a generator that segments, such as 'rt-srts', and set data.region.",
            )
        self._segment = cast(Callable[..., Any], generator.segment)

    def updates(self, batch: Batch) -> Iterator[Update]:
        result = self._segment(batch["images"])
        inside, likely = batch["region"], result.segmentation.clamp(SMALLEST, 1)
        entropy = -(inside * likely[:, 1:2].log() + (1 - inside) * likely[:, :1].log())
        terms = {
            "mse": mse_loss(result.volume, batch["target"], batch["mask"]),
            "segmentation": masked_mean(entropy, batch["mask"]),
        }
        yield Update("generator", weighted(self.weights, terms), terms)
