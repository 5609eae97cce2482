"""The biplanar generator of X2CT-GAN.

Ying et al., "X2CT-GAN: Reconstructing CT from Biplanar X-Rays with Generative Adversarial
Networks", CVPR 2019, figures 3-4, with the layer sizes of the authors' published configuration.

Each view has its own 2-D encoder (DenseNet) and 3-D decoder: the encoder's last map becomes a 4^3
cube through a fully connected layer (Connection-A), and 2-D maps are repeated along the ray
direction into the decoder (Connection-B). At every resolution the two decoders' features are
averaged in common axes and handed to a third, fusing decoder (Connection-C).

Where the published code and the paper differ, the code is followed: the last map is averaged over
its area before Connection-A, and the average also replaces both views' own features.

Departures: ``width`` scales all channel counts; ``output_size`` 64 leaves out the last doubling, so
that 128 x 128 images give a 64^3 volume; the two view decoders' own output layers exist, since
the published parameter count includes them, but are used by no biplanar result.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets.blocks import (
    LiftLink,
    compress_channels,
    conv3d,
    dense_block,
    downsample,
    initialise,
    upsample3d,
)

STEM_CHANNELS = 64
GROWTH = 32
DENSE_LAYERS = (6, 12, 24, 16, 6)
CUBE_EDGE = 4
CUBE_CHANNELS = 256
DECODER_CHANNELS = {8: 128, 16: 64, 32: 32, 64: 16, 128: 16}
"""Channels of the decoders by cube edge."""

EXTRA_CONVOLUTIONS = 2
"""Convolutions after the first of each resolution in a view's decoder; 1 at the last resolution
and in the fusing decoder."""

FRONTAL_AXES = (1, 0, 2)
"""Order of (H, D, W), in which the frontal view lifts (its depth is H), to get (D, H, W)."""

LATERAL_AXES = (1, 2, 0)
"""Order of (W, D, H), in which the lateral view lifts (its depth is W), to get (D, H, W)."""


class X2CTGenerator(nn.Module):
    """Two radiographs to a volume: (B, 2, 128, 128) to (B, 1, S, S, S).

    Images are frontal, lateral, in [0, 1]; row 0 superior, columns as in ``Radiograph``. The
    volume's D runs from superior to inferior like the images' rows, H from anterior to
    posterior, W from the patient's right to left; values are at least 0, 1 being the top of the
    HU window. Instance norms use the statistics of the input at hand, in training and testing.

    Args:
        width: Factor on all channel counts; 1 is the published network.
        output_size: Edge S of the volume: 128 as published, or 64.
        dropout: After Connection-A, in training only.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for another size or a width outside (0, 4].
    """

    input_size = 128
    view_count = 2

    def __init__(self, width: float = 1.0, output_size: int = 128, dropout: float = 0.5) -> None:
        super().__init__()
        if output_size not in (64, 128) or not 0 < width <= 4 or not 0 <= dropout < 1:
            raise InputError(
                "ARCHITECTURE_ARGUMENTS",
                f"Got output_size {output_size!r}, width {width!r}, dropout {dropout!r}.",
                "The X2CT generator takes output_size 64 or 128, width in (0, 4], dropout in [0, 1).",
            )
        self.output_size = output_size
        self.views = nn.ModuleList(_ViewBranch(width, output_size, dropout) for _ in range(2))
        self.fusion = _FusionDecoder(width, output_size)
        initialise(self)

    def forward(self, images: Tensor, view_matrices: Tensor | None = None) -> Tensor:
        if images.ndim != 4 or tuple(images.shape[1:]) != (2, self.input_size, self.input_size):
            raise InputError(
                "BAD_SHAPE",
                f"Got images of shape {tuple(images.shape)}.",
                f"Give (batch, 2, {self.input_size}, {self.input_size}): frontal and lateral.",
            )
        frontal, lateral = (cast(_ViewBranch, view) for view in self.views)
        frontal_cube, frontal_maps = frontal.encode(images[:, :1])
        lateral_cube, lateral_maps = lateral.encode(images[:, 1:])
        average = _fused(frontal_cube, lateral_cube)
        fused = self.fusion.start(average)
        frontal_cube, lateral_cube = frontal.start(frontal_cube), lateral.start(lateral_cube)
        for edge in _edges(self.output_size):
            frontal_cube = frontal.join(edge, frontal_cube, frontal_maps[edge])
            lateral_cube = lateral.join(edge, lateral_cube, lateral_maps[edge])
            average = _fused(frontal_cube, lateral_cube)
            fused = self.fusion.join(edge, fused, average)
            if edge < self.output_size:
                frontal_cube = frontal.grow(edge, _split(average, FRONTAL_AXES))
                lateral_cube = lateral.grow(edge, _split(average, LATERAL_AXES))
        volume: Tensor = self.fusion.head(fused)
        return volume


class _ViewBranch(nn.Module):
    """One view's encoder, links and decoder; cubes have the view's depth axis first."""

    def __init__(self, width: float, output_size: int, dropout: float) -> None:
        super().__init__()
        channels, growth = _scaled(STEM_CHANNELS, width), _scaled(GROWTH, width)
        self.stem = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(1, channels, 7),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.stages, self.links = nn.ModuleList(), nn.ModuleDict()
        edge = X2CTGenerator.input_size
        for layers in DENSE_LAYERS:
            if edge <= output_size:
                self.links[str(edge)] = LiftLink(channels, _scaled(DECODER_CHANNELS[edge], width))
            stage = [downsample(channels), dense_block(channels, layers, growth)]
            channels += layers * growth
            if len(self.stages) < len(DENSE_LAYERS) - 1:
                stage.append(compress_channels(channels))
                channels //= 2
            self.stages.append(nn.Sequential(*stage))
            edge //= 2
        self.cube_channels = _scaled(CUBE_CHANNELS, width)
        self.to_cube = nn.Sequential(
            nn.Linear(channels, self.cube_channels * CUBE_EDGE**3), nn.Dropout(dropout), nn.ReLU()
        )
        self.decoder = _Decoder(width, output_size, extra=EXTRA_CONVOLUTIONS)

    def encode(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Return the 4^3 cube (Connection-A) and the 2-D maps by edge length."""
        x = self.stem(image)
        maps = {}
        for stage in self.stages:
            maps[x.shape[-1]] = x
            x = stage(x)
        x = self.to_cube(x.mean(dim=(2, 3)))
        return x.view(-1, self.cube_channels, *[CUBE_EDGE] * 3), maps

    def start(self, cube: Tensor) -> Tensor:
        return self.decoder.start(cube)

    def join(self, edge: int, cube: Tensor, image: Tensor) -> Tensor:
        """Concatenate the lifted 2-D map (Connection-B) and compress."""
        joined: Tensor = self.decoder.compress[str(edge)](
            torch.cat([cube, self.links[str(edge)](image)], dim=1)
        )
        return joined

    def grow(self, edge: int, cube: Tensor) -> Tensor:
        grown: Tensor = self.decoder.rise[str(edge)](self.decoder.extra[str(edge)](cube))
        return grown


