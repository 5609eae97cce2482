"""Examples for networks from images to images: the same draws as ``dataset``, without volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from TomoRayCore.errors import InputError
from TomoRayCore.harmonise import ViewReference
from TomoRayTraining.cases import Case
from TomoRayTraining.config import Config
from TomoRayTraining.dataset import TrainingExamples
from TomoRayTraining.specs import specs_of


class ImagePairs(Dataset[dict[str, Tensor]]):
    """``images`` and ``soft_images``, (V, S, S) each, of the same heads."""

    def __init__(self, cases: Sequence[Case], config: Config, count: int) -> None:
        self._examples = TrainingExamples(cases, config, *specs_of(config), count)

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        example = self._examples[number]
        return {name: example[name] for name in ("images", "soft_images")}


class UnpairedImages(Dataset[dict[str, Tensor]]):
    """``films`` and ``drrs``, (V, S, S) each, from different draws: even ones are films.

    Raises:
        InputError: ``BAD_CONFIG`` where ``data.images`` are DRRs too.
    """

    def __init__(self, cases: Sequence[Case], config: Config, count: int) -> None:
        drr = with_drrs(config)
        self._films = TrainingExamples(cases, config, *specs_of(config), 2 * count)
        self._drrs = TrainingExamples(cases, drr, *specs_of(config), 2 * count)
        self._seed, self._flip = config.seed, config.augmentation.image_flip
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        films = self._films[2 * number]["images"]
        drrs = self._drrs[2 * number + 1]["images"]
        if self._flip:
            mirrored = np.random.default_rng([self._seed, number, 1]).random(2) < 0.5
            films = films.flip(-1) if mirrored[0] else films
            drrs = drrs.flip(-1) if mirrored[1] else drrs
        return {"films": films, "drrs": drrs}


def with_drrs(config: Config) -> Config:
    """Return an experiment on films as one on DRRs.

    Raises:
        InputError: ``BAD_CONFIG`` where it is one.
    """
    if config.data.images == "drr":
        raise InputError(
            "BAD_CONFIG",
            "Radiographs are to be translated to DRRs, and data.images is 'drr'.",
            "Set data.images to films or realistic.",
        )
    return replace(config, data=replace(config.data, images="drr"))


def still_examples(
    case: Case, config: Config, references: Sequence[ViewReference]
) -> TrainingExamples:
    """Return the one example of a head that is not varied and has no noise."""
    still = replace(
        config.augmentation,
        rotation_deg=0.0,
        translation_mm=0.0,
        scale=0.0,
        flip=False,
        cut_probability=0.0,
        noise=0.0,
    )
    data = replace(config.data, shares={case.kind: 1.0})
    config = replace(config, augmentation=still, data=data)
    return TrainingExamples([case], config, *specs_of(config), 1, references)
