"""The decoder of a VQGAN: a lattice of features to an image of four times its size.

Esser et al., "Taming Transformers for High-Resolution Image Synthesis", CVPR 2021, as PerX2CT
configures it: 128 channels times 1, 2, 4 from fine to coarse, three residual blocks at each
resolution, attention at the coarsest.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

BASE_CHANNELS = 128
FACTORS = (4, 2, 1)
"""Channels by resolution, coarsest first."""

BLOCKS = 3
OUTPUTS = 3
GROUPS = 32


class SliceDecoder(nn.Module):
    """(B, inputs, s, s) to (B, 3, 4s, 4s).

    Args:
        inputs: Channels of the lattice.
        width: Factor on all channel counts.
    """

    def __init__(self, inputs: int, width: float = 1.0) -> None:
        super().__init__()
        channels = [max(1, round(BASE_CHANNELS * factor * width)) for factor in FACTORS]
        coarse = channels[0]
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, coarse, 3, padding=1),
            _ResidualBlock(coarse, coarse),
            _Attention(coarse),
            _ResidualBlock(coarse, coarse),
        ]
        incoming = coarse
        for level, outgoing in enumerate(channels):
            for _ in range(BLOCKS):
                layers.append(_ResidualBlock(incoming, outgoing))
                if level == 0:
                    layers.append(_Attention(outgoing))
                incoming = outgoing
            if level < len(channels) - 1:
                layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
                layers.append(nn.Conv2d(outgoing, outgoing, 3, padding=1))
        layers += [_norm(incoming), nn.SiLU(), nn.Conv2d(incoming, OUTPUTS, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, lattice: Tensor) -> Tensor:
        image: Tensor = self.layers(lattice)
        return image


class _ResidualBlock(nn.Module):
    """Group norm, swish, 3x3 convolution, twice, and the shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _norm(inputs),
            nn.SiLU(),
            nn.Conv2d(inputs, outputs, 3, padding=1),
            _norm(outputs),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.shortcut(x) + self.layers(x)
        return result


class _Attention(nn.Module):
    """Dot-product attention of one head between all places of a map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.query, self.key = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.value, self.output = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        normal = self.norm(x)
        # (B, 1, H * W, C): one head.
        query, key, value = (
            layer(normal).flatten(2).transpose(1, 2)[:, None]
            for layer in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        result: Tensor = x + self.output(mixed[:, 0].transpose(1, 2).reshape(x.shape))
        return result


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels, eps=1e-6)
