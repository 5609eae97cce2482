"""Layers that the X2CT family shares. All norms are instance norms without learned affine.

The published code tracks running statistics but puts the norms back into train mode for testing,
so the statistics of the image at hand are used always; here they are simply not tracked.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from TomoRayCore.nets.conv_ops import EPS, conv3d, doubling_conv3d, norm_relu


class DenseLayer(nn.Module):
    """DenseNet bottleneck layer: IN, ReLU, 1x1 to 4g, IN, ReLU, 3x3 to g; the input is kept.

    (B, C, H, W) to (B, C + growth, H, W).
    """

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=False),
            nn.Conv2d(channels, 4 * growth, 1),
            nn.InstanceNorm2d(4 * growth),
            nn.ReLU(inplace=True),
            nn.Conv2d(4 * growth, growth, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layers(x)], dim=1)


def dense_block(channels: int, layers: int, growth: int) -> nn.Sequential:
    """Return ``layers`` dense layers: (B, C, H, W) to (B, C + layers * growth, H, W)."""
    return nn.Sequential(*(DenseLayer(channels + n * growth, growth) for n in range(layers)))


def downsample(channels: int) -> nn.Sequential:
    """Return IN, ReLU, 3x3 convolution of stride 2: halves height and width."""
    return nn.Sequential(
        nn.InstanceNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, 2, padding=1)
    )


def compress_channels(channels: int) -> nn.Sequential:
    """Return IN, ReLU, 1x1 convolution to half the channels."""
    return nn.Sequential(
        nn.InstanceNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels // 2, 1)
    )


Axes = tuple[int, int, int]
"""An order of three axes: where to find a tensor's new first, second and third spatial axis."""

OWN_AXES: Axes = (0, 1, 2)


def reordered(tensor: Tensor, axes: Axes) -> Tensor:
    """Return (., ., X, Y, Z), a cube or a kernel, with its spatial axes in another order."""
    return tensor.permute(0, 1, *(2 + axis for axis in axes))


class Conv3dBlock(nn.Sequential):
    """3x3x3 convolution, IN, ReLU: (B, C, D, H, W) to (B, C', D, H, W).

    ``axes`` turns the kernel instead of the cube: the cube keeps its memory layout.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv3d(inputs, outputs, 3, padding=1),
            nn.InstanceNorm3d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor, axes: Axes = OWN_AXES) -> Tensor:
        conv = cast(nn.Conv3d, self[0])
        weight = reordered(conv.weight, axes)
        return norm_relu(conv3d(x, weight, conv.bias))

    def of_two(self, first: Tensor, second: Tensor, axes: Axes = OWN_AXES) -> Tensor:
        """Return what the block makes of both tensors' channels, without concatenating them."""
        return norm_relu(self.first_part(first, axes) + self.second_part(second, axes))

    def first_part(self, x: Tensor, axes: Axes = OWN_AXES) -> Tensor:
        """Return the convolution, with bias, of the input's first channels alone."""
        conv = cast(nn.Conv3d, self[0])
        weight = reordered(conv.weight[:, : x.shape[1]], axes)
        return conv3d(x, weight, conv.bias)

    def second_part(self, x: Tensor, axes: Axes = OWN_AXES) -> Tensor:
        """Return the convolution, without bias, of the input's last channels alone."""
        weight = reordered(cast(nn.Conv3d, self[0]).weight[:, -x.shape[1] :], axes)
        return conv3d(x, weight)


