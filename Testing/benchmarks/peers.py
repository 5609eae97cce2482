"""The other projectors, each given the same attenuation, geometry and number type as ours.

nanodrr and DiffDRR take 256 samples a ray (one a voxel), half of their default: that is what a
256^3 volume needs, and it is to their advantage in time. DiffDRR's ray marcher is called
directly, below its conveniences, and in patches of 128 x 128 rays, as its memory asks for.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from Testing.benchmarks.measure import child_cpu_ms
from Testing.benchmarks.one_thread import ONE_THREAD
from TomoRayCore.drr.plastimatch import commands_from_geometry
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry
from TomoRayCore.volume import Grid

SAMPLES = 256
PATCH_RAYS = 128 * 128


def versions() -> dict[str, str]:
    """Return peer -> version, for those that are installed."""
    found = {}
    for package in ("nanodrr", "diffdrr"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if shutil.which("plastimatch"):
        text = subprocess.run(["plastimatch", "--version"], capture_output=True, text=True).stdout
        match = re.search(r"\d[\d.]*\d", text)
        found["plastimatch"] = match[0] if match else text.strip()
    return found


class Plastimatch:
    """``plastimatch drr -i exact`` on a file, as a child process on one thread."""

    def __init__(self, ct: Path) -> None:
        self._command = ["plastimatch", "drr", "-i", "exact", "-t", "raw", "-I", str(ct), "-O"]
        self._environment = {**os.environ, **ONE_THREAD}

    def _ms(self, *options: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return child_cpu_ms([*self._command, "out", *options], Path(folder), self._environment)

    def render_ms(self, geometry: AcquisitionGeometry, step_deg: float, images: int) -> float:
        """Return the CPU ms of one image without loading the CT.

        Its own rotation about the superior axis makes ``1 + images`` images at once; what one
        image costs alone is taken off. 90 degrees face the volume, others do not.
        """
        view = geometry.views[0]
        width, height = view.size[1] * view.pixel_spacing_mm[1], view.size[0]
        rows_mm = height * view.pixel_spacing_mm[0]
        options = ["--sad", repr(view.sad_mm(geometry.isocentre_lps)), "--sid", repr(view.sdd_mm)]
        options += ["-r", f"{view.size[1]} {view.size[0]}", "-z", f"{width!r} {rows_mm!r}"]
        options += ["-o", " ".join(map(repr, geometry.isocentre_lps)), "-N", repr(step_deg)]
        many = self._ms(*options, "-a", str(1 + images))
        return (many - self._ms(*options, "-a", "1")) / images

    def pair_ms(self, geometry: AcquisitionGeometry) -> float:
        """Return the CPU ms of one call a view, from the file to raw images."""
        return sum(self._ms(*options) for options in commands_from_geometry(geometry).values())

    def rotation_ms(self, geometry: AcquisitionGeometry) -> float:
        """Return the CPU ms of a single call that makes a frontal and a lateral image."""
        options = commands_from_geometry(geometry)[geometry.labels[0]]
        for name in ("--nrm", "--vup"):  # given a normal, plastimatch does not rotate
            place = options.index(name)
            del options[place : place + 2]
        return self._ms(*options, "-a", "2", "-N", "90")


class Nanodrr:
    """nanodrr's ray marcher on the CPU (its torch backend)."""

    def __init__(self, mu_per_mm: np.ndarray, grid: Grid) -> None:
        from nanodrr.data import Subject

        image = torch.from_numpy(mu_per_mm)[None, None]
        to_world = torch.from_numpy(grid.ijk_to_lps.copy())
        self.subject = Subject(
            image,
            torch.zeros_like(image),
            to_world.float(),
            to_world.inverse().float(),
            Subject._make_voxel_to_grid(image.shape),
            torch.tensor(grid.centre_lps, dtype=torch.float32),
            max_label=0,
            convert_to_mu=False,
        )

    def renderer(self, view: ViewGeometry) -> Callable[[], Tensor]:
        """Return a function that makes the (1, 1, R, C) image of a view."""
        from nanodrr.drr import DRR

        drr = DRR.from_carm_intrinsics(
            view.sdd_mm,
            view.pixel_spacing_mm[1],
            view.pixel_spacing_mm[0],
            0.0,
            0.0,
            *view.size,
            dtype=torch.float32,
        )
        pose = np.eye(4)
        pose[:3, :3] = np.stack([view.u, view.v, -view.normal], axis=1)
        pose[:3, 3] = view.source_lps
        camera_to_world = torch.from_numpy(pose).float()[None]
        return lambda: drr(self.subject, camera_to_world, n_samples=SAMPLES, backend="torch")

    def gradient(self, view: ViewGeometry) -> Callable[[], Tensor]:
        """Return a function that projects and gives the gradient of the image's sum."""
        render = self.renderer(view)

        def run() -> Tensor:
            volume = self.subject._image_hu.requires_grad_(True)
            volume.grad = None
            render().sum().backward()
            gradient = volume.grad
            volume.requires_grad_(False)
            volume.grad = None
            return gradient

        return run


class Diffdrr:
    """DiffDRR's trilinear ray marcher."""

    def __init__(self, mu_per_mm: np.ndarray, grid: Grid) -> None:
        # (x, y, z) in memory, as its own reader leaves it.
        self._volume = torch.from_numpy(mu_per_mm).permute(2, 1, 0).contiguous()
        self._to_index = np.linalg.inv(grid.ijk_to_lps)

    def renderer(self, view: ViewGeometry) -> Callable[[], Tensor]:
        """Return a function that makes the (R, C) image of a view."""
        from diffdrr.renderers import Trilinear

        march = Trilinear()
        pixels = view.pixel_centres_lps().reshape(1, -1, 3)
        source = np.array(view.source_lps).reshape(1, 1, 3)
        length = torch.from_numpy(np.linalg.norm(pixels - source, axis=-1)).float()[:, None]
        start, end = (self._indices(points) for points in (source, pixels))

        def run() -> Tensor:
            patches = [
                march(self._volume, start, part, part_length, n_points=SAMPLES)
                for part, part_length in zip(
                    end.split(PATCH_RAYS, dim=1), length.split(PATCH_RAYS, dim=2), strict=True
                )
            ]
            return torch.cat(patches, dim=-1).view(view.size)

        return run

    def _indices(self, points: np.ndarray) -> Tensor:
        return torch.from_numpy(points @ self._to_index[:3, :3].T + self._to_index[:3, 3]).float()
