"""Training losses on volumes (B, 1, D, H, W) in [0, 1]; ``mask`` leaves out unscanned voxels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over scanned voxels."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def mse_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared error (X2CT-GAN, reconstruction loss)."""
    return masked_mean((prediction - target).square(), mask)


def l1_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute error."""
    return masked_mean((prediction - target).abs(), mask)


def projection_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute error of parallel projections along the three axes.

    X2CT-GAN, projection loss, as released: a third of the sum over axes of the L1 distance of
    means along the axis. The means here leave out unscanned voxels.
    """
    terms = [((prediction - target) * mask).mean(dim=axis).abs().mean() for axis in (2, 3, 4)]
    return torch.stack(terms).mean()


def voxel_terms(prediction: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Return the terms ``mse``, ``l1`` and ``projection``."""
    return {
        "mse": mse_loss(prediction, target, mask),
        "l1": l1_loss(prediction, target, mask),
        "projection": projection_loss(prediction, target, mask),
    }


@dataclass(frozen=True)
class Adversary:
    """How a discriminator's logits (any shape) become losses.

    Attributes:
        accept: Of real examples, for the discriminator.
        reject: Of generated ones, for the discriminator.
        fool: Of generated ones, for the generator.
    """

    accept: Callable[[Tensor], Tensor]
    reject: Callable[[Tensor], Tensor]
    fool: Callable[[Tensor], Tensor]


def _square_to(goal: float, factor: float = 1.0) -> Callable[[Tensor], Tensor]:
    return lambda logits: factor * (logits - goal).square().mean()


def _cross_entropy_to(goal: float) -> Callable[[Tensor], Tensor]:
    return lambda logits: functional.binary_cross_entropy_with_logits(
        logits, torch.full_like(logits, goal)
    )


ADVERSARIES: dict[str, Adversary] = {
    "lsgan": Adversary(_square_to(1), _square_to(0), _square_to(1)),
    "lsgan-half": Adversary(_square_to(1, 0.5), _square_to(0, 0.5), _square_to(1, 0.5)),
    "bce": Adversary(_cross_entropy_to(1), _cross_entropy_to(0), _cross_entropy_to(1)),
}
"""``lsgan``: least squares (Mao et al., ICCV 2017) as in X2CT-GAN's code; ``lsgan-half``: with the
factor 1/2 of its paper, and of DCT-Net's; ``bce``: cross entropy of logits, as DuoLift-GAN's."""