class Upsample3dBlock(nn.Sequential):
    """Transposed 3x3x3 convolution, IN, ReLU: (B, C, D, H, W) to (B, C', 2 D, 2 H, 2 W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.ConvTranspose3d(inputs, outputs, 3, 2, padding=1, output_padding=1),
            nn.InstanceNorm3d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor, axes: Axes = OWN_AXES) -> Tensor:
        conv = cast(nn.ConvTranspose3d, self[0])
        weight = reordered(conv.weight, axes)
        return norm_relu(doubling_conv3d(x, weight, conv.bias))


class LiftLink(nn.Module):
    """Connection-B of X2CT-GAN: a 2-D feature map repeated along the ray direction to a cube.

    1x1 convolution, IN, ReLU, repetition along a new depth axis, 3x3x3 convolution, IN, ReLU:
    (B, C, S, S) to (B, C', S, S, S), S at least 4.

    A 3x3x3 convolution of a cube that is constant along depth differs from its inner slices in the
    first and the last one only; another one after it, in the first two and the last two. These few
    slices are computed by 2-D convolutions, and the instance norm counts the inner ones as often as
    they occur. The numbers are the same for a fraction of the work.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1), nn.InstanceNorm2d(outputs), nn.ReLU(inplace=True)
        )
        self.mix = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.finish = nn.Sequential(nn.InstanceNorm3d(outputs), nn.ReLU(inplace=True))

    def forward(self, image: Tensor) -> Tensor:
        return stretched(self.slices(image), 2, image.shape[-1])

    def slices(self, image: Tensor) -> Tensor:
        """Return the cube's first, inner and last slice: (B, C', 3, S, S)."""
        before, here, after = self.mix.weight.unbind(dim=2)
        kernels = torch.cat([here + after, before + here + after, before + here])
        bias = None if self.mix.bias is None else self.mix.bias.repeat(3)
        mixed = nn.functional.conv2d(self.reduce(image), kernels, bias, padding=1)
        mixed = mixed.to(torch.promote_types(mixed.dtype, torch.float32))
        mixed = mixed.view(len(image), 3, -1, *image.shape[2:])
        share = mixed.new_full((3, 1, 1, 1), 1 / image.shape[-1])
        share[1] = 1 - 2 / image.shape[-1]
        mean = (mixed.mean((3, 4), keepdim=True) * share).sum(1, keepdim=True)
        spread = (mixed - mean).square().mean((3, 4), keepdim=True)
        variance = (spread * share).sum(1, keepdim=True)
        lifted: Tensor = ((mixed - mean) * (variance + EPS).rsqrt()).relu()
        return lifted.transpose(1, 2)


def convolved_slices(slices: Tensor, weight: Tensor) -> Tensor:
    """Return the distinct slices of a 3x3x3 convolution of ``LiftLink``'s cube, without bias.

    Args:
        slices: First, inner and last, (B, C, 3, S, S).
        weight: (C', C, 3, 3, 3), depth first.

    Returns:
        First, second, inner, last but one, last: (B, C', 5, S, S).
    """
    before, here, after = weight.unbind(dim=2)
    none = torch.zeros_like(here)
    rows = (
        (here, after, none),
        (before, here + after, none),
        (none, before + here + after, none),
        (none, before + here, after),
        (none, before, here),
    )
    kernels = torch.cat([torch.cat(row, dim=1) for row in rows])
    flat = slices.transpose(1, 2).flatten(1, 2)
    found = nn.functional.conv2d(flat, kernels, padding=1)
    return found.view(len(flat), 5, -1, *flat.shape[2:]).transpose(1, 2)


def stretched(slices: Tensor, depth_axis: int, depth: int) -> Tensor:
    """Repeat the middle one of an odd number of slices until there are ``depth``."""
    end = slices.shape[depth_axis] // 2
    first, middle, last = torch.split(slices, [end, 1, end], depth_axis)
    sizes = list(slices.shape)
    sizes[depth_axis] = depth - 2 * end
    return torch.cat([first, middle.expand(sizes), last], depth_axis)


def add_stretched(x: Tensor, slices: Tensor, depth_axis: int) -> Tensor:
    """Return x + stretched(slices); without gradients in place, and nothing is repeated."""
    depth, end = x.shape[depth_axis], slices.shape[depth_axis] // 2
    if torch.is_grad_enabled():
        return x + stretched(slices, depth_axis, depth)
    x.narrow(depth_axis, 0, end).add_(slices.narrow(depth_axis, 0, end))
    x.narrow(depth_axis, end, depth - 2 * end).add_(slices.narrow(depth_axis, end, 1))
    x.narrow(depth_axis, depth - end, end).add_(slices.narrow(depth_axis, end + 1, end))
    return x


def channels_last(net: nn.Module) -> nn.Module:
    """Lay out 3-D weights with channels last, in place: 3-D convolutions then run up to twice as
    fast on CPUs; the numbers change by rounding only."""
    for parameter in net.parameters():
        if parameter.ndim == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    return net


def initialise(net: nn.Module, std: float = 0.02) -> None:
    """Set all convolution and linear weights to N(0, std) and biases to 0, as X2CT-GAN does."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose3d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
