"""X2CT-GAN and TomoRay's cranial GAN: voxel and projection errors with a conditional adversary.

Ying et al., CVPR 2019, equations 1-6, in the order and with the weights of the published code:
the generator is updated first (0.1 adversarial, 10 mean squared error, 10 projection), then the
discriminator on the same volume; no pool of earlier volumes. The ablations of the paper's table 3
are weights of zero, and a discriminator whose ``conditional`` is false.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

from TomoRayTraining.config import Config
from TomoRayTraining.losses import ADVERSARIES, voxel_terms
from TomoRayTraining.recipes.base import (
    Batch,
    Recipe,
    Update,
    build_discriminator,
    frozen,
    weighted,
)


class GanRecipe(Recipe):
    """A generator and a discriminator that looks at volume and images together.

    Where nothing was scanned, both volumes that the discriminator sees hold the target's filling,
    so that it cannot tell them apart by it.
    """

    WEIGHTS = frozenset({"mse", "l1", "projection", "adversarial"})
    ADVERSARIAL = True

    def __init__(self, generator: nn.Module, config: Config) -> None:
        super().__init__(generator, config)
        self.discriminator = build_discriminator(config)
        self._adversary = ADVERSARIES[config.loss.adversary]

    def updates(self, batch: Batch) -> Iterator[Update]:
        predictions = self.predict(batch)
        shown = _scanned(predictions[0], batch)
        terms = self.generator_terms(predictions, batch)
        with frozen(self.discriminator):
            verdict = self.discriminator(shown, batch["images"])
        terms["adversarial"] = self._adversary.fool(verdict)
        yield Update("generator", weighted(self.weights, terms), terms)
        terms = self.discriminator_terms(shown.detach(), batch)
        yield Update("discriminator", sum_of(terms), terms)

    def predict(self, batch: Batch) -> list[Tensor]:
        """Return the volume, and after it whatever else ``generator_terms`` compares."""
        return [self.generator(batch["images"], batch["view_matrices"])]

    def generator_terms(self, predictions: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Return the terms beside the adversarial one, named as their weights."""
        return voxel_terms(predictions[0], batch["target"], batch["mask"])

    def discriminator_terms(self, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the discriminator's loss, which is their sum."""
        weight, adversary = self.weights.adversarial, self._adversary
        real = self.discriminator(batch["target"], batch["images"])
        rejected = adversary.reject(self.discriminator(fake, batch["images"]))
        return {"real": weight * adversary.accept(real), "fake": weight * rejected}


def sum_of(terms: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of all terms."""
    first, *rest = terms.values()
    return sum(rest, start=first)


def _scanned(prediction: Tensor, batch: Batch) -> Tensor:
    return prediction * batch["mask"] + batch["target"] * (1 - batch["mask"])