class _Decoder(nn.Module):
    """The layers of one decoder, by cube edge."""

    def __init__(self, width: float, output_size: int, extra: int) -> None:
        super().__init__()
        edges = _edges(output_size)
        channels = {edge: _scaled(DECODER_CHANNELS[edge], width) for edge in edges}
        self.first = upsample3d(_scaled(CUBE_CHANNELS, width), channels[edges[0]])
        self.compress, self.extra, self.rise = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for edge in edges:
            c = channels[edge]
            last = edge == output_size
            self.compress[str(edge)] = conv3d(2 * c, c)
            self.extra[str(edge)] = nn.Sequential(
                *(conv3d(c, c) for _ in range(1 if last else extra))
            )
            if not last:
                self.rise[str(edge)] = upsample3d(c, channels[2 * edge])
        self.output = nn.Sequential(nn.Conv3d(channels[output_size], 1, 7, padding=3), nn.ReLU())

    def start(self, cube: Tensor) -> Tensor:
        started: Tensor = self.first(cube)
        return started


class _FusionDecoder(_Decoder):
    """The decoder that Connection-C feeds."""

    def __init__(self, width: float, output_size: int) -> None:
        super().__init__(width, output_size, extra=1)

    def join(self, edge: int, fused: Tensor, average: Tensor) -> Tensor:
        key = str(edge)
        x: Tensor = self.extra[key](self.compress[key](torch.cat([average, fused], dim=1)))
        return self.rise[key](x) if key in self.rise else x

    def head(self, fused: Tensor) -> Tensor:
        volume: Tensor = self.output(fused)
        return volume


def _edges(output_size: int) -> list[int]:
    return [edge for edge in DECODER_CHANNELS if edge <= output_size]


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


def _fused(frontal: Tensor, lateral: Tensor) -> Tensor:
    """Average two views' cubes in common axes (D, H, W)."""
    return (_common(frontal, FRONTAL_AXES) + _common(lateral, LATERAL_AXES)) / 2


def _common(cube: Tensor, axes: tuple[int, int, int]) -> Tensor:
    return cube.permute(0, 1, *(2 + axis for axis in axes))


def _split(cube: Tensor, axes: tuple[int, int, int]) -> Tensor:
    """Undo ``_common``."""
    return cube.permute(0, 1, *(2 + axes.index(axis) for axis in range(3)))
