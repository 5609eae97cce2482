"""X2CT-CNN and its like: a generator trained by voxel and projection errors alone.

Ying et al., CVPR 2019, section 5 ("X2CT-CNN": 10 times the mean squared error). An L1 and a
projection term may be added.
"""

from __future__ import annotations

from collections.abc import Iterator

from TomoRayTraining.losses import voxel_terms
from TomoRayTraining.recipes.base import Batch, Recipe, Update, weighted


class RegressionRecipe(Recipe):
    """One generator, one loss."""

    WEIGHTS = frozenset({"mse", "l1", "projection"})

    def updates(self, batch: Batch) -> Iterator[Update]:
        prediction = self.generator(batch["images"], batch["view_matrices"])
        terms = voxel_terms(prediction, batch["target"], batch["mask"])
        yield Update("generator", weighted(self.weights, terms), terms)
