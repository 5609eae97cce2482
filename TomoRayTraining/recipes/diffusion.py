"""Bone suppression by conditional diffusion (BS-Diff's first stage, used by DCT-Net).

Chen et al., ISBI 2024: the noise in a bone-suppressed image is predicted from the noisy image and
the radiograph, by a mean squared error. Pairs are projections of a head and of the same head
without bone, frontal and lateral. The architecture's ``scheme`` is ``paper`` (clean condition) or
``released`` (the published code's noisy condition and scaled gradient). BS-Diff: AdamW 1e-4, batch
2, average of weights 0.995.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from TomoRayCore.errors import InputError
from TomoRayCore.harmonise import ViewReference
from TomoRayCore.nets import TRANSLATORS
from TomoRayCore.nets.bone_suppression import BoneSuppression
from TomoRayTraining.cases import Case
from TomoRayTraining.config import Config
from TomoRayTraining.image_examples import ImagePairs, still_examples
from TomoRayTraining.recipes.base import Batch, Recipe, Score, Update

VALIDATION_SEED = 1
VALIDATION_SAMPLING_STEPS = 10


class DiffusionRecipe(Recipe):
    """One denoiser, one error."""

    REGISTRY = TRANSLATORS

    generator: BoneSuppression

    def __init__(self, generator: nn.Module, config: Config) -> None:
        super().__init__(generator, config)
        if not isinstance(generator, BoneSuppression) or not config.data.soft_images:
            raise InputError(
                "BAD_CONFIG",
                f"The recipe 'diffusion' cannot train {config.model.architecture!r} with "
                f"data.soft_images {config.data.soft_images}.",
                "Use 'bone-suppression' and set data.soft_images.",
            )

    def updates(self, batch: Batch) -> Iterator[Update]:
        # The engine seeds torch's own generator for every step; steps and noise follow from it.
        random = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        loss = self.generator.loss(batch["images"], batch["soft_images"], random)
        yield Update("generator", loss, {"denoising": loss})

    @classmethod
    def examples(
        cls, cases: Sequence[Case], config: Config, count: int
    ) -> Dataset[dict[str, Tensor]]:
        return ImagePairs(cases, config, count)

    @classmethod
    def validation(
        cls, cases: Sequence[Case], config: Config, references: Sequence[ViewReference] = ()
    ) -> Score:
        """Score by the denoising error and by the absolute error of images sampled in few steps."""
        if not cases:
            raise InputError("BAD_CASES", "The validation split is empty.", "Add val cases.")
        pairs = [still_examples(case, config, references)[0] for case in cases]

        def score(net: nn.Module) -> dict[str, float]:
            if not isinstance(net, BoneSuppression):
                raise TypeError(type(net))
            steps = min(VALIDATION_SAMPLING_STEPS, net.sampling_steps)
            losses, errors = [], []
            for pair in pairs:
                images, soft = pair["images"][None], pair["soft_images"][None]
                random = torch.Generator().manual_seed(VALIDATION_SEED)
                with torch.inference_mode():
                    losses.append(float(net.loss(images, soft, random)))
                    errors.append(float((net.suppress(images, steps) - soft).abs().mean()))
            return {"denoising": float(np.mean(losses)), "l1": float(np.mean(errors))}

        return score
