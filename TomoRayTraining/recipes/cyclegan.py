"""CycleGAN between radiographs and DRRs: unpaired, each view with networks of its own.

Zhu et al., ICCV 2017, as released: least-squares adversaries, 10 times the absolute error there and
back, 5 times that of images in the wanted style already, discriminators' losses halved and shown
translations from a pool of the last 50; Adam 2e-4 (0.5, 0.999), constant for half of the run, then
linear to zero. ``generator`` makes DRRs of radiographs and is what is exported, as a stage of a
model for films; ``generator_back`` makes radiographs of DRRs. ``data.images`` says what the
radiographs are; they and the DRRs show different heads.

Departures: one channel; ``edge``, a term of our own that keeps outlines in place; no cropping,
which would change the geometry; no mirroring unless asked for; both generators move by one loss in
one step, with an optimiser each, which for Adam is the same as one for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from TomoRayCore.errors import InputError
from TomoRayCore.harmonise import ViewReference
from TomoRayCore.nets import TRANSLATORS, build
from TomoRayCore.nets.cyclegan import CycleGANTranslator, PatchDiscriminator2d
from TomoRayTraining.cases import Case
from TomoRayTraining.config import Config
from TomoRayTraining.image_examples import UnpairedImages, still_examples
from TomoRayTraining.losses import ADVERSARIES
from TomoRayTraining.recipes.base import Batch, Recipe, Score, Update, frozen, weighted
from TomoRayTraining.specs import specs_of

POOL_SIZE = 50


class CycleGanRecipe(Recipe):
    """Two translators and two discriminators.

    ``model.discriminator_arguments`` are those of ``PatchDiscriminator2d``. Both pools are buffers
    of the recipe, so that a checkpoint holds them.
    """

    REGISTRY = TRANSLATORS
    WEIGHTS = frozenset({"adversarial", "cycle", "identity", "edge"})

    generator: CycleGANTranslator
    film_pool: Tensor
    drr_pool: Tensor
    pool_count: Tensor

    def __init__(self, generator: nn.Module, config: Config) -> None:
        super().__init__(generator, config)
        views = len(config.data.views)
        if not isinstance(generator, CycleGANTranslator) or generator.view_count != views:
            raise InputError(
                "BAD_CONFIG",
                f"The recipe 'cyclegan' cannot train {config.model.architecture!r} on {views} "
                "view(s).",
                "Use 'cyclegan' with view_count as many as data.views.",
            )
        back = build(config.model.architecture, config.model.arguments, TRANSLATORS)
        self.generator_back = back
        arguments = config.model.discriminator_arguments
        self.discriminator_drr = ViewDiscriminators(views, arguments)
        self.discriminator_film = ViewDiscriminators(views, arguments)
        size = specs_of(config)[0].size
        for name in ("film_pool", "drr_pool"):
            self.register_buffer(name, torch.zeros(POOL_SIZE, views, size, size))
        self.register_buffer("pool_count", torch.zeros(2, dtype=torch.int64))
        self._adversary = ADVERSARIES[config.loss.adversary]

    def updates(self, batch: Batch) -> Iterator[Update]:
        films, drrs = signed(batch["films"]), signed(batch["drrs"])
        to_drr, to_film = self.generator, self.generator_back
        fake_drrs, fake_films = translated(to_drr, films), translated(to_film, drrs)
        with frozen(self.discriminator_drr), frozen(self.discriminator_film):
            fooled = self._adversary.fool(self.discriminator_drr(fake_drrs))
            fooled = fooled + self._adversary.fool(self.discriminator_film(fake_films))
        terms = {
            "adversarial": fooled,
            "cycle": distance(translated(to_film, fake_drrs), films)
            + distance(translated(to_drr, fake_films), drrs),
        }
        if self.weights.identity:
            terms["identity"] = distance(translated(to_drr, drrs), drrs) + distance(
                translated(to_film, films), films
            )
        if self.weights.edge:
            terms["edge"] = edge_loss(films, fake_drrs) + edge_loss(drrs, fake_films)
        loss = weighted(self.weights, terms)
        yield Update("generator", loss, terms, also=("generator_back",))
        shown = self._pooled(fake_drrs.detach(), self.drr_pool, 0)
        yield self._discriminated("discriminator_drr", drrs, shown)
        shown = self._pooled(fake_films.detach(), self.film_pool, 1)
        yield self._discriminated("discriminator_film", films, shown)

    def _discriminated(self, name: str, real: Tensor, fake: Tensor) -> Update:
        discriminator = getattr(self, name)
        terms = {
            "real": self._adversary.accept(discriminator(real)),
            "fake": self._adversary.reject(discriminator(fake)),
        }
        return Update(name, 0.5 * (terms["real"] + terms["fake"]), terms)

    def _pooled(self, images: Tensor, pool: Tensor, which: int) -> Tensor:
        """Return what a discriminator is shown: these images or, once the pool is full, half of
        the time older ones, which these then replace there."""
        shown = []
        for image in images:
            count = int(self.pool_count[which])
            if count < POOL_SIZE:
                pool[count] = image
                self.pool_count[which] += 1
                shown.append(image)
            elif float(torch.rand(())) < 0.5:
                place = int(torch.randint(POOL_SIZE, ()))
                shown.append(pool[place].clone())
                pool[place] = image
            else:
                shown.append(image)
        return torch.stack(shown)

    @classmethod
    def examples(
        cls, cases: Sequence[Case], config: Config, count: int
    ) -> Dataset[dict[str, Tensor]]:
        return UnpairedImages(cases, config, count)

    @classmethod
    def validation(
        cls, cases: Sequence[Case], config: Config, references: Sequence[ViewReference] = ()
    ) -> Score:
        """Score by the mean absolute difference from the same heads' DRRs, 0 to 1."""
        pairs = [still_examples(case, config, references).film_and_drr(0) for case in cases]
        if not pairs:
            raise InputError("BAD_CASES", "The validation split is empty.", "Add val cases.")

        def score(net: nn.Module) -> dict[str, float]:
            before, after = [], []
            for films, drrs in pairs:
                with torch.inference_mode():
                    made = net(films[None])[0]
                before.append(float((films - drrs).abs().mean()))
                after.append(float((made - drrs).abs().mean()))
            return {
                "l1_to_drr": float(np.mean(after)),
                "l1_untranslated": float(np.mean(before)),
            }

        return score


