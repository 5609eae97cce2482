"""Training losses on volumes (B, 1, D, H, W) in [0, 1]; ``mask`` leaves out unscanned voxels."""

from __future__ import annotations

import torch
from torch import Tensor


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
