"""UNet++ and U-Net for volumes, with convolutions that never concatenate their inputs.

Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018,
figure 1: node X(i, j) at level i sees all earlier nodes of its level and the node below and before
it, doubled in size; X(0, 1) to X(0, n) each give a supervised output.

Readings where the papers that use it in 3-D are silent: a node is two 3x3x3 convolutions with
instance norm and ReLU, levels shrink by 2x2x2 maxima, and grow by 2x2x2 transposed convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from TomoRayCore.nets.conv_ops import conv3d, norm_relu


class PartwiseConv3d(nn.Module):
    """A 3x3x3 convolution of concatenated cubes, which are given one by one.

    Equal to ``Conv3d(sum(parts), outputs, 3, padding=1)`` of their concatenation; the cubes are
    convolved and forgotten in turn, so they may come from a generator that makes each when needed.

    Args:
        inputs: Channels of all parts together.
        outputs: Channels of the result.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=1)

    def forward(self, parts: Iterable[Tensor]) -> Tensor:
        total, start = None, 0
        for part in parts:
            weight = self.conv.weight[:, start : start + part.shape[1]]
            bias = self.conv.bias if total is None else None
            start += part.shape[1]
            convolved = conv3d(part, weight, bias)
            # In place: no gradient needs the value of a sum.
            total = convolved if total is None else total.add_(convolved)
            del part, convolved
        if total is None or start != self.conv.in_channels:
            raise ValueError(f"Got {start} channels, not {self.conv.in_channels}.")
        return total


class Node(nn.Module):
    """Convolution, IN, ReLU, twice; the input is a sequence of cubes of one size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = PartwiseConv3d(inputs, outputs)
        self.second = nn.Conv3d(outputs, outputs, 3, padding=1)

    def forward(self, parts: Iterable[Tensor]) -> Tensor:
        x = norm_relu(self.first(parts))
        return norm_relu(conv3d(x, self.second.weight, self.second.bias))


class UNetPlusPlus(nn.Module):
    """Cubes of one size to one-channel cubes, one for each nested decoder, shallowest first.

    With four levels there are four encoder nodes and 3 + 2 + 1 = 6 nested ones, three of which,
    X(0, 1), X(0, 2) and X(0, 3), are supervised.

    Args:
        inputs: Channels of all input cubes together.
        channels: Channels of each level, finest first; the cube's edge must be divisible by
            2 ** (levels - 1), and the coarsest level must be larger than one voxel.
        checkpointing: In training, compute each node again for its gradient instead of keeping
            what is inside.
    """

    def __init__(self, inputs: int, channels: Sequence[int], checkpointing: bool = False) -> None:
        super().__init__()
        levels = len(channels)
        if levels < 2:
            raise ValueError(f"UNet++ needs at least two levels, not {levels}.")
        self.levels, self.checkpointing = levels, checkpointing
        self.nodes, self.rise = nn.ModuleDict(), nn.ModuleDict()
        for level, c in enumerate(channels):
            self.nodes[_name(level, 0)] = Node(inputs if level == 0 else channels[level - 1], c)
            for column in range(1, levels - level):
                # `column` earlier nodes of this level and one from below, brought to c channels.
                self.nodes[_name(level, column)] = Node((column + 1) * c, c)
                self.rise[_name(level, column)] = nn.ConvTranspose3d(channels[level + 1], c, 2, 2)
        self.heads = nn.ModuleList(nn.Conv3d(channels[0], 1, 1) for _ in range(levels - 1))

    def forward(self, parts: Callable[[], Iterable[Tensor]]) -> list[Tensor]:
        """Return the supervised cubes (B, 1, S, S, S).

        Args:
            parts: Gives the input cubes, in order; called again when checkpointing.
        """
        first = self.nodes[_name(0, 0)]
        rows = [[self._run(lambda: first(parts()))]]
        outputs = []
        # Diagonal by diagonal: what a shallower decoder needs is there before the next level.
        for depth in range(1, self.levels):
            shrunk = nn.functional.max_pool3d(rows[depth - 1][0], 2)
            rows.append([self._run(self.nodes[_name(depth, 0)], [shrunk])])
            for level in range(depth - 1, -1, -1):
                rows[level].append(self._nested(level, rows))
            outputs.append(self.heads[depth - 1](rows[0][-1]))
        return outputs

    def _nested(self, level: int, rows: list[list[Tensor]]) -> Tensor:
        key = _name(level, len(rows[level]))
        node, rise = self.nodes[key], self.rise[key]

        def run(below: Tensor, *earlier: Tensor) -> Tensor:
            result: Tensor = node([*earlier, rise(below)])
            return result

        return self._run(run, rows[level + 1][-1], *rows[level])

    def _run(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        if self.checkpointing and torch.is_grad_enabled():
            result: Tensor = checkpoint(function, *arguments, use_reentrant=False)
            return result
        return function(*arguments)


class UNet3d(nn.Module):
    """A plain 3-D U-Net: (B, inputs, S, S, S) to (B, 1, S, S, S), with the nodes of UNet++.

    Args:
        inputs: Channels in.
        channels: Channels of each level, finest first.
    """

    def __init__(self, inputs: int, channels: Sequence[int]) -> None:
        super().__init__()
        steps = list(zip([inputs, *channels[:-1]], channels, strict=True))
        self.down = nn.ModuleList(Node(a, b) for a, b in steps)
        self.rise = nn.ModuleList(nn.ConvTranspose3d(b, a, 2, 2) for a, b in steps[1:])
        self.up = nn.ModuleList(Node(2 * c, c) for c in channels[:-1])
        self.head = nn.Conv3d(channels[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for level, node in enumerate(self.down):
            x = node([x if level == 0 else nn.functional.max_pool3d(x, 2)])
            maps.append(x)
        maps.pop()
        for level in range(len(maps) - 1, -1, -1):
            x = self.up[level]([maps.pop(), self.rise[level](x)])
        volume: Tensor = self.head(x)
        return volume


def _name(level: int, column: int) -> str:
    return f"{level}_{column}"
