"""Back-projection: the adjoint of the DRR operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import torch
from numpy.typing import NDArray
from torch import Tensor

from TomoRayCore.drr import backproject_arrays
from TomoRayCore.drr.torch_projector import Projector
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.volume import Grid


@overload
def backproject(
    projections: Tensor,
    geometry: AcquisitionGeometry | Sequence[AcquisitionGeometry],
    grid: Grid,
) -> Tensor: ...


@overload
def backproject(
    projections: Sequence[NDArray[Any]], geometry: AcquisitionGeometry, grid: Grid
) -> NDArray[Any]: ...


def backproject(
    projections: Tensor | Sequence[NDArray[Any]],
    geometry: AcquisitionGeometry | Sequence[AcquisitionGeometry],
    grid: Grid,
) -> Tensor | NDArray[Any]:
    """Smear images back along their rays.

    The exact transpose A' of the projector A, without filtering: <A x, y> = <x, A' y>.

    Args:
        projections: A tensor (B, V, R, C), whose result is differentiable; or one array (R, C)
            for each view.
        geometry: The views; for tensors also one geometry a volume.
        grid: Of the volumes that come out.

    Returns:
        A tensor (B, 1, D, H, W) on the projections' device; or an array (D, H, W).

    Raises:
        InputError: ``BAD_SHAPE``, ``BAD_PROJECTIONS``, ``BAD_GEOMETRY``, ``BAD_NUMBER_TYPE`` or
            ``VIEW_TOO_STEEP``.
    """
    if isinstance(projections, Tensor):
        dtype = torch.float64 if projections.dtype == torch.float64 else torch.float32
        return Projector(grid, geometry, projections.device, dtype).adjoint(projections)
    if not isinstance(geometry, AcquisitionGeometry):
        raise InputError(
            "BAD_GEOMETRY",
            "A list of arrays shows one volume, so it has one geometry.",
            "Give one AcquisitionGeometry, or a tensor for a batch.",
        )
    return backproject_arrays(projections, geometry, grid)
