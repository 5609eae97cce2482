"""Turning a network into a smoother, in which an input's place can be followed to the output."""

from __future__ import annotations

import torch
from torch import nn

NORMS = (nn.InstanceNorm2d, nn.InstanceNorm3d, nn.GroupNorm, nn.BatchNorm2d)


def make_monotone(net: nn.Module) -> nn.Module:
    """Take out the layers that are norms, and make all weights positive averages.

    More of an input pixel then gives more of every voxel that sees it, and most to the nearest;
    norms that are not layers scale and shift whole channels, which moves no maximum.
    """
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, NORMS):
                setattr(module, name, nn.Identity())
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.abs_()
                parameter /= parameter.sum() / parameter.shape[0]
            else:
                parameter.zero_()
    return net.double().eval()


def place_moved_most(net: nn.Module, view: int, size: int) -> tuple[float, float]:
    """Brighten a square at (row, column) = (3/4, 1/4) of one image; say where the volume changed.

    Returns:
        Row and column of the largest change's mean along that view's rays, as parts of the edge.
    """
    images = torch.rand(1, 2, size, size, generator=torch.Generator().manual_seed(1)).double()
    other = images.clone()
    edge = size // 16
    other[0, view, 3 * size // 4 : 3 * size // 4 + edge, size // 4 : size // 4 + edge] += 1.0
    with torch.no_grad():
        change = (net(other) - net(images)).mean(dim=3 + view)[0, 0]
    row, column = divmod(int(change.argmax()), change.shape[1])
    return (row + 0.5) / change.shape[0], (column + 0.5) / change.shape[1]
