"""The generator and discriminator of CycleGAN, for one grey image at a time.

Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
ICCV 2017, section 7.2: c7s1-64, d128, d256, nine residual blocks, u128, u64, c7s1-1 and tanh with
reflection padding and instance norms; and the 70 x 70 PatchGAN C64-C128-C256-C512.

Frontal and lateral images have generators and discriminators of their own; ``CycleGANTranslator``
holds one generator for each view and speaks the range of reconstruction networks.

Departures: one channel in and out, and ``width``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError

STEM_CHANNELS = 64
RESIDUAL_BLOCKS = 9
PATCH_CHANNELS = (64, 128, 256, 512)
PATCH_STRIDES = (2, 2, 2, 1)


class CycleGANGenerator(nn.Module):
    """An image in another style: (B, 1, H, W) to (B, 1, H, W), in and out -1 to 1.

    Args:
        width: Factor on all channel counts; 1 is the published network.
        blocks: Residual blocks; 9 is the published number for 256 x 256.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for a width outside (0, 4] or a negative ``blocks``.
    """

    def __init__(self, width: float = 1.0, blocks: int = RESIDUAL_BLOCKS) -> None:
        super().__init__()
        _check_width(width)
        if blocks < 0:
            raise _bad_arguments(f"{blocks} residual blocks")
        c = max(1, round(STEM_CHANNELS * width))
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(3),
            *_normed(nn.Conv2d(1, c, 7)),
            *_normed(nn.Conv2d(c, 2 * c, 3, 2, padding=1)),
            *_normed(nn.Conv2d(2 * c, 4 * c, 3, 2, padding=1)),
            *(_ResidualBlock(4 * c) for _ in range(blocks)),
            *_normed(nn.ConvTranspose2d(4 * c, 2 * c, 3, 2, padding=1, output_padding=1)),
            *_normed(nn.ConvTranspose2d(2 * c, c, 3, 2, padding=1, output_padding=1)),
            nn.ReflectionPad2d(3),
            nn.Conv2d(c, 1, 7),
            nn.Tanh(),
        )
        _initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        """Return the translated image.

        Raises:
            InputError: ``BAD_SHAPE`` unless one channel of edges from 8 that 4 divides.
        """
        edges = image.shape[2:]
        if image.ndim != 4 or image.shape[1] != 1 or any(e < 8 or e % 4 for e in edges):
            raise InputError(
                "BAD_SHAPE",
                f"Got images of shape {tuple(image.shape)}.",
                "Give (batch, 1, H, W) with H and W at least 8 and divisible by 4.",
            )
        translated: Tensor = self.layers(image)
        return translated


class CycleGANTranslator(nn.Module):
    """Each view through its own generator: (B, V, H, W) to (B, V, H, W), in and out 0 to 1.

    Values above 1, which normalised films may have, are cut off on the way in.

    Args:
        width: As for ``CycleGANGenerator``.
        blocks: As for ``CycleGANGenerator``.
        view_count: V, in canonical order: frontal, lateral.

    Attributes:
        generators: One a view, in order; each can be trained on its own, in -1 to 1.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for impossible values.
    """

    def __init__(
        self, width: float = 1.0, blocks: int = RESIDUAL_BLOCKS, view_count: int = 2
    ) -> None:
        super().__init__()
        if view_count < 1:
            raise _bad_arguments(f"{view_count} views")
        self.view_count = view_count
        self.generators = nn.ModuleList(CycleGANGenerator(width, blocks) for _ in range(view_count))

    def forward(self, images: Tensor) -> Tensor:
        """Return the translated images.

        Raises:
            InputError: ``BAD_SHAPE`` for another number of views, or as the generators do.
        """
        if images.ndim != 4 or images.shape[1] != self.view_count:
            raise InputError(
                "BAD_SHAPE",
                f"Got images of shape {tuple(images.shape)}.",
                f"Give (batch, {self.view_count}, H, W): one image for each generator.",
            )
        signed = 2 * images.clamp(0, 1) - 1
        translated = [
            generator(signed[:, n : n + 1]) for n, generator in enumerate(self.generators)
        ]
        return (torch.cat(translated, dim=1) + 1) / 2


class PatchDiscriminator2d(nn.Module):
    """The 70 x 70 PatchGAN: (B, inputs, H, W) to logits (B, 1, H/8 - 2, W/8 - 2).

    Five 4x4 convolutions with padding 1, strides 2, 2, 2, 1, 1; LeakyReLU 0.2; instance norms
    except after the first and the last.

    Args:
        width: Factor on all channel counts.
        inputs: Channels of the image, with any that it is conditioned on.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for a width outside (0, 4] or no inputs.
    """

    def __init__(self, width: float = 1.0, inputs: int = 1) -> None:
        super().__init__()
        _check_width(width)
        if inputs < 1:
            raise _bad_arguments(f"{inputs} input channels")
        layers: list[nn.Module] = []
        for index, (channels, stride) in enumerate(zip(PATCH_CHANNELS, PATCH_STRIDES, strict=True)):
            outputs = max(1, round(channels * width))
            layers.append(nn.Conv2d(inputs, outputs, 4, stride, padding=1))
            if index:
                layers.append(nn.InstanceNorm2d(outputs))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.Conv2d(inputs, 1, 4, padding=1))
        _initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        """Return one logit for each patch."""
        logits: Tensor = self.layers(image)
        return logits


class _ResidualBlock(nn.Module):
    """x + IN(conv(relu(IN(conv(x))))), 3x3, reflected at the edges; (B, C, H, W) kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            *_normed(nn.Conv2d(channels, channels, 3)),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        kept: Tensor = x + self.layers(x)
        return kept


def _normed(convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [convolution, nn.InstanceNorm2d(convolution.out_channels), nn.ReLU(inplace=True)]


def _initialise(net: nn.Module) -> None:
    """Weights from N(0, 0.02), biases 0, as published."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _check_width(width: float) -> None:
    if not 0 < width <= 4:
        raise _bad_arguments(f"width {width!r}")


def _bad_arguments(what: str) -> InputError:
    return InputError(
        "ARCHITECTURE_ARGUMENTS",
        f"Got {what}.",
        "CycleGAN networks take width in (0, 4], blocks from 0, at least one view and one input.",
    )
