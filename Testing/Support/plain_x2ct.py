"""X2CT-GAN's biplanar generator written down as published, for comparison with ours.

Cubes are permuted between a view's axes and the volume's; 2-D maps are repeated to cubes before the
3-D convolution; features are concatenated; the views' own output layers are computed although no
result depends on them; instance norms are torch's. State dictionaries of ``X2CTGenerator``, at its
default arguments but for ``width``, load.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FRONTAL_ORDER = (0, 1, 3, 2, 4)  # (B, C, H, D, W) of (B, C, D, H, W)
LATERAL_ORDER = (0, 1, 4, 2, 3)  # (B, C, W, D, H)
FRONTAL_BACK = (0, 1, 3, 2, 4)
LATERAL_BACK = (0, 1, 3, 4, 2)
DENSE_LAYERS = (6, 12, 24, 16, 6)
CHANNELS = (128, 64, 32, 16, 16)
"""Channels of the decoders, coarse to fine."""


def channels_at(size: int, width: float) -> dict[int, int]:
    """Return the decoders' channels by cube edge, coarse to fine."""
    edges = (size // 16, size // 8, size // 4, size // 2, size)
    return {edge: max(1, round(n * width)) for edge, n in zip(edges, CHANNELS, strict=True)}


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    layer = nn.Conv3d(inputs, outputs, 3, padding=1)
    return nn.Sequential(layer, nn.InstanceNorm3d(outputs), nn.ReLU(inplace=True))


def doubling(inputs: int, outputs: int) -> nn.Sequential:
    layer = nn.ConvTranspose3d(inputs, outputs, 3, 2, padding=1, output_padding=1)
    return nn.Sequential(layer, nn.InstanceNorm3d(outputs), nn.ReLU(inplace=True))


class Dense(nn.Module):
    """One layer of a dense block."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 4 * growth, 1),
            nn.InstanceNorm2d(4 * growth),
            nn.ReLU(inplace=True),
            nn.Conv2d(4 * growth, growth, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layers(x)], dim=1)


class Link(nn.Module):
    """Connection-B: repeat, then convolve."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1), nn.InstanceNorm2d(outputs), nn.ReLU(inplace=True)
        )
        self.mix = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.finish = nn.Sequential(nn.InstanceNorm3d(outputs), nn.ReLU(inplace=True))

    def forward(self, image: Tensor) -> Tensor:
        flat = self.reduce(image)
        cube = flat.unsqueeze(2).expand(-1, -1, flat.shape[-1], -1, -1)
        return self.finish(self.mix(cube))


class PlainDecoder(nn.Module):
    """The layers of one decoder."""

    def __init__(self, width: float, extra: int, size: int) -> None:
        super().__init__()
        c = channels_at(size, width)
        edges = list(c)
        self.first = doubling(max(1, round(256 * width)), c[edges[0]])
        self.compress = nn.ModuleDict({str(e): convolution(2 * c[e], c[e]) for e in edges})
        self.extra = nn.ModuleDict(
            {
                str(e): nn.Sequential(
                    *(convolution(c[e], c[e]) for _ in range(1 if e == size else extra))
                )
                for e in edges
            }
        )
        self.rise = nn.ModuleDict({str(e): doubling(c[e], c[2 * e]) for e in edges[:-1]})
        self.output = nn.Sequential(nn.Conv3d(c[size], 1, 7, padding=3), nn.ReLU())

    def onward(self, edge: int, cube: Tensor) -> Tensor:
        cube = self.extra[str(edge)](cube)
        return self.rise[str(edge)](cube) if str(edge) in self.rise else cube


class PlainBranch(nn.Module):
    """One view."""

    def __init__(self, width: float, size: int) -> None:
        super().__init__()
        decoders = channels_at(size, width)
        channels, growth = max(1, round(64 * width)), max(1, round(32 * width))
        self.stem = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(1, channels, 7),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.stages, self.links = nn.ModuleList(), nn.ModuleDict()
        for number, layers in enumerate(DENSE_LAYERS):
            edge = size // 2**number
            self.links[str(edge)] = Link(channels, decoders[edge])
            down = nn.Sequential(
                nn.InstanceNorm2d(channels),
                nn.ReLU(),
                nn.Conv2d(channels, channels, 3, 2, padding=1),
            )
            block = nn.Sequential(*(Dense(channels + n * growth, growth) for n in range(layers)))
            stage = [down, block]
            channels += layers * growth
            if number < 4:
                halve = nn.Conv2d(channels, channels // 2, 1)
                stage.append(nn.Sequential(nn.InstanceNorm2d(channels), nn.ReLU(), halve))
                channels //= 2
            self.stages.append(nn.Sequential(*stage))
        self.cube = (max(1, round(256 * width)), *[size // 32] * 3)
        self.to_cube = nn.Sequential(
            nn.Linear(channels, self.cube[0] * (size // 32) ** 3), nn.Dropout(0.5), nn.ReLU()
        )
        self.decoder = PlainDecoder(width, extra=2, size=size)

    def encode(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        x, lifted = self.stem(image), {}
        for stage in self.stages:
            lifted[x.shape[-1]] = self.links[str(x.shape[-1])](x)
            x = stage(x)
        x = nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
        return self.to_cube(x).view(-1, *self.cube), lifted


class PlainX2CT(nn.Module):
    """(B, 2, S, S) to (B, 1, S, S, S).

    Args:
        width: Factor on all channel counts.
        feed_cube_back: As in ``X2CTGenerator``.
        size: Edge S of images and volume, as ``input_size`` and ``output_size`` there.
    """

    def __init__(self, width: float = 1.0, feed_cube_back: bool = False, size: int = 128) -> None:
        super().__init__()
        self.feed_cube_back = feed_cube_back
        self.edges = list(channels_at(size, width))
        self.views = nn.ModuleList(PlainBranch(width, size) for _ in range(2))
        self.fusion = PlainDecoder(width, extra=1, size=size)

    def forward(self, images: Tensor) -> Tensor:
        frontal, lateral = self.views
        one, lifted_one = frontal.encode(images[:, :1])
        two, lifted_two = lateral.encode(images[:, 1:])
        average = (one.permute(FRONTAL_BACK) + two.permute(LATERAL_BACK)) / 2
        fused = self.fusion.first(average)
        if self.feed_cube_back:
            one, two = average.permute(FRONTAL_ORDER), average.permute(LATERAL_ORDER)
        one, two = frontal.decoder.first(one), lateral.decoder.first(two)
        for edge in self.edges:
            key = str(edge)
            one = frontal.decoder.compress[key](torch.cat([one, lifted_one[edge]], dim=1))
            two = lateral.decoder.compress[key](torch.cat([two, lifted_two[edge]], dim=1))
            average = (one.permute(FRONTAL_BACK) + two.permute(LATERAL_BACK)) / 2
            fused = self.fusion.compress[key](torch.cat([average, fused], dim=1))
            fused = self.fusion.onward(edge, fused)
            one = frontal.decoder.onward(edge, average.permute(FRONTAL_ORDER))
            two = lateral.decoder.onward(edge, average.permute(LATERAL_ORDER))
        frontal.decoder.output(one)
        lateral.decoder.output(two)
        return self.fusion.output(fused)
