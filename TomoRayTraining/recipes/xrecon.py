"""X-Recon: a GAN whose projection loss looks from random directions, in perspective.

Wang et al., "X-Recon", as released: 1 LSGAN + 10 mean squared error + 0.1 projection error, the
latter through a perspective projector whose three base views are turned by N(0, 10 degrees) and
shifted by N(0, 8 mm) along each axis at every step. Here the projector is TomoRay's own; line
integrals are divided by the cube's edge, so that they weigh like means along an axis, and the
third base view looks from above.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from TomoRayCore.drr.torch_projector import Projector
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry, as_triple
from TomoRayCore.presets import from_preset
from TomoRayCore.volume import canonical_grid
from TomoRayTraining.config import Config
from TomoRayTraining.losses import mse_loss
from TomoRayTraining.recipes.base import Batch
from TomoRayTraining.recipes.gan import GanRecipe
from TomoRayTraining.specs import specs_of

ROTATION_SIGMA_DEG = 10.0
SHIFT_SIGMA_MM = 8.0
LARGEST_SIGMAS = 2.5
"""Draws beyond are cut off: a volume must stay before the detector."""


class XReconRecipe(GanRecipe):
    """Conditional adversary, mean squared error, projections from random poses."""

    WEIGHTS = frozenset({"mse", "projection", "adversarial"})

    def __init__(self, generator: nn.Module, config: Config) -> None:
        super().__init__(generator, config)
        _, output = specs_of(config)
        self._grid = canonical_grid((0, 0, 0), output.network_size, output.network_spacing_mm)
        self._edge_mm = output.network_size * output.network_spacing_mm
        self._base = base_views(output.network_size)

    def generator_terms(self, predictions: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        target, mask = batch["target"], batch["mask"]
        # Projection is linear: one projection of the difference serves for both volumes. The
        # network's first slice is the top of the head, the grid's is the lowest.
        difference = ((predictions[0] - target) * mask).flip(2)
        projector = Projector(self._grid, jittered(self._base), difference.device)
        return {
            "mse": mse_loss(predictions[0], target, mask),
            "projection": projector(difference).abs().mean() / self._edge_mm,
        }


def base_views(size: int) -> AcquisitionGeometry:
    """Return frontal and lateral views and one from above, about the origin."""
    biplanar = from_preset(size=size)
    frontal = biplanar.views[0]
    above = turned(frontal, Rotation.from_euler("x", -90, degrees=True))
    views = (*biplanar.views, replace(above, label="ABOVE"))
    return AcquisitionGeometry("three base views", biplanar.isocentre_lps, views)


def jittered(base: AcquisitionGeometry) -> AcquisitionGeometry:
    """Return the views after one random rotation and shift of the patient, by torch's generator."""
    draws = torch.randn(6).clamp(-LARGEST_SIGMAS, LARGEST_SIGMAS).double().numpy()
    rotation = Rotation.from_euler("xyz", ROTATION_SIGMA_DEG * draws[:3], degrees=True)
    shift = SHIFT_SIGMA_MM * draws[3:]
    views = tuple(moved(turned(view, rotation), shift) for view in base.views)
    return AcquisitionGeometry(base.name, as_triple(np.add(base.isocentre_lps, shift)), views)


def turned(view: ViewGeometry, rotation: Rotation) -> ViewGeometry:
    """Return the view turned about the world's origin."""
    source, centre, u, v = (
        as_triple(rotation.apply(vector))
        for vector in (view.source_lps, view.detector_centre_lps, view.u, view.v)
    )
    return replace(view, source_lps=source, detector_centre_lps=centre, u=u, v=v)


def moved(
    view: ViewGeometry, shift_mm: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> ViewGeometry:
    """Return the view moved along with its source and detector."""
    return replace(
        view,
        source_lps=as_triple(view.source_lps + shift_mm),
        detector_centre_lps=as_triple(view.detector_centre_lps + shift_mm),
    )
