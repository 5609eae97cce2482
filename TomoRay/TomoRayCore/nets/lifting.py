"""Sampling of 2-D feature maps at the places where points in space are seen.

Points are (x, y, z) in the network's cube: x from the patient's right to left, y from anterior to
posterior, z from superior to inferior, each -1 to 1 between the cube's faces. A view's 3 x 4 matrix
sends (x, y, z, 1) to (column * w, row * w, w) on its film, -1 to 1 between the edges of the field;
w is positive in front of the source. See ``TomoRayCore.network_io.view_matrices``.

Orthographic lifting is the case of w = 1: frontal columns are x, lateral columns are y, rows z.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor

from TomoRayCore.errors import InputError
from TomoRayCore.network_io import orthographic_matrices

Axis = Literal["axial", "coronal", "sagittal"]

SLICE_AXES: dict[str, tuple[int, int, int]] = {
    "axial": (2, 1, 0),
    "coronal": (1, 2, 0),
    "sagittal": (0, 2, 1),
}
"""By plane: the coordinate (of x, y, z) that is fixed, the one along rows, the one along columns."""

NEAREST = 1e-3
"""Smallest w of a point that is seen, in units of the isocentre's distance from the source."""

FAR_OUTSIDE = 4.0
"""Film coordinate of points that are not seen: beyond every field, so zeros are sampled."""


def voxel_centres(size: int, device: torch.device | None = None) -> Tensor:
    """Return (size,): the coordinates of voxel centres along one edge of the cube."""
    return (2 * torch.arange(size, device=device, dtype=torch.float32) + 1) / size - 1


def cube_points(size: int, first: int, last: int, device: torch.device | None = None) -> Tensor:
    """Return (N, 3): the centres of voxels ``first`` to ``last`` - 1 of a cube of ``size``^3.

    Voxels are counted in the order of a flattened (D, H, W) array.
    """
    centres = voxel_centres(size, device)
    index = torch.arange(first, last, device=device)
    x, y, z = index % size, index // size % size, index // size**2
    return torch.stack([centres[x], centres[y], centres[z]], dim=-1)


def slice_points(
    axis: Axis,
    positions: Tensor,
    size: int,
    window: tuple[float, float, float] = (0.0, 0.0, 1.0),
) -> Tensor:
    """Return (N, size, size, 3): a lattice of points on each of N slices.

    Args:
        axis: ``axial`` slices have rows y and columns x, ``coronal`` z and x, ``sagittal`` z and y.
        positions: (N,) coordinates of the slices along the axis that they cut.
        size: Points along an edge, each in the middle of a cell.
        window: (row, column, half extent): the square seen; the default is the whole slice.
    """
    fixed, down, along = SLICE_AXES[axis]
    cells = voxel_centres(size, positions.device)
    points = positions.new_empty(len(positions), size, size, 3)
    points[..., fixed] = positions[:, None, None]
    points[..., down] = (window[0] + window[2] * cells)[:, None]
    points[..., along] = window[1] + window[2] * cells
    return points


def in_float32(tensor: Tensor) -> AbstractContextManager[object]:
    """Return a context in which autocast leaves computations of the tensor's device alone."""
    kind = tensor.device.type
    if not torch.amp.is_autocast_available(kind):  # the meta device
        return nullcontext()
    return torch.autocast(kind, enabled=False)


def film_places(points: Tensor, matrices: Tensor) -> Tensor:
    """Return (B, V, N, 2): (column, row) at which each view sees each point.

    Always in float32, since half precision cannot tell neighbouring pixels apart. Points at or
    behind a source fall far outside its field.

    Args:
        points: (B, N, 3), or (1, N, 3) for the same points in all volumes.
        matrices: (B, V, 3, 4).
    """
    with in_float32(points):
        points, matrices = points.float(), matrices.float()
        # (B, V, 3, 3) @ (B, 1, 3, N)
        seen = matrices[..., :3] @ points.transpose(1, 2)[:, None] + matrices[..., 3:]
        w = seen[:, :, 2:]
        places = torch.where(w > NEAREST, seen[:, :, :2] / w.clamp(min=NEAREST), FAR_OUTSIDE)
        return places.transpose(2, 3)


def sample_maps(maps: Tensor, places: Tensor, corners: bool = False) -> Tensor:
    """Return (B, V, C, N): maps at places of the film, bilinear, zero outside the field.

    Args:
        maps: (B, V, C, h, w).
        places: (B, V, N, 2) of ``film_places``.
        corners: Whether -1 and 1 are the middles of the outermost pixels, not their outer edges.
    """
    batch, views = maps.shape[:2]
    # grid_sample wants one type for both; places lose nothing in the wider one.
    wide = torch.promote_types(maps.dtype, places.dtype)
    sampled = torch.nn.functional.grid_sample(
        maps.flatten(0, 1).to(wide),
        places.flatten(0, 1)[:, None].to(wide),
        mode="bilinear",
        padding_mode="zeros",
        align_corners=corners,
    )
    return sampled.to(maps.dtype).view(batch, views, maps.shape[2], -1)


def known_matrices(view_matrices: Tensor | None, images: Tensor) -> Tensor:
    """Return (B, V, 3, 4) on the images' device; None stands for parallel frontal and lateral.

    Raises:
        InputError: ``BAD_SHAPE`` for matrices of another shape, or when there are none and the
            views are more than two.
    """
    batch, views = images.shape[:2]
    if view_matrices is None and views <= 2:
        view_matrices = torch.from_numpy(orthographic_matrices(views)).expand(batch, -1, -1, -1)
    if view_matrices is None or tuple(view_matrices.shape) != (batch, views, 3, 4):
        given = None if view_matrices is None else tuple(view_matrices.shape)
        raise InputError(
            "BAD_SHAPE",
            f"Got view matrices of shape {given} for images of shape {tuple(images.shape)}.",
            "Give (batch, views, 3, 4), one matrix for each image.",
        )
    return view_matrices.to(images.device, torch.float32)


def pinhole_matrices(distance: float, fov_deg: float) -> Tensor:
    """Return (2, 3, 4): cameras behind the patient and at the patient's left, looking inwards.

    Args:
        distance: From the cube's middle, in lengths of the cube's edge.
        fov_deg: Angle between opposite edges of the field.
    """
    nearness = 1 / (2 * distance)  # in half edges, the unit of coordinates
    scale = nearness / math.tan(math.radians(fov_deg) / 2)
    frontal = [[scale, 0, 0, 0], [0, 0, scale, 0], [0, -nearness, 0, 1]]
    lateral = [[0, scale, 0, 0], [0, 0, scale, 0], [-nearness, 0, 0, 1]]
    return torch.tensor([frontal, lateral], dtype=torch.float32)