class ViewDiscriminators(nn.Module):
    """A PatchGAN for each view: (B, V, H, W) to logits (B, V, h, w)."""

    def __init__(self, views: int, arguments: dict[str, Any]) -> None:
        super().__init__()
        registry = {"patch": PatchDiscriminator2d}
        self.views = nn.ModuleList(build("patch", arguments, registry) for _ in range(views))

    def forward(self, images: Tensor) -> Tensor:
        """Return one logit for each patch."""
        logits = [net(images[:, n : n + 1]) for n, net in enumerate(self.views)]
        return torch.cat(logits, dim=1)


def signed(images: Tensor) -> Tensor:
    """Return images of 0 to 1 as the generators see them: cut off at 1, -1 to 1."""
    return 2 * images.clamp(0, 1) - 1


def translated(net: nn.Module, images: Tensor) -> Tensor:
    """Return each view (B, V, H, W) through its own generator, in and out -1 to 1."""
    return 2 * net((images + 1) / 2) - 1  # type: ignore[no-any-return]


def distance(one: Tensor, other: Tensor) -> Tensor:
    """Return the mean absolute difference."""
    return (one - other).abs().mean()


def edge_loss(one: Tensor, other: Tensor) -> Tensor:
    """Return 1 minus the correlation of both images' differences of neighbours.

    Pearson's, of each image and direction, then the mean: 0 where outlines lie in the same places,
    whatever their contrast.
    """
    down, along = (correlation(one.diff(dim=axis), other.diff(dim=axis)) for axis in (2, 3))
    return 1 - (down + along) / 2


def correlation(one: Tensor, other: Tensor) -> Tensor:
    """Return the mean over images (B, V) of Pearson's correlation over their pixels."""
    a, b = (x.flatten(2) - x.flatten(2).mean(dim=2, keepdim=True) for x in (one, other))
    scale = (a.square().sum(dim=2) * b.square().sum(dim=2) + 1e-12).sqrt()
    return ((a * b).sum(dim=2) / scale).mean()
