"""The numpy projector: any volume orientation, any pose, any structures, in one pass; no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.drr.attenuation import WATER_60KEV, MuRule
from TomoRayCore.drr.plan import Box
from TomoRayCore.drr.slabs import matter_box, mu_slabs, nonzero_box, nonzero_boxes
from TomoRayCore.drr.structures import Structure
from TomoRayCore.drr.view_operator import ViewOperator
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry
from TomoRayCore.progress import Progress
from TomoRayCore.volume import Grid, Volume


def project(
    volume: Volume,
    geometry: AcquisitionGeometry,
    *,
    rule: MuRule = WATER_60KEV,
    progress: Progress | None = None,
) -> list[NDArray[np.float32]]:
    """Return the line integrals of mu for every view: one (R, C) float32 image a view.

    A pixel is the dimensionless integral along the ray to its centre, times the rule's
    ``output_scale``; outside the volume there is air. Where a detector is parallel to a face of the
    volume the sums are Joseph's; elsewhere they are warped from such (``shear_warp``). The volume
    is read once for all views, and never held as mu.

    Args:
        volume: HU in any orientation.
        geometry: Source and detector of each view, in the volume's world.
        rule: From HU to mu.
        progress: Told after each piece of the volume.

    Raises:
        InputError: ``VIEW_TOO_STEEP`` when a source is inside the box of what is no air in an
            oblique volume, or a detector reaches too far to its sides.
    """
    return _projected(volume, geometry, {"all": None}, rule, progress)["all"]


def project_structures(
    volume: Volume,
    geometry: AcquisitionGeometry,
    structures: Mapping[str, Structure],
    *,
    rule: MuRule = WATER_60KEV,
    progress: Progress | None = None,
) -> dict[str, list[NDArray[np.float32]]]:
    """Return what ``project`` would of each structure alone, by name, in one pass over the volume.

    Raises:
        InputError: ``BAD_STRUCTURE``, or ``VIEW_TOO_STEEP`` as for ``project``.
    """
    for name, structure in structures.items():
        structure.check_shape(name, volume.shape)
    return _projected(volume, geometry, structures, rule, progress)


def project_mu(mu_per_mm: NDArray[Any], grid: Grid, view: ViewGeometry) -> NDArray[Any]:
    """Return one view's (R, C) line integrals of a (D, H, W) array of mu in 1/mm.

    Calculated in float64 for an array of float64, else in float32; any strides.

    Raises:
        InputError: ``BAD_SHAPE``, ``NON_FINITE``, or ``VIEW_TOO_STEEP`` as for ``project``.
    """
    array = _as_real(mu_per_mm)
    if array.shape != grid.shape:
        raise InputError(
            "BAD_SHAPE",
            f"An array of shape {array.shape} does not fit the grid {grid.shape}.",
            "Give (D, H, W) on the grid.",
        )
    operator = _operator(grid, view, lambda: nonzero_box(array))
    total = operator.new_sum(array.dtype)
    for box in nonzero_boxes(array):
        k, j, i = box
        operator.add(array[box], (k.start, j.start, i.start), total)
    if not np.isfinite(total).all():
        raise InputError(
            "NON_FINITE",
            "The array of mu holds NaN, infinity or numbers too large to add up.",
            "Replace them; air is 0.",
        )
    return operator.image(total)


def _projected(
    volume: Volume,
    geometry: AcquisitionGeometry,
    structures: Mapping[str, Structure | None],
    rule: MuRule,
    progress: Progress | None,
) -> dict[str, list[NDArray[np.float32]]]:
    """Project structures, None being the whole."""
    operators = [
        _operator(volume.grid, view, lambda: matter_box(volume.array_hu)) for view in geometry.views
    ]
    sums = {name: [operator.new_sum() for operator in operators] for name in structures}
    for done, slab in mu_slabs(volume.array_hu, rule):
        for name, structure in structures.items():
            part = slab.mu_per_mm if structure is None else structure.of(slab)
            for operator, total in zip(operators, sums[name], strict=True):
                operator.add(part, slab.corner, total)
        if progress is not None:
            progress("projecting", done, f"{done:.0%} of the volume projected")
    images = {
        name: [
            operator.image(total) * np.float32(rule.output_scale)
            for operator, total in zip(operators, totals, strict=True)
        ]
        for name, totals in sums.items()
    }
    if progress is not None:
        progress("projecting", 1.0, f"{len(operators)} views projected")
    return images


def _operator(grid: Grid, view: ViewGeometry, matter: Callable[[], Box | None]) -> ViewOperator:
    """Return the operator of a view, whose source may stand in the volume's air.

    Where matter is takes a look at all of the volume, so it is asked for only where it counts.
    """
    try:
        return ViewOperator(grid, view)
    except InputError as error:
        box = matter() if error.code == "VIEW_TOO_STEEP" else None
        if box is None:
            raise
    return ViewOperator(grid, view, box)


def _as_real(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array as float64 if it is so, else as float32, without a copy where possible."""
    array = np.asarray(array)
    return array.astype(np.float64 if array.dtype == np.float64 else np.float32, copy=False)
