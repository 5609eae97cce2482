"""The generator of DuoLift-GAN and DuoLift-CNN.

Zhang and Ying, "DuoLift-GAN: Reconstructing CT from Single-view and Biplanar X-Rays with
Generative Adversarial Networks", arXiv 2411.07941. No code was published.

Two branches lift to cubes. One lifts features of a ResNet-34 at a quarter of the edge and doubles
them twice; the other lifts the projections themselves. All of it, 64 + 64 + 64 + 32 = 224
channels, goes through dropout into a UNet++ with deep supervision, and its outputs through a U-Net.

Readings where the paper is silent or cannot be taken at its word:

* A ResNet-34 has 512 channels at 1/32 only. Here 512 = 64 + 64 + 128 + 256: the maps of the stem
  and the first three stages, resized to 1/4 and concatenated, by one encoder for both views.
* The second branch has 32 channels, which is what 224 leaves.
* "Four encoder, four decoder layers, six nested connections": a UNet++ of four levels.
* The U-Net sees the three supervised cubes; its output passes a ReLU, as in X2CT-GAN.
* A residual block is convolution, IN, ReLU, convolution, IN, plus a 1x1x1 convolution of the input,
  ReLU. Cubes double by linear interpolation. Layer widths of UNet++ (32 to 256) and U-Net (16 to
  128) are ours.

Computed as written, the lifted features alone are 1024 x 32^3 and the dropout's input 224 x 128^3
(1.9 GB). Here convolutions of lifted maps are 2-D convolutions (``orthographic``), and the
dropout's input is made and convolved in parts (``PartwiseConv3d``); both are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets.common import check_images, kept
from TomoRayCore.nets.conv_ops import conv3d, instance_norm, norm_relu
from TomoRayCore.nets.orthographic import RAY_AXES, ViewName, convolve_lifted, resized
from TomoRayCore.nets.resnet import Norm, ResNetFeatures
from TomoRayCore.nets.unetplusplus import PartwiseConv3d, UNet3d, UNetPlusPlus

ENCODER_DEPTH = 34
ENCODER_STAGES = 4
RISING_CHANNELS = (256, 128, 64)
"""Of the first branch's residual blocks at 1/4, 1/2 and the full edge."""

SIDE_CHANNELS = 64
"""Of each of the two coarser cubes when they join at the full edge."""

PROJECTION_CHANNELS = 32
NESTED_CHANNELS = (32, 64, 128, 256)
REFINING_CHANNELS = (16, 32, 64, 128)
DOUBLED_AT_ONCE = 32
"""Channels that are interpolated at a time, to bound memory."""


