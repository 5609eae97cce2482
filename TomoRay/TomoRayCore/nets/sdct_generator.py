"""The generator of SdCT-GAN: X2CT's, guided by the gradients of the radiographs.

Cheng et al., "SdCT-GAN: Reconstructing CT from Biplanar X-Rays with Self-driven Generative
Adversarial Networks", 2023, as released. A pyramid of Sobel magnitudes joins each encoder stage's
input and is squeezed back to its channels by convolutions (3x3, IN, leaky ReLU 0.01). Pyramid and
squeezes are shared by both views: 72.98 M weights. The views' average is handed back to them from
the cube of Connection-A on.

Departures: ``width`` scales all channel counts; sizes as in ``X2CTGenerator``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from TomoRayCore.nets.blocks import initialise
from TomoRayCore.nets.conv_ops import norm_relu
from TomoRayCore.nets.x2ct_parts import (
    STEM_CHANNELS,
    BiplanarGenerator,
    FusionDecoder,
    Sizes,
    ViewBranch,
)

GUIDE_CHANNELS = (16, 32, 64, 128, 256)
TWO_SQUEEZES = 3
"""So many stages squeeze by two convolutions, by way of twice the channels; the others by one."""

SLOPE = 0.01
SOBEL = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))


class SdCTGenerator(BiplanarGenerator):
    """Two radiographs to a volume: (B, 2, I, I) to (B, 1, S, S, S).

    Axes, ranges and arguments are those of ``X2CTGenerator``.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for impossible sizes, width or dropout.
    """

    def __init__(
        self,
        width: float = 1.0,
        output_size: int = 128,
        dropout: float = 0.5,
        input_size: int = 128,
        *,
        unused_layers: bool = True,
        checkpointing: bool = False,
    ) -> None:
        sizes = Sizes(width, input_size, output_size, unused_layers=unused_layers)
        super().__init__(sizes, dropout, FusionDecoder(sizes), True, True, checkpointing)
        self.guide = GradientGuide(sizes)
        initialise(self)

    def encode(self, number: int, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Return one view's cube of Connection-A and its 2-D maps by edge."""
        branch = cast(ViewBranch, self.views[number])
        return branch.encode(image, Guided(self.guide, sobel_magnitude(image)))


class Guided:
    """Joins one view's gradients to its stages, in order."""

    def __init__(self, guide: GradientGuide, gradients: Tensor) -> None:
        self._guide, self._gradients = guide, gradients

    def __call__(self, stage: int, x: Tensor) -> Tensor:
        self._gradients = self._guide.deeper(stage, self._gradients)
        return self._guide.joined(stage, self._gradients, x)


class GradientGuide(nn.Module):
    """The pyramid of gradient magnitudes, and the convolutions that squeeze it into the stages."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        guides = [sizes.scaled(n) for n in GUIDE_CHANNELS]
        self.pyramid, self.squeeze = nn.ModuleList(), nn.ModuleList()
        for number, (guide, before) in enumerate(zip(guides, [1, *guides], strict=False)):
            self.pyramid.append(GuideConv(before, guide, stride=1 if number == 0 else 2))
            channels = stage_channels(sizes)[number]
            both = guide + channels
            middle = [2 * both] if number < TWO_SQUEEZES else []
            steps = [both, *middle, channels]
            self.squeeze.append(nn.Sequential(*(GuideConv(a, b) for a, b in pairwise(steps))))

    def deeper(self, stage: int, gradients: Tensor) -> Tensor:
        """Return the pyramid's map at a stage from the one before."""
        return cast(Tensor, self.pyramid[stage](gradients))

    def joined(self, stage: int, gradients: Tensor, x: Tensor) -> Tensor:
        """Return the stage's map with the gradients squeezed into it."""
        return cast(Tensor, self.squeeze[stage](torch.cat([gradients, x], dim=1)))


class GuideConv(nn.Module):
    """3x3 convolution, IN, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        return norm_relu(self.conv(x), SLOPE)


def stage_channels(sizes: Sizes) -> list[int]:
    """Return the channels of each encoder stage's input map."""
    channels, found = sizes.scaled(STEM_CHANNELS), []
    for layers in sizes.dense_layers:
        found.append(channels)
        channels = (channels + layers * sizes.growth) // 2
    return found


def sobel_magnitude(image: Tensor) -> Tensor:
    """Return the gradient's magnitude, (B, 1, S, S) to the same shape; at least 0.001.

    Beyond the borders the image is 0, as released.
    """
    across = image.new_tensor(SOBEL)[None, None]
    kernels = torch.cat([across, across.transpose(2, 3)])
    gradients = nn.functional.conv2d(image, kernels, padding=1)
    return (gradients.square().sum(dim=1, keepdim=True) + 1e-6).sqrt()
