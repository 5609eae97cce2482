"""Back-projection: the adjoint of the DRR operator."""

from __future__ import annotations

import torch
from torch import Tensor

from TomoRayCore.drr.torch_separable import SeparableProjector
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.volume import Grid


def backproject(projections: Tensor, grid: Grid, geometry: AcquisitionGeometry) -> Tensor:
    """Smear images back along their rays: (B, V, R, C) to (B, 1, D, H, W).

    The exact transpose A' of the projector A, without filtering: <A x, y> = <x, A' y>.
    """
    dtype = torch.float64 if projections.dtype == torch.float64 else torch.float32
    return SeparableProjector(grid, geometry, projections.device, dtype).adjoint(projections)
