"""2DCNN: one radiograph to a volume by a 2-D network whose output channels are depth.

The baseline of Ying et al., CVPR 2019, after Henzler et al., "Single-image Tomography: 3D Volumes
from 2D Cranial X-Rays", Eurographics 2018, as the former's authors reproduced it (9,068,480
weights). Batch norms; the stem halves 256 x 256 images; five resolutions of residual blocks; skips
are added; depthwise transposed convolutions go back up; no activation at the end.

Departures: ``width`` scales all channel counts but the depth; the stem keeps the size where
``input_size`` equals ``output_size``.
"""

from __future__ import annotations

from contextlib import nullcontext
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from TomoRayCore.errors import InputError
from TomoRayCore.nets.common import check_images

STEM_CHANNELS = 64
FIRST_BLOCKS = (128, 128, 128, 256)
CHANNELS = 256
DOWN_BLOCKS = (3, 3, 3, 5)
"""Residual blocks after each halving."""


class CNN2D(nn.Module):
    """One frontal radiograph to a volume: (B, V, I, I) to (B, 1, S, S, S).

    Only the first image is seen. Output channel n is the n-th plane along H, from anterior.

    Args:
        width: Factor on all channel counts; 1 is the published network.
        input_size: Edge I of the images: ``output_size`` or, as published, twice that.
        output_size: Edge S of the volume: a multiple of 16, at least 32.
        view_count: Images of an examination.
        checkpointing: Whether training computes inner tensors again on the way back. Running
            statistics are those of the first time alone.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS``.
    """

    def __init__(
        self,
        width: float = 1.0,
        input_size: int = 256,
        output_size: int = 128,
        view_count: int = 1,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        good = output_size % 16 == 0 and output_size >= 32
        good = good and input_size in (output_size, 2 * output_size)
        if not (good and 0 < width <= 4 and view_count >= 1):
            raise InputError(
                "ARCHITECTURE_ARGUMENTS",
                f"Got width {width!r}, input_size {input_size!r}, output_size {output_size!r}, "
                f"view_count {view_count!r}.",
                "Give a width in (0, 4], an output_size that is a multiple of 16 and at least 32, "
                "and an input_size equal to it or twice that.",
            )
        self.input_size, self.output_size, self.view_count = input_size, output_size, view_count
        self.checkpointing = checkpointing
        stem, *first = (max(2, round(n * width)) for n in (STEM_CHANNELS, *FIRST_BLOCKS))
        wide = first[-1]
        entry: list[nn.Module] = [conv2d(1, stem, 7, input_size // output_size)]
        entry += [Residual(a, b) for a, b in pairwise([stem, *first])]
        self.entry = nn.Sequential(*entry)
        self.down = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), *(Residual(wide, wide) for _ in range(blocks)))
            for blocks in DOWN_BLOCKS
        )
        # The deepest resolution's blocks are followed by the way up at once.
        self.rises = nn.ModuleList(
            nn.Sequential(*([] if n == 0 else [Residual(wide, wide)]), doubled(wide))
            for n in range(len(DOWN_BLOCKS))
        )
        self.tail = nn.Sequential(
            conv2d(wide, wide, 1, 1), nn.Conv2d(wide, output_size, 1, bias=False)
        )
        _initialise(self)

    def forward(self, images: Tensor, view_matrices: Tensor | None = None) -> Tensor:
        """Return the volume. The view is lifted orthographically: ``view_matrices`` have no use."""
        check_images(images, self.view_count, self.input_size)
        x = self._kept(self.entry, images[:, :1])
        maps = []
        for block in self.down:
            maps.append(x)
            x = self._kept(block, x)
        for block in self.rises:
            x = maps.pop() + self._kept(block, x)
        planes = cast(Tensor, self.tail(x))  # (B, H, D, W)
        return planes.transpose(1, 2)[:, None]

    def _kept(self, block: nn.Module, x: Tensor) -> Tensor:
        if not (self.checkpointing and torch.is_grad_enabled()):
            return cast(Tensor, block(x))
        return cast(
            Tensor,
            checkpoint(
                block,
                x,
                use_reentrant=False,
                context_fn=lambda: (nullcontext(), Unremembered(block)),
            ),
        )


class Unremembered:
    """A context in which a network's batch norms leave their running statistics alone.

    They are passed to the norms all the same: a recomputation must save what the first one saved.
    """

    def __init__(self, net: nn.Module) -> None:
        self._norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        self._usual: list[tuple[float | None, Tensor | None]] = []

    def __enter__(self) -> None:
        self._usual = [(norm.momentum, norm.num_batches_tracked) for norm in self._norms]
        for norm in self._norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None

    def __exit__(self, *_: object) -> None:
        for norm, usual in zip(self._norms, self._usual, strict=True):
            norm.momentum, norm.num_batches_tracked = usual


class Residual(nn.Module):
    """Convolutions 1x1, 3x3, 3x3, added to the input, which is projected where channels change."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = inputs // 2 if inputs == outputs else inputs
        self.layers = nn.Sequential(
            conv2d(inputs, middle, 1, 1),
            conv2d(middle, middle, 3, 1),
            conv2d(middle, outputs, 3, 1),
        )
        self.skip = nn.Identity() if inputs == outputs else conv2d(inputs, outputs, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.skip(x) + self.layers(x))


def conv2d(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """Return convolution without bias, batch norm, ReLU."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def doubled(channels: int) -> nn.ConvTranspose2d:
    """Return the depthwise transposed convolution that doubles height and width."""
    return nn.ConvTranspose2d(channels, channels, 4, 2, 1, groups=channels, bias=False)


def _initialise(net: nn.Module) -> None:
    """Set weights to N(0, 0.02), those of batch norms to N(1, 0.02), as released."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
