"""The denoising U-Net of bone suppression: noise in an image, given the radiograph.

Chen et al., "BS-Diff: Effective Bone Suppression Using Conditional Diffusion Models from Chest
X-Ray Images", ISBI 2024, whose first stage DCT-Net uses: a U-Net with 64, 128, 256, 512, 768
channels, three residual blocks a level and self-attention with one head below the finest level. The
residual blocks are those of Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020:
group norm, SiLU and 3x3 convolution, twice, with the time added in between.

Departures: one network for frontal and lateral films, told which by a learned token that is added
to the time; and only the noise of the image is predicted, not that of the condition, whose
prediction the published code makes and ignores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets.attention import SelfAttention

CHANNELS = (64, 128, 256, 512, 768)
RESIDUAL_BLOCKS = 3
ATTENTION = (False, True, True, True, True)
VIEWS = 2
"""Frontal is 0, lateral 1."""

NORM_GROUPS = 32
LONGEST_PERIOD = 10_000.0


class DenoisingUNet(nn.Module):
    """Noise of an image: (B, 1, H, W) with its radiograph (B, 1, H, W) to (B, 1, H, W).

    Args:
        width: Factor on all channel counts.
        channels: Of each level, finest first; H and W must be divisible by 2 ** (levels - 1).
        residual_blocks: A level, on the way down; one more on the way up.
        attention: For each level, whether self-attention follows its residual blocks.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for impossible values.
    """

    def __init__(
        self,
        width: float = 1.0,
        channels: Sequence[int] = CHANNELS,
        residual_blocks: int = RESIDUAL_BLOCKS,
        attention: Sequence[bool] = ATTENTION,
    ) -> None:
        super().__init__()
        if not 0 < width <= 4 or residual_blocks < 1 or not 0 < len(channels) == len(attention):
            raise InputError(
                "ARCHITECTURE_ARGUMENTS",
                f"Got width {width!r}, channels {channels!r}, residual_blocks {residual_blocks!r}, "
                f"attention {attention!r}.",
                "The denoiser takes width in (0, 4], at least one residual block, and as many "
                "switches of attention as channel counts.",
            )
        levels = [max(1, round(c * width)) for c in channels]
        self.divisor = 2 ** (len(levels) - 1)
        self.time_channels = levels[0]
        told = 4 * levels[0]
        self.time = nn.Sequential(nn.Linear(levels[0], told), nn.SiLU(), nn.Linear(told, told))
        self.view = nn.Embedding(VIEWS, told)
        self.first = nn.Conv2d(2, levels[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        kept, c = [levels[0]], levels[0]
        for level, outputs in enumerate(levels):
            for _ in range(residual_blocks):
                self.down.append(_Step(c, outputs, told, attention[level]))
                c = outputs
                kept.append(c)
            if level < len(levels) - 1:
                self.down.append(_Halve(c))
                kept.append(c)
        self.middle = nn.ModuleList(
            [_Step(c, c, told, attention[-1]), _Step(c, c, told, attention=False)]
        )
        for level, outputs in reversed(list(enumerate(levels))):
            for _ in range(residual_blocks + 1):
                self.up.append(_Step(c + kept.pop(), outputs, told, attention[level]))
                c = outputs
            if level > 0:
                self.up.append(_Double(c))
        self.last = nn.Sequential(_norm(c), nn.SiLU(), nn.Conv2d(c, 1, 3, padding=1))

    def forward(self, noisy: Tensor, condition: Tensor, time: Tensor, view: Tensor) -> Tensor:
        """Return the predicted noise.

        Args:
            noisy: (B, 1, H, W), the image with noise; clean images are in -1 to 1.
            condition: (B, 1, H, W), the radiograph, in -1 to 1.
            time: (B,) integer step of the noise.
            view: (B,) 0 for frontal, 1 for lateral.

        Raises:
            InputError: ``BAD_SHAPE`` for images of other or differing shapes.
        """
        self._check(noisy, condition)
        told = self.time(_sinusoids(time, self.time_channels)) + self.view(view)
        x = self.first(torch.cat([noisy, condition], dim=1))
        kept = [x]
        for layer in self.down:
            x = layer(x, told)
            kept.append(x)
        for layer in self.middle:
            x = layer(x, told)
        for layer in self.up:
            x = layer(torch.cat([x, kept.pop()], dim=1) if isinstance(layer, _Step) else x, told)
        noise: Tensor = self.last(x)
        return noise

    def _check(self, noisy: Tensor, condition: Tensor) -> None:
        fits = noisy.ndim == 4 and noisy.shape[1] == 1 and noisy.shape == condition.shape
        if not fits or any(edge % self.divisor for edge in noisy.shape[2:]):
            raise InputError(
                "BAD_SHAPE",
                f"Got images of shape {tuple(noisy.shape)} and {tuple(condition.shape)}.",
                f"Give both as (batch, 1, H, W), with H and W divisible by {self.divisor}.",
            )


class _Step(nn.Module):
    """A residual block, (B, C, H, W) to (B, C', H, W), and self-attention where asked for."""

    def __init__(self, inputs: int, outputs: int, told: int, attention: bool) -> None:
        super().__init__()
        self.before = nn.Sequential(
            _norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1)
        )
        self.tell = nn.Sequential(nn.SiLU(), nn.Linear(told, outputs))
        self.after = nn.Sequential(
            _norm(outputs), nn.SiLU(), nn.Conv2d(outputs, outputs, 3, padding=1)
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        self.attention = SelfAttention(outputs) if attention else nn.Identity()

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        y = self.before(x) + self.tell(told)[:, :, None, None]
        result: Tensor = self.attention(self.skip(x) + self.after(y))
        return result


class _Halve(nn.Module):
    """A 3x3 convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, 2, padding=1)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        halved: Tensor = self.conv(x)
        return halved


class _Double(nn.Module):
    """Repetition of each pixel, and a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        doubled: Tensor = self.conv(nn.functional.interpolate(x, scale_factor=2.0))
        return doubled


def _norm(channels: int) -> nn.GroupNorm:
    """Return a group norm of 32 groups, or as many as leave two channels to each."""
    groups = math.gcd(NORM_GROUPS, channels)
    # In a group of one channel, the norm would take away what the time adds to that channel.
    return nn.GroupNorm(groups if groups < channels else max(1, groups // 2), channels)


def _sinusoids(time: Tensor, channels: int) -> Tensor:
    """Return (B, channels): sines and cosines of the step, with periods from 2 pi upwards."""
    half = (channels + 1) // 2
    powers = torch.arange(half, device=time.device, dtype=torch.float32) / half
    angles = time.float()[:, None] * torch.exp(-math.log(LONGEST_PERIOD) * powers)
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :channels]
