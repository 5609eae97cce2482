"""Layers that the X2CT family shares. All norms are instance norms without learned affine.

The published code tracks running statistics but puts the norms back into train mode for testing,
so the statistics of the image at hand are used always; here they are simply not tracked.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


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


def conv3d(inputs: int, outputs: int) -> nn.Sequential:
    """Return 3x3x3 convolution, IN, ReLU."""
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, 3, padding=1), nn.InstanceNorm3d(outputs), nn.ReLU(inplace=True)
    )


def upsample3d(inputs: int, outputs: int) -> nn.Sequential:
    """Return a transposed 3x3x3 convolution that doubles each edge, IN, ReLU."""
    return nn.Sequential(
        nn.ConvTranspose3d(inputs, outputs, 3, 2, padding=1, output_padding=1),
        nn.InstanceNorm3d(outputs),
        nn.ReLU(inplace=True),
    )


class LiftLink(nn.Module):
    """Connection-B of X2CT-GAN: a 2-D feature map repeated along the ray direction to a cube.

    1x1 convolution, IN, ReLU, repetition along a new depth axis, 3x3x3 convolution, IN, ReLU:
    (B, C, S, S) to (B, C', S, S, S).

    A 3x3x3 convolution of a cube that is constant along depth has three different slices only:
    the first, the inner ones and the last. They are computed as 2-D convolutions, which gives the
    same numbers for a fraction of the work.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1), nn.InstanceNorm2d(outputs), nn.ReLU(inplace=True)
        )
        self.mix = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.finish = nn.Sequential(nn.InstanceNorm3d(outputs), nn.ReLU(inplace=True))

    def forward(self, image: Tensor) -> Tensor:
        lifted: Tensor = self.finish(self._mixed(self.reduce(image)))
        return lifted

    def _mixed(self, image: Tensor) -> Tensor:
        depth = image.shape[-1]
        before, here, after = self.mix.weight.unbind(dim=2)
        kernels = (here + after, before + here + after, before + here)
        slices = [
            nn.functional.conv2d(image, kernel, self.mix.bias, padding=1)[:, :, None]
            for kernel in kernels
        ]
        return torch.cat([slices[0], slices[1].expand(-1, -1, depth - 2, -1, -1), slices[2]], dim=2)


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
