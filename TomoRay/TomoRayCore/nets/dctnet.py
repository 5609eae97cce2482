"""The generators of DCT-Net.

Zhang et al., "DCT-Net: Dual-branch CT Reconstruction from Orthogonal X-rays with Diffusion Model
and Contrastive Learning", MICCAI 2025. No code was published.

Two generators of one architecture and separate weights: G_Y sees the radiographs, G_X the same
radiographs with bone suppressed. In training a perceptual loss ties their volumes together; what
users get is G_Y's. In each, one encoder serves both views, a fully connected layer turns their
features into the first cube, and every decoder stage is a transposed convolution and self-attention
(DC_l = SA(Deconv(DC_{l-1}))) with X2CT-GAN's skip connections.

Readings where the paper is silent: the encoder, the skip connections and the decoder's channels are
X2CT-GAN's; both views' features of 704 channels give 128 x 4^3; each view has skip connections of
its own, and both lifted maps are concatenated to the cube. Attention is full up to 16^3 and axial
or linear above, where full attention would need the square of 32^3 to 128^3 weights.

With this reading the two generators have 60,644,930 parameters; the paper states 60.70 M.
"""

from __future__ import annotations

from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets.attention import SelfAttention
from TomoRayCore.nets.blocks import (
    Axes,
    Conv3dBlock,
    LiftLink,
    Upsample3dBlock,
    add_stretched,
    compress_channels,
    convolved_slices,
    dense_block,
    downsample,
    initialise,
    reordered,
)
from TomoRayCore.nets.common import check_dropout, check_images, kept
from TomoRayCore.nets.conv_ops import conv_to_few, norm_relu
from TomoRayCore.nets.x2ct_parts import FRONTAL_AXES, GROWTH, LATERAL_AXES, STEM_CHANNELS, Sizes

AttentionAbove = Literal["axial", "linear", "none"]

SEED_CHANNELS = 128
"""Of the first cube."""

FULL_ATTENTION_EDGE = 16
"""Largest cube in which every voxel looks at every other one."""


