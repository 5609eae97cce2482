"""The projector that training and reconstruction use: any view, batched, with its exact transpose.

Each view takes the fastest way there is on the device, all of them Joseph's method (Joseph, IEEE
Trans Med Imaging 1:192, 1982) in another order:

- ``fused``: one CUDA kernel for all views (``triton_rays``), where Triton is installed;
- ``separable``: the detector is parallel to a face of the volume (``torch_separable``);
- ``shear-warp``: any other pose (``torch_shear_warp``), at an interpolation error of 0.3 %.

The first two give the same numbers up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from TomoRayCore.drr import triton_rays
from TomoRayCore.drr.plan import is_separable, plan_view
from TomoRayCore.drr.shear_warp import plan_shear
from TomoRayCore.drr.torch_pose import RayLines, fixed_pose, ray_lines
from TomoRayCore.drr.torch_separable import ViewSums, separable_sums
from TomoRayCore.drr.torch_shear_warp import ShearWarpSums
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry
from TomoRayCore.volume import Grid


class Projector:
    """The linear operator from mu on a grid to line integrals on detectors.

    Args:
        grid: Voxel grid of the volumes.
        geometry: The views of every volume, or a sequence with one geometry for each volume of
            the batch. All have the same number of views and the same detector size.
        device: Where volumes and images live.
        dtype: What is computed and returned: float32, or float64 for tests of exactness. Inputs
            of other floating-point types are converted, and gradients returned in them.

    Attributes:
        backends: How each view is computed: ``fused``, ``separable``, ``shear-warp``, or
            ``separable+shear-warp`` where the volumes of a batch differ in it.

    Raises:
        InputError: ``BAD_GEOMETRY`` for detectors or numbers of views that differ,
            ``VIEW_TOO_STEEP`` for a source in or beside the volume, ``BAD_NUMBER_TYPE``.
    """

    def __init__(
        self,
        grid: Grid,
        geometry: AcquisitionGeometry | Sequence[AcquisitionGeometry],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if dtype not in (torch.float32, torch.float64):
            raise InputError(
                "BAD_NUMBER_TYPE",
                f"A projector cannot compute in {dtype}.",
                "Use torch.float32; half-precision volumes are accepted and computed in it.",
            )
        single = isinstance(geometry, AcquisitionGeometry)
        geometries = [geometry] if isinstance(geometry, AcquisitionGeometry) else list(geometry)
        self.shape, self.dtype = grid.shape, dtype
        self.device = torch.empty(0, device=device).device  # "cuda" becomes "cuda:0"
        self.views, self.size = _common_detector(geometries)
        self._batch = None if single else len(geometries)
        self._fused: _FusedViews | None = None
        self._terms: list[_Term] = []
        if triton_rays.is_usable(self.device):
            self._fused = _FusedViews(geometries, grid, self.device, dtype)
            self.backends: tuple[str, ...] = ("fused",) * self.views
            self._path_mm = self._fused.path_mm.view(-1, self.views, *self.size)
        else:
            self._build_terms(geometries, grid)

    def forward(self, mu_per_mm: Tensor) -> Tensor:
        """Project: (B, 1, D, H, W) in 1/mm to (B, V, R, C), dimensionless; no gradient kept."""
        self._check(mu_per_mm, (1, *self.shape), "(batch, 1, D, H, W) on the projector's grid")
        with torch.no_grad():
            if self._fused is not None:
                sums = self._fused.forward(mu_per_mm[:, 0])
                return sums.view(-1, self.views, *self.size) * self._path_mm
            volumes = mu_per_mm[:, 0].to(self.dtype)
            images = volumes.new_zeros((len(volumes), self.views, *self.size))
            for term in self._terms:
                images[term.volumes, term.view] = term.sums.forward(volumes[term.volumes])
            return images.mul_(self._path_mm)

    def adjoint(self, projections: Tensor) -> Tensor:
        """Back-project: (B, V, R, C) to (B, 1, D, H, W), the transpose; differentiable."""
        return self._linear(projections, transposed=True)

    def __call__(self, mu_per_mm: Tensor) -> Tensor:
        """Project with gradients with respect to the volume; see ``forward``."""
        return self._linear(mu_per_mm, transposed=False)

    def _linear(self, values: Tensor, transposed: bool) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            result: Tensor = _Linear.apply(values, self, transposed)  # type: ignore[no-untyped-call]
        return result

    def _transpose(self, projections: Tensor) -> Tensor:
        self._check(projections, (self.views, *self.size), "(batch, views, rows, columns)")
        weighted = projections.to(self.dtype) * self._path_mm
        if self._fused is not None:
            return self._fused.adjoint(weighted.flatten(2), self.shape)[:, None]
        volumes = weighted.new_zeros((len(weighted), *self.shape))
        for term in self._terms:
            term.sums.add_adjoint(weighted[term.volumes, term.view], volumes[term.volumes])
        return volumes[:, None]

    def _build_terms(self, geometries: Sequence[AcquisitionGeometry], grid: Grid) -> None:
        """Plan every view on its own; views that several volumes share are planned once."""
        names: list[set[str]] = [set() for _ in range(self.views)]
        paths, known = [], dict[ViewGeometry, _Planned]()
        for number, geometry in enumerate(geometries):
            volumes = slice(None) if self._batch is None else slice(number, number + 1)
            for place, view in enumerate(geometry.views):
                if view not in known:
                    known[view] = _planned(view, grid, self.device, self.dtype)
                names[place].add(known[view].backend)
                paths.append(known[view].path_mm)
                self._terms.append(_Term(volumes, place, known[view].sums))
        self.backends = tuple("+".join(sorted(of_view)) for of_view in names)
        self._path_mm = torch.stack(paths).view(len(geometries), self.views, *self.size)

    def _check(self, values: Tensor, shape: tuple[int, ...], wanted: str) -> None:
        fits = values.dim() > 1 and values.shape[1:] == shape
        if not fits or self._batch not in (None, len(values)):
            number = "" if self._batch is None else f" for {self._batch} geometries"
            raise InputError(
                "BAD_SHAPE",
                f"A tensor of shape {tuple(values.shape)} does not fit (batch, "
                f"{', '.join(map(str, shape))}){number}.",
                f"Give {wanted}, and one geometry a volume or one for all.",
            )
        if not values.is_floating_point():
            raise InputError(
                "BAD_NUMBER_TYPE",
                f"A tensor of {values.dtype} cannot be projected.",
                "Convert it to a floating-point type.",
            )
        if values.device != self.device:
            raise InputError(
                "DEVICE_MISMATCH",
                f"The tensor is on {values.device}, the projector on {self.device}.",
                "Move the tensor, or build the projector with device=tensor.device.",
            )


def project(
    mu_per_mm: Tensor, grid: Grid, geometry: AcquisitionGeometry | Sequence[AcquisitionGeometry]
) -> Tensor:
    """Project once: (B, 1, D, H, W) in 1/mm to (B, V, R, C), differentiable in the volume.

    Keep a ``Projector`` instead where the same geometry is used again.
    """
    dtype = torch.float64 if mu_per_mm.dtype == torch.float64 else torch.float32
    return Projector(grid, geometry, mu_per_mm.device, dtype)(mu_per_mm)


class _Linear(torch.autograd.Function):
    """A projector or its transpose; the gradient of either is the other."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, projector: Projector, transposed: bool) -> Tensor:
        ctx.projector, ctx.transposed, ctx.dtype = projector, transposed, values.dtype
        return projector._transpose(values) if transposed else projector.forward(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        gradient: Tensor = ctx.projector._linear(gradients[0], not ctx.transposed)
        return gradient.to(ctx.dtype), None, None


@dataclass(frozen=True)
class _Planned:
    """How a view is computed, and its (R, C) path lengths."""

    backend: str
    sums: ViewSums
    path_mm: Tensor


@dataclass(frozen=True)
class _Term:
    """A view's operator and the images of the batch that it makes."""

    volumes: slice
    view: int
    sums: ViewSums


class _FusedViews:
    """All views of all geometries as one kernel launch."""

    def __init__(
        self,
        geometries: Sequence[AcquisitionGeometry],
        grid: Grid,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._size = geometries[0].views[0].size
        self._shape = grid.shape
        self._rays = [
            _joined([g.views[view] for g in geometries], grid, device, dtype)
            for view in range(len(geometries[0].views))
        ]
        self._lines = torch.stack([one.lines for one in self._rays], dim=1)
        self._plans: dict[int, triton_rays.LaunchPlan] = {}
        self.path_mm = torch.stack([one.path_mm for one in self._rays], dim=1)

    def forward(self, volumes: Tensor) -> Tensor:
        """Return (B * V, R * C) sums of (B, D, H, W)."""
        plan = self._plan(len(volumes))
        return triton_rays.forward(volumes, self._lines, plan)

    def adjoint(self, sums: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """Return (B, D, H, W)."""
        plan = self._plan(len(sums))
        return triton_rays.adjoint(
            sums.flatten(0, 1), self._lines, plan, torch.Size((len(sums), *shape))
        )

    def _plan(self, batch: int) -> triton_rays.LaunchPlan:
        if batch not in self._plans:
            self._plans = {
                batch: triton_rays.LaunchPlan(self._rays, self._shape, batch, self._size)
            }
        return self._plans[batch]


def _joined(
    views: Sequence[ViewGeometry], grid: Grid, device: torch.device, dtype: torch.dtype
) -> RayLines:
    """Return the rays of the same view in several geometries, one set each."""
    sets = [ray_lines(fixed_pose(view, device), grid).to(dtype) for view in views]
    return RayLines(
        sum((one.axes for one in sets), ()),
        torch.cat([one.lines for one in sets]),
        torch.cat([one.limits for one in sets]),
        torch.cat([one.path_mm for one in sets]),
    )


def _planned(view: ViewGeometry, grid: Grid, device: torch.device, dtype: torch.dtype) -> _Planned:
    if is_separable(grid, view):
        plan = plan_view(grid, view)
        sums = separable_sums(plan, grid.shape, device, dtype)
        return _Planned("separable", sums, torch.as_tensor(plan.path_mm).to(device, dtype))
    shear = plan_shear(grid, view)
    warped = ShearWarpSums(shear, grid.shape, device, dtype)
    return _Planned("shear-warp", warped, torch.as_tensor(shear.path_mm).to(device, dtype))


def _common_detector(geometries: Sequence[AcquisitionGeometry]) -> tuple[int, tuple[int, int]]:
    """Return the number of views and the detector size that all geometries share."""
    counts = {len(geometry.views) for geometry in geometries}
    sizes = {view.size for geometry in geometries for view in geometry.views}
    if len(counts) != 1 or len(sizes) != 1:
        raise InputError(
            "BAD_GEOMETRY",
            f"The geometries have {sorted(counts)} views with detectors of {sorted(sizes)}.",
            "Give all views the same number of rows and columns, all volumes as many views.",
        )
    return counts.pop(), sizes.pop()
