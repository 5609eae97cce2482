"""Axial, coronal and sagittal cuts of volumes through one point of the world, ready to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from TomoRayCore.report_drawing import NOT_COVERED
from TomoRayCore.resample import inside, reorient_to_lps, resample
from TomoRayCore.volume import Grid, Volume, canonical_grid

BONE_HU = 300.0
AXIS_TOLERANCE = 1e-3
"""Largest direction cosine off the LPS axes of a grid that is shown without interpolation."""

MAX_VOXELS = 4e7
"""A display grid is made coarser rather than larger than this."""


@dataclass(frozen=True)
class Plane:
    """How one plane is cut and hung.

    Attributes:
        name: For people.
        axis: Array axis (0 = k) that is fixed.
        letters: Directions at left, right, top, bottom of the picture.
        upside_down: Whether rows run from superior, against the array.
        towards: Names of the fixed axis' negative and positive direction.
    """

    name: str
    axis: int
    letters: str
    upside_down: bool
    towards: tuple[str, str]


PLANES = (
    Plane("Axial", 0, "RLAP", False, ("I", "S")),
    Plane("Coronal", 1, "RLSI", True, ("A", "P")),
    Plane("Sagittal", 2, "APSI", True, ("R", "L")),
)
"""Radiological hanging: the patient's right on the left, seen from the feet; sagittal: anterior
on the left."""


def display_grid(volume: Volume) -> Grid:
    """Return a grid along the LPS axes that shows a volume: its own voxels where they do."""
    grid = reorient_to_lps(volume).grid
    if np.abs(grid.direction - np.eye(3)).max() < AXIS_TOLERANCE:
        return grid
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in grid.shape[::-1]])).reshape(3, -1)
    world = grid.ijk_to_lps[:3, :3] @ corners + grid.ijk_to_lps[:3, 3:]
    low, high = world.min(axis=1), world.max(axis=1)
    extent = high - low
    spacing_mm = max(min(grid.spacing_ijk_mm), float(np.prod(extent) / MAX_VOXELS) ** (1 / 3))
    i, j, k = (max(1, int(np.ceil(e / spacing_mm))) for e in extent)
    return canonical_grid((low + high) / 2, (k, j, i), spacing_mm)


def on_grid(volume: Volume, grid: Grid) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return HU on a display grid, and which voxels the volume covers."""
    shown = resample(reorient_to_lps(volume), grid)
    return shown.array_hu.astype(np.float32), inside(grid, volume.grid)


def head_centre(volume: Volume) -> tuple[float, float, float]:
    """Return the middle of the bone, or of the grid where there is none, in LPS mm."""
    bone = volume.array_hu > BONE_HU
    if not bone.any():
        return volume.grid.centre_lps
    ijk = [float(np.median(np.nonzero(bone)[axis])) for axis in (2, 1, 0)]
    x, y, z = volume.ijk_to_lps[:3, :3] @ ijk + volume.ijk_to_lps[:3, 3]
    return float(x), float(y), float(z)


def index_of(grid: Grid, point_lps: ArrayLike) -> tuple[int, int, int]:
    """Return the (k, j, i) nearest to a point, inside the grid."""
    ijk = np.linalg.inv(grid.ijk_to_lps) @ [*np.asarray(point_lps, float), 1.0]
    k, j, i = (
        int(np.clip(np.rint(c), 0, n - 1)) for c, n in zip(ijk[2::-1], grid.shape, strict=True)
    )
    return k, j, i


def centre_of(grid: Grid, index_kji: tuple[int, int, int]) -> tuple[float, float, float]:
    """Return where a voxel's centre lies in LPS mm."""
    x, y, z = grid.ijk_to_lps[:3, :3] @ index_kji[::-1] + grid.ijk_to_lps[:3, 3]
    return float(x), float(y), float(z)


def cut(array: NDArray[np.generic], plane: Plane, index_kji: tuple[int, int, int]) -> Any:
    """Return one plane of a (D, H, W, ...) array as it is hung."""
    picture = np.take(array, index_kji[plane.axis], axis=plane.axis)
    return picture[::-1] if plane.upside_down else picture


def plane_extent_mm(grid: Grid, plane: Plane) -> tuple[float, float]:
    """Return (width, height) of a plane's picture in mm."""
    i, j, k = grid.extent_ijk_mm
    widths = {0: (i, j), 1: (i, k), 2: (j, k)}
    return widths[plane.axis]


def position_text(plane: Plane, point_lps: tuple[float, float, float]) -> str:
    """Return where a plane lies, e.g. ``S 12 mm``."""
    value = point_lps[2 - plane.axis]
    return f"{plane.towards[value >= 0]} {abs(value):.0f} mm"


def to_image(
    colours: NDArray[np.uint8], covered: NDArray[np.bool_], size: tuple[int, int]
) -> Image.Image:
    """Return an RGB panel of a given pixel size; what is not covered gets its own colour.

    Args:
        colours: (rows, columns) grey or (rows, columns, 3).
        covered: (rows, columns).
        size: (width, height) in pixels.
    """
    rgb = colours if colours.ndim == 3 else np.repeat(colours[..., None], 3, axis=2)
    panel = Image.fromarray(np.ascontiguousarray(rgb)).resize(size, Image.Resampling.BILINEAR)
    if not covered.all():
        # Scaled without smoothing, so that the border stays where it is.
        hole = Image.fromarray(np.ascontiguousarray(~covered).astype(np.uint8) * 255)
        panel.paste(NOT_COVERED, (0, 0), hole.resize(size, Image.Resampling.NEAREST))
    return panel
