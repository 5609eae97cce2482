"""The self-driven discriminator of SdCT-GAN.

Cheng et al., 2023, as released, after FastGAN (Liu et al., ICLR 2021) in three dimensions. Four
halvings, each the mean of a convolutional path (4x4x4, stride 2, then 3x3x3) and a pooled one; the
features before a halving excite the channels after it; 5^3 logits for a cube of 128. From its
features two decoders rebuild the input: one an octant, one the whole at half resolution. It learns
to do so on real volumes only. 38.90 M weights with two views. Batch norms; no biases.

Departures: ``width`` scales all channel counts; other cubes than 128 give decoders of their half.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from TomoRayCore.nets.blocks import initialise
from TomoRayCore.nets.patch_discriminator import RAY_AXES, check_arguments, shown_images

CHANNELS = (64, 64, 128, 256, 512)
DECODER_CHANNELS = (128, 64, 64)
LAST_CHANNELS = 64
SLOPE = 0.2


class Rebuilt(NamedTuple):
    """What the decoders rebuild, and what they should.

    Attributes:
        octant: (B, V + 1, S / 2, S / 2, S / 2), in -1 to 1.
        octant_target: The octant of images and volume.
        whole: Of the same shape, in -1 to 1.
        whole_target: Images and volume, every second voxel.
    """

    octant: Tensor
    octant_target: Tensor
    whole: Tensor
    whole_target: Tensor


class SdCTDiscriminator(nn.Module):
    """A volume and its images to logits: (B, 1, S, S, S) to (B, 1, n, n, n), n = S / 16 - 3.

    Args:
        width: Factor on all channel counts.
        view_count: Images of an examination: 2, frontal and lateral, or 1, frontal.
        conditional: Whether the images are shown.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for a width outside (0, 4] or other counts of views.
    """

    def __init__(self, width: float = 1.0, view_count: int = 2, conditional: bool = True) -> None:
        super().__init__()
        check_arguments(width, view_count)
        self.shown = view_count if conditional else 0
        counts = [max(1, round(n * width)) for n in CHANNELS]
        inside = [max(1, round(n * width)) for n in DECODER_CHANNELS]
        last = max(1, round(LAST_CHANNELS * width))
        self.stem = nn.Conv3d(self.shown + 1, counts[0], 3, padding=1, bias=False)
        self.halvings = nn.ModuleList(Halving(a, b) for a, b in pairwise(counts))
        self.excitations = nn.ModuleList(Excitation(a, b) for a, b in pairwise(counts[1:]))
        self.judge = nn.Sequential(
            *normed(nn.Conv3d(counts[-1], last, 1, bias=False)), nn.Conv3d(last, 1, 4, bias=False)
        )
        self.octant_decoder = Rebuilder(counts[3], inside, self.shown + 1)
        self.whole_decoder = Rebuilder(counts[4], inside, self.shown + 1)
        initialise(self)

    def forward(self, volume: Tensor, images: Tensor | None = None) -> Tensor:
        """Return the logits.

        Args:
            volume: (B, 1, S, S, S), S a multiple of 16, at least 64.
            images: (B, V, I, I), I a multiple of S; needed where the discriminator is conditional.

        Raises:
            InputError: ``BAD_SHAPE``.
        """
        return cast(Tensor, self.judge(self._features(self._shown(volume, images))[1]))

    def rebuild(
        self, volume: Tensor, images: Tensor | None = None, octant: int = 0
    ) -> tuple[Tensor, Rebuilt]:
        """Return the logits, and what the decoders make of the same features.

        Args:
            volume: As in ``forward``, a real one.
            images: As in ``forward``.
            octant: Which of the eight, 0 to 7: its bits are the halves of D, H and W; released
                training draws one at random for each step.
        """
        shown = self._shown(volume, images)
        fine, coarse = self._features(shown)
        half = shown.shape[-1] // 2
        rebuilt = Rebuilt(
            self.octant_decoder(octant_of(fine, octant), half),
            octant_of(shown, octant),
            self.whole_decoder(coarse, half),
            functional.interpolate(shown, size=[half] * 3),
        )
        return cast(Tensor, self.judge(coarse)), rebuilt

    def _features(self, shown: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features at an eighth and at a sixteenth of the resolution."""
        x = functional.leaky_relu(self.stem(shown), SLOPE, inplace=True)
        levels: list[Tensor] = []
        for number, halving in enumerate(self.halvings):
            x = halving(x)
            if number > 0:
                x = self.excitations[number - 1](levels[-1], x)
            levels.append(x)
        return levels[-2], levels[-1]

    def _shown(self, volume: Tensor, images: Tensor | None) -> Tensor:
        """Return images repeated along their rays, and the volume: (B, V + 1, S, S, S)."""
        shown = shown_images(volume, images, self.shown, step=16, least=64)
        lifted = [
            image.unsqueeze(axis).expand_as(volume)
            for image, axis in zip(shown, RAY_AXES, strict=False)
        ]
        return torch.cat([*lifted, volume], dim=1)


class Halving(nn.Module):
    """The mean of a convolutional and a pooled path, each to half the edge."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolved = nn.Sequential(
            *normed(nn.Conv3d(inputs, outputs, 4, 2, 3, bias=False)),
            *normed(nn.Conv3d(outputs, outputs, 3, bias=False)),
        )
        self.pooled = nn.Sequential(
            nn.AvgPool3d(2), *normed(nn.Conv3d(inputs, outputs, 1, bias=False))
        )

    def forward(self, x: Tensor) -> Tensor:
        mean: Tensor = (self.convolved(x) + self.pooled(x)) / 2
        return mean


class Excitation(nn.Module):
    """Channels of later features, weighted by what earlier ones say (squeeze and excitation)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool3d(4),
            nn.Conv3d(inputs, outputs, 4, bias=False),
            nn.SiLU(),
            nn.Conv3d(outputs, outputs, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, early: Tensor, late: Tensor) -> Tensor:
        excited: Tensor = late * self.layers(early)
        return excited


class Rebuilder(nn.Module):
    """A decoder: pooled to an eighth of the target, then three doublings; tanh."""

    def __init__(self, inputs: int, channels: list[int], outputs: int) -> None:
        super().__init__()
        self.doublings = nn.ModuleList(
            nn.Sequential(
                nn.Upsample(scale_factor=2),
                nn.Conv3d(a, 2 * b, 3, padding=1, bias=False),
                nn.BatchNorm3d(2 * b),
                nn.GLU(dim=1),
            )
            for a, b in pairwise([inputs, *channels])
        )
        self.last = nn.Conv3d(channels[-1], outputs, 3, padding=1, bias=False)

    def forward(self, features: Tensor, edge: int) -> Tensor:
        x = functional.adaptive_avg_pool3d(features, edge // 8)
        for doubling in self.doublings:
            x = doubling(x)
        return torch.tanh(self.last(x))


def octant_of(x: Tensor, number: int) -> Tensor:
    """Return one of the eight octants of (B, C, S, S, S)."""
    half = x.shape[-1] // 2
    for axis, bit in ((2, 4), (3, 2), (4, 1)):
        x = x.narrow(axis, half if number & bit else 0, half)
    return x


def normed(conv: nn.Conv3d) -> list[nn.Module]:
    """Return the convolution, batch norm, leaky ReLU."""
    return [conv, nn.BatchNorm3d(conv.out_channels), nn.LeakyReLU(SLOPE, inplace=True)]
