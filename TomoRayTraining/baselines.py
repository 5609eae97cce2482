"""What every table needs beside the networks: methods that have learnt next to nothing.

A network that does not beat the mean head or the nearest training head has learnt the
population at best; one that does not beat SART has not used more than the images' arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from TomoRayCore.drr import project
from TomoRayCore.drr.torch_projector import Projector
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.hounsfield import hu_from_mu_per_mm, mu_per_mm_from_hu
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.network_io import InputSpec, rectify
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.resample import resample
from TomoRayCore.volume import Grid, Volume
from TomoRayTraining.augmentation import scanned_slices
from TomoRayTraining.cases import Case

SART_ITERATIONS = 20
"""Passes over all views; fixed, so that the number is no setting that was tuned on the cases."""

SART_RELAXATION = 1.0
SART_LARGEST_HU = 3000.0


def mean_head(cases: Sequence[Case], grid: Grid) -> NDArray[np.int16]:
    """Return the voxel-wise mean of heads, (D, H, W) int16 HU, each about its volume's centre.

    Means are over the heads that were scanned at a height; where none was, there is air.

    Args:
        cases: The training heads.
        grid: Of the mean, about any point.
    """
    total: NDArray[np.float64] = np.zeros(grid.shape)
    count = np.zeros(grid.shape[0])
    for case in cases:
        ct = centred(read_volume(case.ct), grid)
        scanned = scanned_slices(ct)
        total[scanned] += ct.array_hu[scanned]
        count += scanned
    mean_hu = total / np.maximum(count, 1)[:, None, None]
    mean_hu[count == 0] = -1000
    return np.rint(mean_hu).astype(np.int16)


def centred(ct: Volume, grid: Grid) -> Volume:
    """Return a head on a grid of this kind about the head's own volume's centre."""
    return resample(ct, moved(grid, ct.grid.centre_lps))


def moved(grid: Grid, centre_lps: tuple[float, float, float]) -> Grid:
    """Return the same grid about another point."""
    ijk_to_lps = grid.ijk_to_lps.copy()
    ijk_to_lps[:3, 3] += np.subtract(centre_lps, grid.centre_lps)
    return Grid(grid.shape, ijk_to_lps)


class NearestNeighbour:
    """The training head whose DRRs look most like the images.

    Likeness is the normalised cross-correlation (Pearson's) of the pixels in the isocentre's
    plane, as networks see them, averaged over the views. DRRs of the training heads are made once,
    with the given geometry about each head's volume's centre.

    Args:
        cases: The training heads.
        geometry: The views.
        spec: Pixels and field of the comparison.

    Raises:
        InputError: ``BAD_CASES`` without heads.
    """

    def __init__(
        self, cases: Sequence[Case], geometry: AcquisitionGeometry, spec: InputSpec | None = None
    ) -> None:
        if not cases:
            raise InputError(
                "BAD_CASES", "There are no training heads to choose from.", "Add train cases."
            )
        self._cases, self._spec = list(cases), spec or InputSpec()
        self._seen = []
        for case in self._cases:
            ct = read_volume(case.ct)
            here = geometry.centred_on(ct.grid.centre_lps)
            self._seen.append(self._appearance(project(ct, here), here))

    def choose(
        self, radiographs: Sequence[Radiograph], geometry: AcquisitionGeometry
    ) -> tuple[Case, float]:
        """Return the most similar training case and its similarity, -1 to 1.

        Args:
            radiographs: In the order of the geometry's views, which are those given before.
            geometry: Where source and detector stood.
        """
        asked = self._appearance([r.pixels for r in radiographs], geometry)
        likeness = [float((asked * seen).sum()) / len(asked) for seen in self._seen]
        best = int(np.argmax(likeness))
        return self._cases[best], likeness[best]

    def head(self, case: Case, grid: Grid) -> Volume:
        """Return a chosen head, its volume's centre brought to the grid's."""
        return Volume(centred(read_volume(case.ct), grid).array_hu, grid.ijk_to_lps)

    def _appearance(
        self, images: Sequence[NDArray[np.float32]], geometry: AcquisitionGeometry
    ) -> NDArray[np.float64]:
        """Return (V, pixels), each view with mean 0 and length 1."""
        flat = np.stack(
            [
                rectify(image, view, geometry.isocentre_lps, self._spec).ravel()
                for image, view in zip(images, geometry.views, strict=True)
            ]
        ).astype(np.float64)
        flat -= flat.mean(axis=1, keepdims=True)
        length = np.linalg.norm(flat, axis=1, keepdims=True)
        return np.asarray(flat / np.where(length > 0, length, 1))


@dataclass(frozen=True)
class Sart:
    """Simultaneous algebraic reconstruction (Andersen and Kak, Ultrason Imaging 6:81, 1984).

    Views in turn: what a view's line integrals still lack is shared out along its rays, in
    proportion to the rays' weights, and attenuation below 0 is set to 0. No other prior: two views
    leave nearly everything open, and what it starts from is what it keeps.

    Attributes:
        iterations: Passes over all views.
        relaxation: Share of each correction that is made, above 0 and below 2.
        largest_hu: Attenuation above this is set to it.
    """

    iterations: int = SART_ITERATIONS
    relaxation: float = SART_RELAXATION
    largest_hu: float = SART_LARGEST_HU

    def __call__(
        self,
        line_integrals: Sequence[NDArray[np.float32]],
        geometry: AcquisitionGeometry,
        grid: Grid,
        start_hu: NDArray[np.generic] | None = None,
        device: torch.device | str = "cpu",
    ) -> Volume:
        """Return a volume whose DRRs approach the images.

        Args:
            line_integrals: One (R, C) image a view, dimensionless, of water at the engine's energy.
            geometry: The views, in the images' order.
            grid: Of the result; what lies beyond it is taken for air.
            start_hu: (D, H, W) to start from; None: no attenuation anywhere.
            device: Where to calculate.
        """
        views = [
            _View(grid, AcquisitionGeometry(geometry.name, geometry.isocentre_lps, (view,)), device)
            for view in geometry.views
        ]
        images = [torch.from_numpy(np.array(i, np.float32))[None, None] for i in line_integrals]
        mu = torch.zeros((1, 1, *grid.shape))
        if start_hu is not None:
            mu = torch.from_numpy(mu_per_mm_from_hu(start_hu))[None, None]
        mu = mu.to(device)
        top = float(mu_per_mm_from_hu(np.array([self.largest_hu]))[0])
        for _ in range(self.iterations):
            for view, image in zip(views, images, strict=True):
                mu += self.relaxation * view.correction(mu, image.to(device))
                mu.clamp_(0, top)
        array_hu = np.rint(hu_from_mu_per_mm(mu[0, 0].cpu().numpy())).astype(np.int16)
        return Volume(array_hu, grid.ijk_to_lps)


class _View:
    """One view's projector, with the weights of rays and voxels."""

    def __init__(self, grid: Grid, geometry: AcquisitionGeometry, device: torch.device | str):
        self._project = Projector(grid, geometry, device)
        ones = torch.ones((1, 1, *grid.shape), device=device)
        rays = self._project.forward(ones)
        voxels = self._project.adjoint(torch.ones_like(rays))
        self._of_rays, self._of_voxels = _inverse(rays), _inverse(voxels)

    def correction(self, mu: Tensor, image: Tensor) -> Tensor:
        """Return what a full step adds to the attenuation."""
        missing = (image - self._project.forward(mu)) * self._of_rays
        return self._project.adjoint(missing) * self._of_voxels


def _inverse(weights: Tensor) -> Tensor:
    """Return 1 / w, and 0 where a ray or voxel has next to no part in the view."""
    enough = weights > 1e-3 * weights.max()
    return torch.where(enough, 1 / weights.clamp_min(math.ulp(1.0)), torch.zeros_like(weights))
