"""What is projected: a head of nested ellipsoids on 256^3 voxels of 1 mm, and two detectors."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TomoRayCore.drr.attenuation import PLASTIMATCH
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry
from TomoRayCore.io.atomic import atomic_path
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.presets import from_preset, make_view
from TomoRayCore.resample import to_sitk
from TomoRayCore.volume import Grid, Volume, canonical_grid

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "benchmarks"

SAD_MM, SDD_MM, DETECTOR_MM = 1000.0, 1500.0, 400.0
SIZES = (128, 512)

Body = tuple[tuple[float, float, float], tuple[float, float, float], float]


def bodies() -> list[Body]:
    """Return 39 ellipsoids as (centre mm, semi-axes mm, HU), each painted over the ones before."""
    rng = np.random.default_rng(20)
    found: list[Body] = [
        ((0, 0, 0), (75, 98, 105), 1000),  # skull
        ((0, 1, 0), (69, 92, 99), 35),  # brain
        ((-14, 5, 12), (9, 32, 14), 8),  # ventricles
        ((14, 5, 12), (9, 32, 14), 8),
    ]
    for number in range(7):  # air cells at the front
        x, z = 18 * (number % 3 - 1), -55 + 16 * (number // 3)
        found.append(((x, -62, z), (7, 9, 6), -1000))
    while len(found) < 39:
        centre = rng.uniform(-1, 1, 3)
        if np.linalg.norm(centre) < 1:
            x, y, z = centre * (55, 75, 80)
            radius = float(rng.uniform(3, 9))
            found.append(((x, y, z), (radius, radius, radius), float(rng.uniform(60, 2500))))
    return found


def paint_head(size: int = 256, spacing_mm: float = 1.0, samples: int = 3) -> Volume:
    """Return the bodies in air, with partial volume from ``samples``^3 points a voxel; int16."""
    grid = canonical_grid((0.0, 0.0, 0.0), size, spacing_mm)
    hu = np.full(grid.shape, -1000, np.float32)
    origin = grid.ijk_to_lps[:3, 3]
    offsets = (np.arange(samples) - (samples - 1) / 2) / samples
    for centre, semi_axes, value in bodies():
        low = (np.subtract(centre, semi_axes) - origin) / spacing_mm - 1
        high = (np.add(centre, semi_axes) - origin) / spacing_mm + 2
        first = np.maximum(np.floor(low), 0).astype(int)
        last = np.minimum(np.ceil(high), size).astype(int)
        squares = [
            [
                ((origin[a] + (np.arange(first[a], last[a]) + o) * spacing_mm - centre[a]) ** 2)
                / semi_axes[a] ** 2
                for o in offsets
            ]
            for a in range(3)
        ]
        share = sum(
            (z[:, None, None] + y[:, None] + x <= 1).astype(np.float32)
            for z in squares[2]
            for y in squares[1]
            for x in squares[0]
        )
        part = hu[tuple(slice(first[a], last[a]) for a in (2, 1, 0))]
        part += share / samples**3 * (np.float32(value) - part)
    return Volume(np.rint(hu).astype(np.int16), grid.ijk_to_lps)


class Scene:
    """The head and what every contender is given of it; made once, then read from the cache.

    All contenders get the same attenuation: plastimatch's own rule, because its cannot be chosen.
    """

    def __init__(self, folder: Path = CACHE) -> None:
        self.folder = folder
        self.file = folder / "head_256.mha"

    @cached_property
    def volume(self) -> Volume:
        """HU, int16."""
        if not self.file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            head = paint_head()
            with atomic_path(self.file) as path:
                image = to_sitk(head.array_hu, head.ijk_to_lps)
                sitk.WriteImage(image, str(path), useCompression=False)
        return read_volume(self.file)

    @property
    def grid(self) -> Grid:
        """The volume's grid."""
        return self.volume.grid

    @cached_property
    def mu_per_mm(self) -> np.ndarray:
        """(D, H, W) float32, 1/mm."""
        return PLASTIMATCH.mu_per_mm(self.volume.array_hu)


def facing(size: int) -> AcquisitionGeometry:
    """AP and lateral views, detectors parallel to faces of the volume."""
    return from_preset(sad_mm=SAD_MM, sdd_mm=SDD_MM, detector_mm=DETECTOR_MM, size=size)


def turned(size: int) -> AcquisitionGeometry:
    """Two views in general position."""
    poses = {"37": (37.0, 0.0, 0.0), "free": (23.0, 11.0, 7.0)}
    views = tuple(
        make_view(
            label,
            angle,
            tilt_deg=tilt,
            rotate_deg=roll,
            sad_mm=SAD_MM,
            sdd_mm=SDD_MM,
            detector_mm=DETECTOR_MM,
            size=size,
        )
        for label, (angle, tilt, roll) in poses.items()
    )
    return AcquisitionGeometry("turned", (0.0, 0.0, 0.0), views)


def single(geometry: AcquisitionGeometry, view: ViewGeometry) -> AcquisitionGeometry:
    """Return a geometry of one of the views."""
    return AcquisitionGeometry(geometry.name, geometry.isocentre_lps, (view,))
