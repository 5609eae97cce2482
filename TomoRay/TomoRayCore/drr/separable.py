"""The numpy projector: any volume orientation, any detector pose, no torch."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.coordinates import compose_affine
from TomoRayCore.drr.plan import ViewPlan, is_separable, plan_view
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry
from TomoRayCore.hounsfield import MU_WATER_PER_MM, mu_per_mm_from_hu
from TomoRayCore.progress import Progress
from TomoRayCore.resample import resample
from TomoRayCore.volume import Grid, Volume

FINEST_PER_PIXEL = 0.25
"""An interpolated volume need not be finer than this share of a pixel: it would only cost time."""


def project(
    volume: Volume,
    geometry: AcquisitionGeometry,
    *,
    mu_water_per_mm: float = MU_WATER_PER_MM,
    progress: Progress | None = None,
) -> list[NDArray[np.float32]]:
    """Return the line integrals of mu for every view: one (R, C) float32 image a view.

    A pixel is the dimensionless integral along the ray to its centre; outside the volume there is
    air. Where a detector is not parallel to a face of the volume (an oblique CT, a tilted view),
    the volume is first interpolated onto a grid along that detector's axes.

    Args:
        volume: HU in any orientation.
        geometry: Source and detector of each view, in the volume's world.
        mu_water_per_mm: Attenuation of water, 1/mm; see ``hounsfield``.
        progress: Told after each view.
    """
    images = []
    for number, view in enumerate(geometry.views, start=1):
        aligned = volume if is_separable(volume.grid, view) else _aligned(volume, view)
        mu_per_mm = mu_per_mm_from_hu(aligned.array_hu, mu_water_per_mm)
        images.append(project_mu(mu_per_mm, aligned.grid, view))
        if progress is not None:
            progress("projecting", number / len(geometry.views), f"{view.label} projected")
    return images


def project_mu(
    mu_per_mm: NDArray[np.float32], grid: Grid, view: ViewGeometry
) -> NDArray[np.float32]:
    """Return one view's (R, C) line integrals of a (D, H, W) array of mu in 1/mm.

    Raises:
        InputError: ``NOT_SEPARABLE`` when the detector is not parallel to a face of the grid.
    """
    plan = plan_view(grid, view)
    stack = mu_per_mm.transpose(plan.axes)  # (slice, row, column)
    box = _nonzero_box(stack)
    if box is None:
        return np.zeros(view.size, np.float32)
    return (_sum_of_slices(stack, box, plan) * plan.path_mm).astype(np.float32)


def _sum_of_slices(
    stack: NDArray[np.float32], box: tuple[slice, slice, slice], plan: ViewPlan
) -> NDArray[np.float64]:
    """Resample each slice to detector rows, then columns, and add them up: (R, C)."""
    slices, rows, columns = box
    height, width = rows.stop - rows.start, columns.stop - columns.start
    total = np.zeros((plan.column_positions.shape[1], plan.row_positions.shape[1]))
    # A border of zeros makes positions outside the box fall off to air without a special case.
    padded = np.zeros((height + 2, width + 2), np.float32)
    for place, index in enumerate(plan.slices):
        if not slices.start <= index < slices.stop:
            continue
        padded[1:-1, 1:-1] = stack[index, rows, columns]
        by_row = _interpolated(padded, plan.row_positions[place] - rows.start, height)
        # Gathering along the first axis of a contiguous array is several times faster than
        # along the second, so the image is turned between the two passes.
        by_column = np.ascontiguousarray(by_row.T)
        total += _interpolated(by_column, plan.column_positions[place] - columns.start, width)
    return total.T


def _interpolated(
    padded: NDArray[np.float32], positions: NDArray[np.float64], size: int
) -> NDArray[np.float32]:
    """Interpolate along the first axis of an array with one row of zeros on either side."""
    clipped = np.clip(positions + 1, 0, size + 1)
    lower = np.minimum(clipped.astype(np.intp), size)
    weight = (clipped - lower).astype(np.float32)[:, None]
    below = padded[lower]
    return np.asarray(below + weight * (padded[lower + 1] - below))


def _nonzero_box(stack: NDArray[np.float32]) -> tuple[slice, slice, slice] | None:
    """Return the box outside of which all is exactly 0: its air adds nothing and costs time."""
    if not stack.any():
        return None
    bounds = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        used = np.flatnonzero(stack.any(axis=others))
        bounds.append(slice(int(used[0]), int(used[-1]) + 1))
    return bounds[0], bounds[1], bounds[2]


def _aligned(volume: Volume, view: ViewGeometry) -> Volume:
    """Return the volume on a grid along the detector's u, v and normal that covers it whole."""
    axes = np.stack([np.array(view.u), np.array(view.v), np.cross(view.u, view.v)], axis=1)
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in volume.shape[::-1]])).reshape(3, -1)
    world = volume.ijk_to_lps[:3, :3] @ corners + volume.ijk_to_lps[:3, 3:]
    along = axes.T @ world
    low, high = along.min(axis=1), along.max(axis=1)
    spacing_mm = max(min(volume.spacing_ijk_mm), FINEST_PER_PIXEL * _pixel_mm(volume, view))
    w, h, d = (math.ceil(n) for n in (high - low) / spacing_mm)
    origin = axes @ (low + spacing_mm / 2)
    return resample(volume, Grid((d, h, w), compose_affine(axes, [spacing_mm] * 3, origin)))


def _pixel_mm(volume: Volume, view: ViewGeometry) -> float:
    """Return the smaller pixel edge as it is at the depth of the volume's centre."""
    depth_mm = view.sad_mm(volume.grid.centre_lps)
    share = depth_mm / view.sdd_mm if view.beam == "cone" else 1.0
    return min(view.pixel_spacing_mm) * min(max(share, 0.0), 1.0)
