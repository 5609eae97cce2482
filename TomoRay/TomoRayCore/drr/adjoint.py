"""Back-projection without torch: the exact transpose of ``project_mu``, summed over views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.drr.view_operator import ViewOperator
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.volume import Grid


def backproject_arrays(
    projections: Sequence[NDArray[Any]], geometry: AcquisitionGeometry, grid: Grid
) -> NDArray[Any]:
    """Smear images back along their rays, without filtering: <A x, y> = <x, A' y>.

    Args:
        projections: One (R, C) image a view, in the geometry's order.
        geometry: The views.
        grid: Of the result.

    Returns:
        (D, H, W), float64 when all images are, else float32.

    Raises:
        InputError: ``BAD_PROJECTIONS`` for images that do not fit the views or are not finite,
            ``VIEW_TOO_STEEP`` as for ``project``.
    """
    images = [np.asarray(image) for image in projections]
    sizes = [view.size for view in geometry.views]
    if [image.shape for image in images] != sizes or not all(np.isfinite(i).all() for i in images):
        raise InputError(
            "BAD_PROJECTIONS",
            f"Images of shapes {[image.shape for image in images]} do not fit detectors of sizes "
            f"{sizes}, or hold NaN or infinity.",
            "Give one finite (rows, columns) image for each view.",
        )
    double = all(image.dtype == np.float64 for image in images)
    volume = np.zeros(grid.shape, np.float64 if double else np.float32)
    for image, view in zip(images, geometry.views, strict=True):
        ViewOperator(grid, view).spread(image, volume)
    return volume
