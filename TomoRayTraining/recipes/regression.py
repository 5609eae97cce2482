"""X2CT-CNN: the generator trained by voxel and projection errors alone, without a discriminator.

Ying et al., CVPR 2019, section 5 ("X2CT-CNN"). Departures: an L1 term besides the squared error,
fewer steps at a higher learning rate with warm-up and cosine decay, averaged weights.
"""

from __future__ import annotations

from torch import Tensor, nn

from TomoRayTraining.config import LossConfig
from TomoRayTraining.losses import l1_loss, mse_loss, projection_loss


class RegressionRecipe:
    """One generator, one optimiser, one loss.

    Args:
        generator: (B, V, S, S) to (B, 1, D, H, W).
        weights: Of the loss terms.
    """

    def __init__(self, generator: nn.Module, weights: LossConfig) -> None:
        self.generator = generator
        self._weights = weights

    def training_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return every loss term and their weighted sum under ``loss``."""
        prediction = self.generator(batch["images"])
        arguments = (prediction, batch["target"], batch["mask"])
        terms = {
            "mse": mse_loss(*arguments),
            "l1": l1_loss(*arguments),
            "projection": projection_loss(*arguments),
        }
        total = (
            self._weights.mse * terms["mse"]
            + self._weights.l1 * terms["l1"]
            + self._weights.projection * terms["projection"]
        )
        return {"loss": total, **terms}