class DCTNet(nn.Module):
    """Two radiographs to a volume: (B, 2, N, N) to (B, 1, S, S, S), at least 0.

    Images are frontal and lateral in [0, 1] and canonical order: row 0 superior, frontal column 0
    the patient's right, lateral column 0 anterior; D, H, W run from superior, anterior and right.

    ``forward`` uses ``generator_y`` alone; ``forward_pair`` trains both.

    Args:
        width: Factor on all channel counts.
        input_size: Edge N, a multiple of 32 from 64.
        output_size: Edge S: N, a half or a quarter of it.
        attention: In cubes above 16^3: ``axial`` or ``linear``; ``none`` leaves out all attention
            (the paper's ablation).
        dual_branch: Whether ``generator_x`` exists; without it, the paper's ablation.
        dropout: After the fully connected layer, in training only.
        checkpointing: Whether training computes each decoder stage again for its gradient.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for values outside these.
    """

    view_count = 2

    def __init__(
        self,
        width: float = 1.0,
        input_size: int = 128,
        output_size: int = 128,
        attention: AttentionAbove = "axial",
        dual_branch: bool = True,
        dropout: float = 0.5,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        sizes = Sizes(width, input_size, output_size)
        check_dropout(dropout)
        if attention not in get_args(AttentionAbove):
            raise InputError(
                "ARCHITECTURE_ARGUMENTS",
                f"Got attention {attention!r}.",
                f"DCT-Net takes {', '.join(get_args(AttentionAbove))}.",
            )
        self.input_size, self.output_size = input_size, output_size
        self.generator_y = _Generator(sizes, attention, dropout, checkpointing)
        if dual_branch:
            self.generator_x = _Generator(sizes, attention, dropout, checkpointing)
        self.dual_branch = dual_branch

    def forward(self, images: Tensor, view_matrices: Tensor | None = None) -> Tensor:
        """Return G_Y's volume; rays are taken as parallel, ``view_matrices`` change nothing."""
        check_images(images, 2, self.input_size)
        volume: Tensor = self.generator_y(images)
        return volume

    def forward_pair(self, images_y: Tensor, images_x: Tensor) -> tuple[Tensor, Tensor]:
        """Return G_Y's volume of the radiographs and G_X's of the bone-suppressed ones.

        Raises:
            InputError: ``BRANCH_MISSING`` when built without ``dual_branch``.
        """
        if not self.dual_branch:
            raise InputError(
                "BRANCH_MISSING",
                "This DCT-Net has one branch and cannot take bone-suppressed images.",
                "Build it with dual_branch: true, or train it without them.",
            )
        check_images(images_x, 2, self.input_size)
        return self(images_y), self.generator_x(images_x)


class _Generator(nn.Module):
    """G_Y or G_X."""

    def __init__(
        self, sizes: Sizes, attention: AttentionAbove, dropout: float, checkpointing: bool
    ) -> None:
        super().__init__()
        self.sizes, self.checkpointing = sizes, checkpointing
        self.encoder = _Encoder(sizes)
        self.seed_channels = sizes.scaled(SEED_CHANNELS)
        self.to_cube = nn.Sequential(
            nn.Linear(2 * self.encoder.channels[-1], self.seed_channels * sizes.cube_edge**3),
            nn.Dropout(dropout),
            nn.ReLU(),
        )
        self.stages = nn.ModuleDict()
        channels, last = self.seed_channels, sizes.edges[-1]
        stage_edges = sizes.edges_of_stages()
        for edge in sizes.edges:
            map_channels = self.encoder.channels[stage_edges.index(edge)]
            extra = 1 if edge == last else 2
            self.stages[str(edge)] = _Stage(
                channels, map_channels, sizes.channels(edge), _kind(edge, attention), extra
            )
            channels = sizes.channels(edge)
        self.head = nn.Conv3d(channels, 1, 7, padding=3)
        initialise(self)
        # Above zero, so that no network starts with an output that the ReLU has cut off.
        nn.init.constant_(cast(Tensor, self.head.bias), 0.1)

    def forward(self, images: Tensor) -> Tensor:
        frontal = self.encoder(images[:, :1])
        lateral = self.encoder(images[:, 1:])
        means = [maps.pop(0).mean(dim=(2, 3)) for maps in (frontal, lateral)]
        seed = self.to_cube(torch.cat(means, dim=1))
        cube = seed.view(-1, self.seed_channels, *[self.sizes.cube_edge] * 3)
        edges_of_maps = self.sizes.edges_of_stages()[::-1]
        by_edge = dict(zip(edges_of_maps, zip(frontal, lateral, strict=True), strict=True))
        for edge in self.sizes.edges:
            cube = kept(self.checkpointing, self.stages[str(edge)], cube, *by_edge.pop(edge))
        return conv_to_few(cube, self.head.weight, self.head.bias).relu()


class _Encoder(nn.Module):
    """X2CT-GAN's DenseNet: (B, 1, N, N) to the maps that its stages take and leave, last first.

    Attributes:
        channels: Of the map that each stage takes, and of the last one's result.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        channels, growth = sizes.scaled(STEM_CHANNELS), sizes.scaled(GROWTH)
        self.stem = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(1, channels, 7),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.ModuleList()
        self.channels = [channels]
        for number, layers in enumerate(sizes.dense_layers):
            stage = [downsample(channels), dense_block(channels, layers, growth)]
            channels += layers * growth
            if number < len(sizes.dense_layers) - 1:
                stage.append(compress_channels(channels))
                channels //= 2
            self.stages.append(nn.Sequential(*stage))
            self.channels.append(channels)

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = [self.stem(image)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[::-1]


class _Stage(nn.Module):
    """Transposed convolution, self-attention, both views' lifted maps, convolutions."""

    def __init__(
        self,
        inputs: int,
        map_channels: int,
        outputs: int,
        kind: Literal["full", "axial", "linear", "none"],
        extra: int,
    ) -> None:
        super().__init__()
        self.rise = Upsample3dBlock(inputs, outputs)
        self.attention = nn.Identity() if kind == "none" else SelfAttention(outputs, kind)
        self.links = nn.ModuleList(LiftLink(map_channels, outputs) for _ in range(2))
        self.compress = Conv3dBlock(3 * outputs, outputs)
        self.extra = nn.Sequential(*(Conv3dBlock(outputs, outputs) for _ in range(extra)))

    def forward(self, cube: Tensor, frontal: Tensor, lateral: Tensor) -> Tensor:
        """(B, C, S/2, S/2, S/2) and maps (B, C', S, S) to (B, C'', S, S, S)."""
        cube = self.attention(self.rise(cube))
        mixed = self.compress.first_part(cube)
        for number, (image, axes) in enumerate([(frontal, FRONTAL_AXES), (lateral, LATERAL_AXES)]):
            mixed = self._add_lifted(mixed, number, image, axes)
        result: Tensor = self.extra(norm_relu(mixed))
        return result

    def _add_lifted(self, mixed: Tensor, number: int, image: Tensor, axes: Axes) -> Tensor:
        """Add what ``compress`` makes of a view's lifted map, whose inner slices are equal."""
        weight = cast(nn.Conv3d, self.compress[0]).weight
        kernel = torch.split(weight, weight.shape[0], dim=1)[1 + number]
        depth_first = reordered(kernel, (axes.index(0), axes.index(1), axes.index(2)))
        slices = cast(LiftLink, self.links[number]).slices(image)
        lifted = reordered(convolved_slices(slices, depth_first), axes)
        return add_stretched(mixed, lifted, 2 + axes.index(0))


def _kind(edge: int, above: AttentionAbove) -> Literal["full", "axial", "linear", "none"]:
    return above if edge > FULL_ATTENTION_EDGE or above == "none" else "full"
