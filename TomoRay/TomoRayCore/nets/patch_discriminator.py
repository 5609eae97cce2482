"""The conditional 3-D patch discriminator of X2CT-GAN, and X-Recon's with coordinates.

Ying et al., CVPR 2019, section 4.2, as released (``basic3d``): five 4x4x4 convolutions with padding
2, strides 2, 2, 2, 1, 1; instance norm on the second to fourth, whose convolutions have no bias;
leaky ReLU 0.2. The paper writes convolution, norm and ReLU for each of the first four: that is
``norm_first`` and ``slope=0``. TomoRay's cranial GAN has leaky ReLU 0.2.
Its input is the frontal image repeated along H, the lateral one along W, and the volume:
11,055,169 weights, 11,051,073 with one view. Judging a cube of 128 gives 19^3 patches.

X-Recon (``basic3d_CoordConv``) gives the first convolution three more channels, which hold each
voxel's place along D, H and W, -1 to 1: 11,067,457 weights.

Departures: ``width`` scales all channel counts; images finer than the volume are averaged down to
it. A repeated image is constant along its rays, so what the first convolution makes of it has three
different slices, which 2-D convolutions give; nothing is repeated or concatenated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets.blocks import add_stretched, initialise
from TomoRayCore.nets.conv_ops import norm_relu

CHANNELS = (64, 128, 256, 512)
STRIDES = (2, 2, 2, 1, 1)
KERNEL, PADDING = 4, 2
SLOPE = 0.2
RAY_AXES = (3, 4)
"""Axes of (B, C, D, H, W) along which the frontal and the lateral image are repeated."""


class PatchDiscriminator3d(nn.Module):
    """A volume and its images to patch logits: (B, 1, S, S, S) to (B, 1, n, n, n), n = S / 8 + 3.

    Args:
        width: Factor on all channel counts.
        view_count: Images of an examination: 2, frontal and lateral, or 1, frontal.
        conditional: Whether the images are shown.
        coordinates: Whether each voxel's place is shown, as in X-Recon.
        norm_first: Whether the first convolution is followed by a norm too.
        slope: Of the negative side of the ReLUs.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for a width outside (0, 4], other counts of views, or
            a slope outside [0, 1).
    """

    def __init__(
        self,
        width: float = 1.0,
        view_count: int = 2,
        conditional: bool = True,
        coordinates: bool = False,
        norm_first: bool = False,
        slope: float = SLOPE,
    ) -> None:
        super().__init__()
        check_arguments(width, view_count)
        if not 0 <= slope < 1:
            raise InputError(
                "ARCHITECTURE_ARGUMENTS", f"Got slope {slope!r}.", "Give a slope in [0, 1)."
            )
        self.norm_first, self.slope = norm_first, slope
        self.shown = view_count if conditional else 0
        self.coordinates = coordinates
        counts = [self.shown + 1 + 3 * coordinates]
        counts += [max(1, round(n * width)) for n in CHANNELS] + [1]
        self.layers = nn.ModuleList(
            nn.Conv3d(counts[n], counts[n + 1], KERNEL, stride, PADDING, bias=n in (0, 4))
            for n, stride in enumerate(STRIDES)
        )
        initialise(self)

    def forward(self, volume: Tensor, images: Tensor | None = None) -> Tensor:
        """Return the logits.

        Args:
            volume: (B, 1, S, S, S), S a multiple of 8.
            images: (B, V, I, I), I a multiple of S; needed where the discriminator is conditional.

        Raises:
            InputError: ``BAD_SHAPE``.
        """
        shown = shown_images(volume, images, self.shown, step=8, least=8)
        x = self._first(volume, shown)
        if self.norm_first:
            x = norm_relu(x, self.slope)
        else:
            x = nn.functional.leaky_relu(x, self.slope, inplace=True)
        for layer in list(self.layers)[1:-1]:
            x = norm_relu(layer(x), self.slope)
        logits: Tensor = cast(nn.Conv3d, self.layers[-1])(x)
        return logits

    def _first(self, volume: Tensor, images: Sequence[Tensor]) -> Tensor:
        """Convolve images, volume and coordinates, in this order of input channels."""
        layer = cast(nn.Conv3d, self.layers[0])
        cube = torch.cat([volume, places(volume)], dim=1) if self.coordinates else volume
        weight = layer.weight[:, self.shown :]
        x = nn.functional.conv3d(cube, weight, layer.bias, 2, PADDING)
        for view, image in enumerate(images):
            axis = RAY_AXES[view]
            kernel = layer.weight[:, view : view + 1]
            x = add_stretched(x, strided_slices(image, kernel, axis), axis)
        return x


def check_arguments(width: float, view_count: int) -> None:
    """Refuse arguments that no discriminator of volumes takes.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for a width outside (0, 4], or not one or two views.
    """
    if not 0 < width <= 4 or view_count not in (1, 2):
        raise InputError(
            "ARCHITECTURE_ARGUMENTS",
            f"Got width {width!r} and {view_count!r} views.",
            "Give a width in (0, 4], and one or two views.",
        )


def shown_images(
    volume: Tensor, images: Tensor | None, count: int, step: int, least: int
) -> list[Tensor]:
    """Return ``count`` images, (B, 1, S, S) each, at the volume's size.

    Args:
        volume: (B, 1, S, S, S), S a multiple of ``step`` and at least ``least``.
        images: (B, count, I, I), I a multiple of S; not looked at where ``count`` is 0.
        count: Images that a discriminator is shown.
        step: What S must be a multiple of.
        least: The smallest S.

    Raises:
        InputError: ``BAD_SHAPE``.
    """
    size = volume.shape[-1]
    good = volume.ndim == 5 and volume.shape[1:] == (1, size, size, size)
    good = good and size % step == 0 and size >= least
    if good and count == 0:
        return []
    if not good or images is None or images.shape[1:2] != (count,) or images.shape[2] % size:
        raise InputError(
            "BAD_SHAPE",
            f"Got a volume {tuple(volume.shape)} and images "
            f"{None if images is None else tuple(images.shape)}.",
            f"Give (B, 1, S, S, S) with S a multiple of {step} and at least {least}, and "
            f"(B, {count}, I, I) with I a multiple of S.",
        )
    scaled = nn.functional.adaptive_avg_pool2d(images, size)
    return [scaled[:, view : view + 1] for view in range(count)]


def strided_slices(image: Tensor, kernel: Tensor, ray_axis: int) -> Tensor:
    """Return the first, inner and last slice of a repeated image's convolution.

    Kernel 4, stride 2, padding 2: the first slice sees the last two taps, the last one the first
    two, all others all four.

    Args:
        image: (B, 1, S, S), S even.
        kernel: (C, 1, 4, 4, 4).
        ray_axis: 3 or 4, the axis of (B, C, D, H, W) along which the image is repeated.

    Returns:
        (B, C, ...) with three slices along ``ray_axis`` and S / 2 + 1 along the others.
    """
    taps = kernel.unbind(dim=ray_axis)
    early, late = taps[0] + taps[1], taps[2] + taps[3]
    slices = [
        nn.functional.conv2d(image, flat, stride=2, padding=PADDING)
        for flat in (late, early + late, early)
    ]
    return torch.stack(slices, dim=ray_axis)


def places(volume: Tensor) -> Tensor:
    """Return each voxel's place along D, H and W, -1 to 1: (B, 3, D, H, W)."""
    sizes = volume.shape[2:]
    axes = [torch.linspace(-1, 1, n, dtype=volume.dtype, device=volume.device) for n in sizes]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return grid.expand(len(volume), -1, -1, -1, -1)
