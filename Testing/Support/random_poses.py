"""Random grids and views, reproducible by seed, for truths that hold of every pose."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from TomoRayCore.coordinates import compose_affine
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry
from TomoRayCore.presets import make_view
from TomoRayCore.volume import Grid


def random_grid(seed: int, low: int = 6, high: int = 12) -> Grid:
    """A small volume of any direction, anisotropic, not cubic, away from the world's origin."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(low, high, 3))
    spacing = rng.uniform(2.0, 5.0, 3)
    direction = Rotation.random(random_state=seed).as_matrix() * rng.choice([-1, 1], 3)
    return Grid(shape, compose_affine(direction, spacing, rng.uniform(-50, 50, 3)))


def random_view(
    seed: int, grid: Grid, size: tuple[int, int] = (9, 7), label: str = "any"
) -> ViewGeometry:
    """A view of the grid from any side, off its middle; every third one is a parallel beam."""
    rng = np.random.default_rng(seed)
    return make_view(
        label,
        float(rng.uniform(-180, 180)),
        sad_mm=float(rng.uniform(300, 900)),
        sdd_mm=float(rng.uniform(950, 1400)),
        detector_mm=(float(rng.uniform(60, 150)), float(rng.uniform(60, 150))),
        size=size,
        isocentre_lps=np.array(grid.centre_lps) + rng.uniform(-4, 4, 3),
        beam="parallel" if seed % 3 == 0 else "cone",
        tilt_deg=float(rng.uniform(-70, 70)),
        rotate_deg=float(rng.uniform(-90, 90)),
        detector_offset_mm=(float(rng.uniform(-9, 9)), float(rng.uniform(-9, 9))),
    )


def face_view(
    seed: int, grid: Grid, size: tuple[int, int] = (9, 7), label: str = "face"
) -> ViewGeometry:
    """A view whose detector is parallel to a face of the grid, rows and columns too."""
    rng = np.random.default_rng(seed)
    normal, u, v = (grid.direction[:, axis] * rng.choice([-1, 1]) for axis in rng.permutation(3))
    middle = np.array(grid.centre_lps) + rng.uniform(-4, 4, 3)
    return ViewGeometry(
        label=label,
        source_lps=tuple(middle + 700 * normal),
        detector_centre_lps=tuple(middle - 400 * normal + 6 * u - 3 * v),
        u=tuple(u),
        v=tuple(v),
        pixel_spacing_mm=(float(rng.uniform(5, 12)), float(rng.uniform(5, 12))),
        size=size,
        beam="parallel" if seed % 3 == 0 else "cone",
    )


def acquisition(*views: ViewGeometry) -> AcquisitionGeometry:
    """Views as one examination; its isocentre is on the way of the first one's central ray."""
    first = views[0]
    middle = 0.6 * np.array(first.source_lps) + 0.4 * np.array(first.detector_centre_lps)
    return AcquisitionGeometry("random", tuple(middle), views)
