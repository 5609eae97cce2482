"""Lifting of 2-D maps to cubes along parallel rays, and convolutions of lifted maps.

In the network's cube (D, H, W) the frontal film's rows are D and its columns W, so it is lifted
along H; the lateral film's rows are D and its columns H, so it is lifted along W.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError

ViewName = Literal["frontal", "lateral"]

RAY_AXES: dict[str, int] = {"frontal": 3, "lateral": 4}
"""The axis of (B, C, D, H, W) along which each view's rays run."""


def lift(image: Tensor, view: ViewName, depth: int) -> Tensor:
    """Repeat a map along its view's rays: (B, C, D, X) to (B, C, D, H, W), as a view of it.

    Args:
        image: Frontal (B, C, D, W) or lateral (B, C, D, H).
        view: Which of the two.
        depth: Voxels along the rays.
    """
    axis = RAY_AXES[view]
    shape = [*image.shape]
    shape.insert(axis, depth)
    return image.unsqueeze(axis).expand(shape)


def convolve_lifted(image: Tensor, weight: Tensor, view: ViewName, depth: int) -> Tensor:
    """Return the zero-padded 3x3x3 convolution of the lifted map, without lifting it.

    Along the rays the input is constant, so only the first, an inner and the last slice differ:
    each is one 2-D convolution with the kernel summed over the slices it sees.

    Args:
        image: (B, C, D, X) as in ``lift``.
        weight: (C', C, 3, 3, 3).
        view: Which view ``image`` is.
        depth: Voxels along the rays, at least 2.

    Returns:
        (B, C', D, H, W).
    """
    axis = RAY_AXES[view]
    before, here, after = weight.unbind(dim=axis)
    ends_and_inner = [
        nn.functional.conv2d(image, kernel, padding=1).unsqueeze(axis)
        for kernel in (here + after, before + here + after, before + here)
    ]
    first, inner, last = ends_and_inner
    shape = [*inner.shape]
    shape[axis] = depth - 2
    return torch.cat([first, inner.expand(shape), last], dim=axis)


def resized(image: Tensor, edge: int) -> Tensor:
    """Return maps (B, C, S, S) at another edge, smoothed before they shrink, in their own type."""
    if image.shape[-1] == edge:
        return image
    # In float32: antialiasing is not written for the half types.
    small = nn.functional.interpolate(
        image.float(), size=(edge, edge), mode="bilinear", antialias=edge < image.shape[-1]
    )
    return small.to(image.dtype)


def lifted_pair(images: Tensor | None, edge: int) -> tuple[Tensor, Tensor]:
    """Return a frontal and a lateral image (B, 2, N, N) as cubes (B, 1, S, S, S) of an edge.

    Raises:
        InputError: ``BAD_SHAPE`` for anything but such a pair.
    """
    if images is None or images.ndim != 4 or images.shape[1] != 2:
        raise InputError(
            "BAD_SHAPE",
            f"Got images {None if images is None else tuple(images.shape)}.",
            "A conditional discriminator needs (batch, 2, N, N): frontal and lateral.",
        )
    fitting = resized(images, edge)
    return lift(fitting[:, :1], "frontal", edge), lift(fitting[:, 1:], "lateral", edge)
