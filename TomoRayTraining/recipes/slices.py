"""PerX2CT: single slices of all three orientations.

Kyung et al., ICASSP 2023: L1 plus the perceptual distance (LPIPS, VGG) of slices; the released
configuration gives its adversary no weight, so there is none here. A step takes
``data.slices`` slices of one randomly chosen orientation of each volume in the batch. The variant
with context sees, in ``data.zoom_share`` of the steps, an enlarged random square of at least a
quarter of the edge instead of whole slices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayTraining.config import Config
from TomoRayTraining.losses import masked_mean
from TomoRayTraining.perceptual import PerceptualDistance
from TomoRayTraining.recipes.base import Batch, Recipe, Update, weighted

AXES = ("axial", "coronal", "sagittal")

Window = tuple[float, float, float]
WHOLE: Window = (0.0, 0.0, 1.0)
SMALLEST_WINDOW = 0.25
"""Half extent of the smallest square, as a share of the whole's."""


class SliceRecipe(Recipe):
    """One generator with a method ``slices``."""

    WEIGHTS = frozenset({"l1", "perceptual"})

    def __init__(self, generator: nn.Module, config: Config) -> None:
        super().__init__(generator, config)
        if not hasattr(generator, "slices"):
            raise InputError(
                "BAD_CONFIG",
                f"{config.model.architecture!r} gives no single slices.",
                "The recipe 'slices' trains slice generators, such as 'perx2ct'.",
            )
        self._slices = cast(Callable[..., Tensor], generator.slices)
        self._count, self._zoom_share = config.data.slices, config.data.zoom_share
        self._perceptual = (
            PerceptualDistance(config.loss.backbone) if config.loss.perceptual else None
        )

    def updates(self, batch: Batch) -> Iterator[Update]:
        axis = int(torch.randint(len(AXES), ()))
        size = batch["target"].shape[2 + axis]
        indices = torch.randperm(size)[: self._count].sort().values
        window = random_window(self._zoom_share)
        prediction = self._slices(
            batch["images"], batch["view_matrices"], AXES[axis], indices.tolist(), window
        )  # (B, N, C, S, S)
        target, mask = (
            enlarged(
                batch[name]
                .index_select(2 + axis, indices.to(batch[name].device))
                .movedim(2 + axis, 1),  # (B, N, 1, S, S)
                window,
            )
            for name in ("target", "mask")
        )
        terms = {"l1": masked_mean((prediction - target).abs().mean(dim=2, keepdim=True), mask)}
        if self._perceptual is not None:
            filled = prediction * mask + target * (1 - mask)  # three channels, as published
            terms["perceptual"] = self._perceptual(filled.flatten(0, 1), target.flatten(0, 1))
        yield Update("generator", weighted(self.weights, terms), terms)


def random_window(share: float) -> Window:
    """Return (row, column, half extent) in -1 to 1: a random square, or mostly the whole slice."""
    if torch.rand(()) >= share:
        return WHOLE
    half = SMALLEST_WINDOW + (1 - SMALLEST_WINDOW) * float(torch.rand(()))
    row, column = ((1 - half) * (2 * torch.rand(2) - 1)).tolist()
    return row, column, half


def enlarged(slices: Tensor, window: Window) -> Tensor:
    """Return a square of slices (B, N, 1, S, S) at the size of the whole, interpolated."""
    if window == WHOLE:
        return slices
    row, column, half = window
    corner = slices.new_tensor([[half, 0.0, column], [0.0, half, row]])
    flat = slices.flatten(0, 1)
    places = nn.functional.affine_grid(
        corner.expand(len(flat), 2, 3), list(flat.shape), align_corners=False
    )
    found = nn.functional.grid_sample(flat, places, padding_mode="border", align_corners=False)
    return found.view(slices.shape)