class DuoLift(nn.Module):
    """One or two radiographs to a volume: (B, V, N, N) to (B, 1, S, S, S), at least 0.

    Images are in [0, 1] and canonical order: row 0 superior, frontal column 0 the patient's
    right, lateral column 0 anterior; D, H, W run from superior, anterior and right.

    Args:
        width: Factor on all channel counts; 1 is the published network.
        input_size: Edge N of the images, a multiple of 16 from 32.
        output_size: Edge S of the volume, a multiple of 8 from 16.
        views: Which views the images are: ``frontal``, ``lateral`` or both in this order.
        dropout: Before the UNet++, in training only.
        norm: Of the ResNet; ``batch`` for pretrained weights, ``instance`` for batches of one.
        checkpointing: In training, compute again for the gradient what lies between the cubes:
            little more than half the memory, a third more time.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for values outside these.
    """

    def __init__(
        self,
        width: float = 1.0,
        input_size: int = 128,
        output_size: int = 128,
        views: Sequence[ViewName] = ("frontal", "lateral"),
        dropout: float = 0.25,
        norm: Norm = "instance",
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.views = tuple(views)
        _check(width, input_size, output_size, self.views, dropout)
        self.input_size, self.output_size = input_size, output_size
        self.view_count = len(self.views)
        self.dropout, self.checkpointing = dropout, checkpointing

        def scaled(channels: Sequence[int]) -> list[int]:
            return [max(1, round(c * width)) for c in channels]

        self.encoder = ResNetFeatures(ENCODER_DEPTH, 1, width, norm, ENCODER_STAGES)
        rising = scaled(RISING_CHANNELS)
        (side,), (flat,) = scaled([SIDE_CHANNELS]), scaled([PROJECTION_CHANNELS])
        features = sum(self.encoder.channels) * self.view_count
        self.rising = nn.ModuleList(
            _ResBlock(a, b) for a, b in zip([features, *rising[:-1]], rising, strict=True)
        )
        self.sides = nn.ModuleList(
            nn.Sequential(nn.Conv3d(c, side, 1), nn.InstanceNorm3d(side), nn.ReLU(inplace=True))
            for c in rising[:-1]
        )
        self.projections = _ResBlock(self.view_count, flat)
        joined = [side, side, rising[-1], flat]
        self.nested = UNetPlusPlus(joined, scaled(NESTED_CHANNELS), checkpointing)
        self.refine = UNet3d(len(NESTED_CHANNELS) - 1, scaled(REFINING_CHANNELS), checkpointing)
        # Above zero, so that no network starts with an output that the ReLU has cut off.
        nn.init.constant_(cast(Tensor, self.refine.head.bias), 0.1)

    def forward(self, images: Tensor, view_matrices: Tensor | None = None) -> Tensor:
        """Return the volume; rays are taken as parallel, so ``view_matrices`` changes nothing."""
        return self.forward_all(images)[0]

    def forward_all(self, images: Tensor) -> list[Tensor]:
        """Return the volume and, shallowest first, the three deeply supervised cubes, for losses.

        All are (B, 1, S, S, S); the supervised cubes may be negative.
        """
        check_images(images, self.view_count, self.input_size)
        coarse, middle, _ = (cast(_ResBlock, block) for block in self.rising)
        quarter = coarse.lifted(self._features(images), self.output_size // 4)
        half = kept(self.checkpointing, middle.doubled, quarter)
        flat = self._by_view(resized(images, self.output_size).unsqueeze(2))
        supervised = self.nested(self._parts(quarter, half, flat))
        return [torch.relu(self.refine(torch.cat(supervised, dim=1))), *supervised]

    def _features(self, images: Tensor) -> dict[ViewName, Tensor]:
        """Return each view's (B, 512, S/4, S/4) of the encoder, which both views share."""
        batch, views = images.shape[:2]
        maps = self.encoder(images.reshape(batch * views, 1, *images.shape[2:]))
        together = torch.cat([resized(m, self.output_size // 4) for m in maps], dim=1)
        return self._by_view(together.view(batch, views, *together.shape[1:]))

    def _by_view(self, maps: Tensor) -> dict[ViewName, Tensor]:
        return dict(zip(self.views, maps.unbind(dim=1), strict=True))

    def _parts(
        self, quarter: Tensor, half: Tensor, flat: Mapping[ViewName, Tensor]
    ) -> list[Callable[[], Tensor]]:
        """Return what makes the 224 channels at the full edge, one group at a time."""
        coarse_side, middle_side = self.sides
        finest = cast(_ResBlock, self.rising[-1])
        cubes = [
            partial(self._side, coarse_side, quarter),
            partial(self._side, middle_side, half),
            partial(finest.doubled, half),
            partial(self.projections.lifted, flat, self.output_size),
        ]
        return [partial(self._dropped, cube) for cube in cubes]

    def _side(self, side: nn.Module, cube: Tensor) -> Tensor:
        return _interpolated(side(cube), self.output_size // cube.shape[-1])

    def _dropped(self, cube: Callable[[], Tensor]) -> Tensor:
        return nn.functional.dropout(cube(), self.dropout, self.training)


class _ResBlock(nn.Module):
    """relu(IN(conv(relu(IN(conv(x))))) + conv1(x)), where x is lifted or doubled on the way."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        whole, rest = divmod(inputs, DOUBLED_AT_ONCE)
        self.first = PartwiseConv3d([DOUBLED_AT_ONCE] * whole + [rest] * (rest > 0), outputs)
        self.second = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv3d(inputs, outputs, 1)

    def doubled(self, cube: Tensor) -> Tensor:
        """Return the block of the cube at twice its edge."""
        finer = (_interpolated(part, 2) for part in torch.split(cube, self.first.channels, dim=1))
        # A 1x1x1 convolution and the interpolation change places without changing the result.
        return self._finish(self.first(finer), lambda: _interpolated(self.skip(cube), 2))

    def lifted(self, maps: Mapping[ViewName, Tensor], depth: int) -> Tensor:
        """Return the block of the views' maps (B, C, S, S), lifted and concatenated."""
        return self._finish(self._first_of_lifted(maps, depth), lambda: self._skip_of_lifted(maps))

    def _first_of_lifted(self, maps: Mapping[ViewName, Tensor], depth: int) -> Tensor:
        convolved = self.first.conv
        kernels = _by_channels(convolved.weight, maps)
        cubes = [
            convolve_lifted(image, kernel, view, depth)
            for (view, image), kernel in zip(maps.items(), kernels, strict=True)
        ]
        return sum(cubes[1:], start=cubes[0]) + _per_channel(convolved.bias)

    def _skip_of_lifted(self, maps: Mapping[ViewName, Tensor]) -> Tensor:
        kernels = _by_channels(self.skip.weight, maps)
        sheets = [
            nn.functional.conv2d(image, kernel[..., 0]).unsqueeze(RAY_AXES[view])
            for (view, image), kernel in zip(maps.items(), kernels, strict=True)
        ]
        return sum(sheets[1:], start=sheets[0]) + _per_channel(self.skip.bias)

    def _finish(self, x: Tensor, shortcut: Callable[[], Tensor]) -> Tensor:
        x = norm_relu(x)
        x = instance_norm(conv3d(x, self.second.weight, self.second.bias))
        return torch.relu_(x + shortcut())


def _by_channels(weight: Tensor, maps: Mapping[ViewName, Tensor]) -> tuple[Tensor, ...]:
    """Split a kernel into the parts that see each of the concatenated maps."""
    return torch.split(weight, [image.shape[1] for image in maps.values()], dim=1)


def _interpolated(cube: Tensor, factor: int) -> Tensor:
    return nn.functional.interpolate(
        cube, scale_factor=float(factor), mode="trilinear", align_corners=False
    )


def _per_channel(bias: Tensor | None) -> Tensor:
    return cast(Tensor, bias).view(1, -1, 1, 1, 1)


def _check(
    width: float, input_size: int, output_size: int, views: tuple[ViewName, ...], dropout: float
) -> None:
    known = (("frontal",), ("lateral",), ("frontal", "lateral"))
    if (
        not 0 < width <= 4
        or input_size < 32
        or input_size % 16
        or output_size < 16
        or output_size % 8
        or views not in known
        or not 0 <= dropout < 1
    ):
        raise InputError(
            "ARCHITECTURE_ARGUMENTS",
            f"Got width {width!r}, input_size {input_size!r}, output_size {output_size!r}, "
            f"views {views!r}, dropout {dropout!r}.",
            "DuoLift takes width in (0, 4], input_size a multiple of 16 from 32, output_size a "
            "multiple of 8 from 16, views frontal, lateral or both in this order, and dropout in "
            "[0, 1).",
        )
