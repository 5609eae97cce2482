"""UNet++ and U-Net for volumes, with convolutions that never concatenate their inputs.

Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018,
figure 1: node X(i, j) at level i sees all earlier nodes of its level and the node below and before
it, doubled in size; X(0, 1) to X(0, n) each give a supervised output.

Readings where the papers that use it in 3-D are silent: a node is two 3x3x3 convolutions with
instance norm and ReLU, levels shrink by 2x2x2 maxima, and grow by 2x2x2 transposed convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from TomoRayCore.nets.common import kept
from TomoRayCore.nets.conv_ops import conv3d, norm_relu

Part = Tensor | Callable[[], Tensor]
"""A cube, or what makes it when it is needed."""


class PartwiseConv3d(nn.Module):
    """A 3x3x3 convolution of concatenated cubes, which are given one by one.

    Equal to ``Conv3d(sum(channels), outputs, 3, padding=1)`` of their concatenation; the cubes are
    convolved and forgotten in turn.

    Args:
        channels: Of each part.
        outputs: Channels of the result.
    """

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.channels = list(channels)
        self.conv = nn.Conv3d(sum(channels), outputs, 3, padding=1)

    def forward(self, parts: Iterable[Part], briefly: bool = False) -> Tensor:
        """Return the convolution.

        Args:
            parts: In order.
            briefly: Whether parts that are made are made again for the gradient, not kept.

        Raises:
            ValueError: When there are more or fewer parts than channel counts.
        """
        weights = torch.split(self.conv.weight, self.channels, dim=1)
        total: Tensor | None = None
        for part, weight in zip(parts, weights, strict=True):
            bias = self.conv.bias if total is None else None
            convolved = kept(briefly and callable(part), _convolved, part, weight, bias)
            # In place: no gradient needs the value of a sum.
            total = convolved if total is None else total.add_(convolved)
            del part, convolved
        if total is None:
            raise ValueError("A convolution of no parts.")
        return total


class Node(nn.Module):
    """Convolution, IN, ReLU, twice; the input is a sequence of cubes of one size.

    Args:
        channels: Of each of these.
        outputs: Channels of the result.
    """

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.first = PartwiseConv3d(channels, outputs)
        self.second = nn.Conv3d(outputs, outputs, 3, padding=1)

    def forward(self, parts: Iterable[Part], briefly: bool = False) -> Tensor:
        """``briefly`` computes again for the gradient what lies inside."""
        result: Tensor = kept(briefly, self._finish, self.first(parts, briefly))
        return result

    def _finish(self, x: Tensor) -> Tensor:
        return norm_relu(conv3d(norm_relu(x), self.second.weight, self.second.bias))


class UNetPlusPlus(nn.Module):
    """Cubes of one size to one-channel cubes, one for each nested decoder, shallowest first.

    With four levels there are four encoder nodes and 3 + 2 + 1 = 6 nested ones, three of which,
    X(0, 1), X(0, 2) and X(0, 3), are supervised.

    Args:
        inputs: Channels of each input cube.
        channels: Channels of each level, finest first; the cube's edge must be divisible by
            2 ** (levels - 1), and the coarsest level must be larger than one voxel.
        checkpointing: In training, compute again for the gradient what lies inside nodes.
    """

    def __init__(
        self, inputs: Sequence[int], channels: Sequence[int], checkpointing: bool = False
    ) -> None:
        super().__init__()
        levels = len(channels)
        if levels < 2:
            raise ValueError(f"UNet++ needs at least two levels, not {levels}.")
        self.levels, self.checkpointing = levels, checkpointing
        self.nodes, self.rise = nn.ModuleDict(), nn.ModuleDict()
        for level, c in enumerate(channels):
            self.nodes[_name(level, 0)] = Node([channels[level - 1]] if level else inputs, c)
            for column in range(1, levels - level):
                # `column` earlier nodes of this level and one from below, brought to c channels.
                self.nodes[_name(level, column)] = Node((column + 1) * [c], c)
                self.rise[_name(level, column)] = nn.ConvTranspose3d(channels[level + 1], c, 2, 2)
        self.heads = nn.ModuleList(nn.Conv3d(channels[0], 1, 1) for _ in range(levels - 1))

    def forward(self, parts: Iterable[Part]) -> list[Tensor]:
        """Return the supervised cubes (B, 1, S, S, S) of the input cubes."""
        rows = [[self.nodes[_name(0, 0)](parts, self.checkpointing)]]
        outputs = []
        # Diagonal by diagonal: what a shallower decoder needs is there before the next level.
        for depth in range(1, self.levels):
            shrunk = nn.functional.max_pool3d(rows[depth - 1][0], 2)
            rows.append([self.nodes[_name(depth, 0)]([shrunk], self.checkpointing)])
            for level in range(depth - 1, -1, -1):
                key = _name(level, depth - level)
                below = partial(self.rise[key], rows[level + 1][-1])
                rows[level].append(self.nodes[key]([*rows[level], below], self.checkpointing))
            outputs.append(self.heads[depth - 1](rows[0][-1]))
        return outputs


class UNet3d(nn.Module):
    """A plain 3-D U-Net: (B, inputs, S, S, S) to (B, 1, S, S, S), with the nodes of UNet++.

    Args:
        inputs: Channels in.
        channels: Channels of each level, finest first.
        checkpointing: As for ``UNetPlusPlus``.
    """

    def __init__(self, inputs: int, channels: Sequence[int], checkpointing: bool = False) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        steps = list(zip([inputs, *channels[:-1]], channels, strict=True))
        self.down = nn.ModuleList(Node([a], b) for a, b in steps)
        self.rise = nn.ModuleList(nn.ConvTranspose3d(b, a, 2, 2) for a, b in steps[1:])
        self.up = nn.ModuleList(Node([c, c], c) for c in channels[:-1])
        self.head = nn.Conv3d(channels[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for level, node in enumerate(self.down):
            x = node([nn.functional.max_pool3d(x, 2) if level else x], self.checkpointing)
            maps.append(x)
        maps.pop()
        for level in range(len(maps) - 1, -1, -1):
            x = self.up[level]([maps.pop(), partial(self.rise[level], x)], self.checkpointing)
        volume: Tensor = self.head(x)
        return volume


def _convolved(part: Part, weight: Tensor, bias: Tensor | None) -> Tensor:
    return conv3d(part() if callable(part) else part, weight, bias)


def _name(level: int, column: int) -> str:
    return f"{level}_{column}"
