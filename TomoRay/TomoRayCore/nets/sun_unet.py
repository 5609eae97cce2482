"""The 2-D U-Net that turns a radiograph into features for an implicit network.

Sun et al., "CT Reconstruction from Few Planar X-Rays with Application Towards Low-Resource
Radiotherapy", 2023, with the layer sizes of the authors' published code: 5x5 convolutions and
LeakyReLU without norms, three halvings, and no skip connection at full resolution.

Departure: ``width`` scales all channel counts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError

CHANNELS = (64, 128, 256, 512)
"""Channels at full resolution, a half, a quarter and an eighth."""

SLOPE = 0.2


class SunUNet(nn.Module):
    """One radiograph to a feature map of its size: (B, 1, H, W) to (B, 128 * width, H, W).

    Height and width are multiples of 8. 20,284,224 weights at width 1.

    Args:
        width: Factor on all channel counts.

    Attributes:
        channels: Channels of the map.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        full, half, quarter, eighth = (max(1, round(c * width)) for c in CHANNELS)
        self.channels = half
        self.pool = nn.MaxPool2d(2)
        self.down1, self.down2 = _convolutions(1, full), _convolutions(full, half)
        self.down3, self.down4 = _convolutions(half, quarter), _convolutions(quarter, eighth)
        self.rise1 = nn.ConvTranspose2d(eighth, quarter, 2, 2)
        self.up1 = _convolutions(2 * quarter, quarter)
        self.rise2 = nn.ConvTranspose2d(quarter, half, 2, 2)
        self.up2 = _convolutions(2 * half, half)
        self.rise3 = nn.ConvTranspose2d(half, half, 2, 2)
        self.output = nn.Conv2d(half, half, 5, padding=2)

    def forward(self, image: Tensor) -> Tensor:
        if any(edge % 8 for edge in image.shape[-2:]):
            raise InputError(
                "BAD_SHAPE",
                f"Got an image of {tuple(image.shape[-2:])} pixels.",
                "The U-Net halves three times: give multiples of 8.",
            )
        half = self.down2(self.pool(self.down1(image)))
        quarter = self.down3(self.pool(half))
        x = self.rise1(self.down4(self.pool(quarter)))
        x = self.rise2(self.up1(torch.cat([x, quarter], dim=1)))
        x = self.rise3(self.up2(torch.cat([x, half], dim=1)))
        features: Tensor = self.output(x)
        return features


def _convolutions(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 5, padding=2),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(outputs, outputs, 5, padding=2),
        nn.LeakyReLU(SLOPE, inplace=True),
    )
