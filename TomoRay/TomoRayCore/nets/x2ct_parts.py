"""The parts of X2CT-GAN's generators: a view's branch, the fusing decoder, their sizes.

Ying et al., "X2CT-GAN: Reconstructing CT from Biplanar X-Rays with Generative Adversarial
Networks", CVPR 2019, figures 3-4, with the layer sizes of the authors' published configuration.

A cube is (B, C, D, H, W) in the axes of the volume, in every branch. The published code permutes
cubes between these axes and those of a view, whose depth comes first; here a view's kernels, which
are small, are permuted instead, with equal results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets.blocks import (
    OWN_AXES,
    Axes,
    Conv3dBlock,
    LiftLink,
    Upsample3dBlock,
    add_stretched,
    compress_channels,
    convolved_slices,
    dense_block,
    downsample,
    reordered,
)
from TomoRayCore.nets.common import check_dropout, check_images, kept
from TomoRayCore.nets.conv_ops import conv_to_few, norm_relu

STEM_CHANNELS = 64
GROWTH = 32
DENSE_LAYERS = (6, 12, 24, 16, 6)
CUBE_CHANNELS = 256
DECODER_CHANNELS = (128, 64, 32, 16, 16)
"""Channels of the decoders, from the coarsest cube after the first doubling to the finest."""

EXTRA_CONVOLUTIONS = 2
"""Convolutions after the first of each resolution in a view's decoder; 1 at the last resolution
and in the fusing decoder."""

FRONTAL_AXES: Axes = (1, 0, 2)
"""Order of (H, D, W), in which the frontal view lifts (its depth is H), to get (D, H, W)."""

LATERAL_AXES: Axes = (1, 2, 0)
"""Order of (W, D, H), in which the lateral view lifts (its depth is W), to get (D, H, W)."""


@dataclass(frozen=True)
class Sizes:
    """What the parts of one network agree on.

    Attributes:
        width: Factor on all channel counts, in (0, 4].
        input_size: Edge of the images: a multiple of 32, at least 64.
        output_size: Edge of the volume: ``input_size``, or a half or quarter of it, for which the
            last doublings are left out.
        dense_layers: Layers of the encoder's five dense blocks.
        links: Whether Connection-B exists.
        fused: Whether Connection-C reaches the fusing decoder at every resolution.
        unused_layers: Whether layers that the published code has and no result depends on exist.
        flattened: Whether Connection-A takes the encoder's last map whole instead of its mean.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for other sizes.
    """

    width: float = 1.0
    input_size: int = 128
    output_size: int = 128
    dense_layers: tuple[int, ...] = DENSE_LAYERS
    links: bool = True
    fused: bool = True
    unused_layers: bool = True
    flattened: bool = False

    def __post_init__(self) -> None:
        fits = self.input_size % 32 == 0 and self.input_size >= 64
        halved = self.output_size in (self.input_size, self.input_size // 2, self.input_size // 4)
        if not (0 < self.width <= 4 and fits and halved):
            raise InputError(
                "ARCHITECTURE_ARGUMENTS",
                f"Got width {self.width!r}, input_size {self.input_size!r}, "
                f"output_size {self.output_size!r}.",
                "Give a width in (0, 4], an input_size that is a multiple of 32 and at least 64, "
                "and an output_size equal to it, to its half or to its quarter.",
            )

    @property
    def cube_edge(self) -> int:
        """Edge of the cube that Connection-A makes."""
        return self.input_size // 32

    @property
    def edges(self) -> list[int]:
        """Cube edges of the decoders, coarse to fine."""
        doubled = [self.cube_edge * 2**n for n in range(1, len(DECODER_CHANNELS) + 1)]
        return [edge for edge in doubled if edge <= self.output_size]

    def scaled(self, channels: int) -> int:
        """Return a published channel count at this width."""
        return max(1, round(channels * self.width))

    def channels(self, edge: int) -> int:
        """Return the decoders' channels at a cube edge."""
        return self.scaled(dict(zip(self.edges, DECODER_CHANNELS, strict=False))[edge])

    @property
    def growth(self) -> int:
        """Return the channels that a dense layer adds."""
        return self.scaled(GROWTH)

    def edges_of_stages(self) -> list[int]:
        """Return the edge of each encoder stage's input map."""
        return [self.input_size // 2**n for n in range(len(self.dense_layers))]


class ViewBranch(nn.Module):
    """One view's encoder, links and decoder.

    Args:
        sizes: Of the network.
        axes: ``FRONTAL_AXES`` or ``LATERAL_AXES``.
        dropout: After Connection-A, in training only.
        ends: Whether the branch's own last layers give the result (single view).
    """

    def __init__(self, sizes: Sizes, axes: Axes, dropout: float, ends: bool = False) -> None:
        super().__init__()
        self.sizes, self.axes = sizes, axes
        self.depth_axis = 2 + axes.index(0)
        self.stem = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(1, sizes.scaled(STEM_CHANNELS), 7),
            nn.InstanceNorm2d(sizes.scaled(STEM_CHANNELS)),
            nn.ReLU(inplace=True),
        )
        heard = ends or sizes.fused or sizes.unused_layers
        channels = self._build_encoder(linked=heard and (sizes.links or sizes.unused_layers))
        self.cube_channels = sizes.scaled(CUBE_CHANNELS)
        self.to_cube = nn.Sequential(
            nn.Linear(
                channels * sizes.cube_edge**2 if sizes.flattened else channels,
                self.cube_channels * sizes.cube_edge**3,
            ),
            nn.Dropout(dropout),
            nn.ReLU(),
        )
        if heard:
            self.decoder = Decoder(
                sizes,
                EXTRA_CONVOLUTIONS,
                doubled=sizes.links,
                ends=ends or sizes.unused_layers,
            )

    def _build_encoder(self, linked: bool) -> int:
        """Make the stages and links; return the channels of the last map."""
        sizes = self.sizes
        channels, growth = sizes.scaled(STEM_CHANNELS), sizes.growth
        self.stages, self.links = nn.ModuleList(), nn.ModuleDict()
        for edge, layers in zip(sizes.edges_of_stages(), sizes.dense_layers, strict=True):
            if linked and edge in sizes.edges:
                self.links[str(edge)] = LiftLink(channels, sizes.channels(edge))
            stage = [downsample(channels), dense_block(channels, layers, growth)]
            channels += layers * growth
            if len(self.stages) < len(sizes.dense_layers) - 1:
                stage.append(compress_channels(channels))
                channels //= 2
            self.stages.append(nn.Sequential(*stage))
        return channels

    def encode(
        self, image: Tensor, before_stage: Callable[[int, Tensor], Tensor] | None = None
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """Return the first cube (Connection-A), and the 2-D maps by edge.

        Args:
            image: (B, 1, S, S).
            before_stage: Changes the map that enters a stage; the links take it unchanged.
        """
        x = self.stem(image)
        maps = {}
        for number, stage in enumerate(self.stages):
            maps[x.shape[-1]] = x
            x = stage(x if before_stage is None else before_stage(number, x))
        x = self.to_cube(x.flatten(1) if self.sizes.flattened else x.mean(dim=(2, 3)))
        cube = reordered(x.view(-1, self.cube_channels, *[self.sizes.cube_edge] * 3), self.axes)
        # Fast on CPUs, and every later cube inherits it; elsewhere the weights' layout decides.
        layout = torch.channels_last_3d if cube.device.type == "cpu" else torch.contiguous_format
        return cube.contiguous(memory_format=layout), maps

    def start(self, cube: Tensor) -> Tensor:
        """Double the cube of Connection-A."""
        started: Tensor = self.decoder.first(cube, self.axes)
        return started

    def join(self, edge: int, cube: Tensor, image: Tensor) -> Tensor:
        """Return the cube compressed together with the lifted 2-D map (Connection-B)."""
        block = cast(Conv3dBlock, self.decoder.compress[str(edge)])
        if not self.sizes.links:
            alone: Tensor = block(cube, self.axes)
            return alone
        link = cast(LiftLink, self.links[str(edge)])
        kernel = cast(nn.Conv3d, block[0]).weight[:, cube.shape[1] :]
        lifted = reordered(convolved_slices(link.slices(image), kernel), self.axes)
        return norm_relu(add_stretched(block.first_part(cube, self.axes), lifted, self.depth_axis))

    def grow(self, edge: int, cube: Tensor) -> Tensor:
        """Return the cube of the next resolution."""
        for block in cast(nn.Sequential, self.decoder.extra[str(edge)]):
            cube = block(cube, self.axes)
        grown: Tensor = self.decoder.rise[str(edge)](cube, self.axes)
        return grown

    def end(self, edge: int, cube: Tensor) -> Tensor:
        """Return the branch's own volume."""
        for block in cast(nn.Sequential, self.decoder.extra[str(edge)]):
            cube = block(cube, self.axes)
        return self.decoder.volume(cube, self.axes)


class Decoder(nn.Module):
    """The layers of one decoder, by cube edge.

    Args:
        sizes: Of the network.
        extra: Convolutions after the compressing one at each resolution but the last, which has 1.
        doubled: Whether the compressing convolutions take two cubes' channels.
        ends: Whether the last convolution and the 7x7x7 output layer exist.
        output: Whether that output layer exists where ``ends``.
    """

    def __init__(
        self, sizes: Sizes, extra: int, doubled: bool, ends: bool = True, output: bool = True
    ) -> None:
        super().__init__()
        edges = sizes.edges
        self.first = Upsample3dBlock(sizes.scaled(CUBE_CHANNELS), sizes.channels(edges[0]))
        self.compress, self.extra, self.rise = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for edge in edges:
            c = sizes.channels(edge)
            self.compress[str(edge)] = Conv3dBlock(2 * c if doubled else c, c)
            if edge < edges[-1]:
                self.extra[str(edge)] = nn.Sequential(*(Conv3dBlock(c, c) for _ in range(extra)))
                self.rise[str(edge)] = Upsample3dBlock(c, sizes.channels(2 * edge))
            elif ends:
                self.extra[str(edge)] = nn.Sequential(Conv3dBlock(c, c))
        if ends and output:
            last = nn.Conv3d(sizes.channels(edges[-1]), 1, 7, padding=3)
            self.output = nn.Sequential(last, nn.ReLU())

    def volume(self, cube: Tensor, axes: Axes = OWN_AXES) -> Tensor:
        """Return the output layer's (B, 1, D, H, W)."""
        last = cast(nn.Conv3d, self.output[0])
        return conv_to_few(cube, reordered(last.weight, axes), last.bias).relu()


class FusionDecoder(Decoder):
    """The decoder that Connection-C feeds; what its methods hand on is a cube."""

    def __init__(self, sizes: Sizes, output: bool = True) -> None:
        super().__init__(sizes, extra=1, doubled=sizes.fused, output=output)

    def begin(self, average: Tensor) -> Any:
        """Double the views' average of Connection-A."""
        return self.first(average)

    def hear(self, edge: int, average: Tensor) -> Any:
        """Return what the views' average adds to ``compress`` (Connection-C)."""
        return cast(Conv3dBlock, self.compress[str(edge)]).first_part(average)

    def join(self, edge: int, cube: Any, heard: Any) -> Any:
        """Return the cube compressed, with what ``hear`` returned, and convolved."""
        block = cast(Conv3dBlock, self.compress[str(edge)])
        cube = block(cube) if heard is None else norm_relu(_sum(heard, block.second_part(cube)))
        return self.extra[str(edge)](cube)

    def grow(self, edge: int, cube: Any) -> Any:
        """Return the cube of the next resolution."""
        return self.rise[str(edge)](cube)

    def end(self, cube: Any) -> Tensor:
        """Return the volume."""
        return self.volume(cube)


class BiplanarGenerator(nn.Module):
    """Two views' branches, averaged at every resolution for a fusing decoder.

    Args:
        sizes: Of the network.
        dropout: After Connection-A, in training only.
        fusion: The fusing decoder.
        feed_average_back: Whether the average replaces both views' cubes at every resolution.
        feed_cube_back: Whether it already does so with the cube of Connection-A.
        checkpointing: Whether training computes inner tensors again on the way back.
    """

    view_count = 2

    def __init__(
        self,
        sizes: Sizes,
        dropout: float,
        fusion: FusionDecoder,
        feed_average_back: bool,
        feed_cube_back: bool,
        checkpointing: bool,
    ) -> None:
        super().__init__()
        check_dropout(dropout)
        self.sizes, self.checkpointing = sizes, checkpointing
        self.input_size, self.output_size = sizes.input_size, sizes.output_size
        self.feed_average_back, self.feed_cube_back = feed_average_back, feed_cube_back
        self.views = nn.ModuleList(
            ViewBranch(sizes, axes, dropout) for axes in (FRONTAL_AXES, LATERAL_AXES)
        )
        self.fusion = fusion

    def forward(self, images: Tensor, view_matrices: Tensor | None = None) -> Tensor:
        """Return the volume. Views are lifted orthographically: ``view_matrices`` have no use."""
        check_images(images, 2, self.input_size)
        cubes, maps = [], []
        for number in range(2):
            cube, maps_of_view = self.encode(number, images[:, number : number + 1])
            cubes.append(cube)
            maps.append(maps_of_view)
        return self._decode(cubes, maps)

    def encode(self, number: int, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Return one view's cube of Connection-A and its 2-D maps by edge."""
        return cast(ViewBranch, self.views[number]).encode(image)

    def _decode(self, cubes: list[Tensor], maps: list[dict[int, Tensor]]) -> Tensor:
        average = (cubes[0] + cubes[1]) / 2
        fused = self.fusion.begin(average)
        views = [cast(ViewBranch, view) for view in self.views]
        if self.sizes.fused:
            own = [average, average] if self.feed_cube_back else cubes
            cubes = [view.start(cube) for view, cube in zip(views, own, strict=True)]
        for edge in self.sizes.edges:
            heard = self._views_at(edge, views, cubes, maps) if self.sizes.fused else None
            if edge > self.sizes.edges[0]:
                fused = kept(self.checkpointing, self.fusion.grow, edge // 2, fused)
            fused = kept(self.checkpointing, self.fusion.join, edge, fused, heard)
        return self.fusion.end(fused)

    def _views_at(
        self,
        edge: int,
        views: list[ViewBranch],
        cubes: list[Tensor],
        maps: list[dict[int, Tensor]],
    ) -> Any:
        """Take both views through one resolution; return what the fusing decoder hears.

        ``cubes`` are replaced by those of the next resolution. They leave the list before they are
        used, so that at most three cubes of a resolution are in memory at a time.
        """
        joined = [
            kept(self.checkpointing, view.join, edge, cubes.pop(0), own.pop(edge))
            for view, own in zip(views, maps, strict=True)
        ]
        last = edge == self.sizes.edges[-1]
        if torch.is_grad_enabled() or not (last or self.feed_average_back):
            average = (joined[0] + joined[1]) / 2
        else:
            average = joined[0].add_(joined.pop()).mul_(0.5)
        if not last:
            own_cubes = [average, average] if self.feed_average_back else joined
            cubes += [
                kept(self.checkpointing, view.grow, edge, cube)
                for view, cube in zip(views, own_cubes, strict=True)
            ]
        return self.fusion.hear(edge, average)


def _sum(first: Tensor, second: Tensor) -> Tensor:
    return first + second if torch.is_grad_enabled() else first.add_(second)
