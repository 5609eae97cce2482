"""Run the fused CUDA kernels in Triton's interpreter and print how far off they are, as JSON.

A process of its own, because the interpreter is chosen by TRITON_INTERPRET before the import.
"""

from __future__ import annotations

import json

import numpy as np
import projector_reference as reference
import torch
from random_poses import acquisition, random_grid, random_view

from TomoRayCore.drr import torch_rays, triton_rays
from TomoRayCore.drr.torch_pose import pose
from TomoRayCore.drr.torch_projector import Projector
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.volume import Grid

SIZE = (9, 17)
"""Detector: more than one tile of 8 x 16 rays each way, the last ones not full."""


def uniform(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def scene(seed: int) -> tuple[Grid, AcquisitionGeometry]:
    """A volume seen from two sides, one of them a parallel beam."""
    grid = random_grid(seed, low=4, high=8)
    views = random_view(3 * seed, grid, SIZE, "one"), random_view(3 * seed + 1, grid, SIZE, "two")
    return grid, acquisition(*views)


def off(ours: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference as a share of the largest value."""
    return float((ours.double() - expected.double()).abs().max() / expected.abs().max())


def fused(grid: Grid, geometry: object, dtype: torch.dtype = torch.float64) -> Projector:
    projector = Projector(grid, geometry, dtype=dtype)
    if set(projector.backends) != {"fused"}:
        raise SystemExit(f"the kernels were not used: {projector.backends}")
    return projector


def without_kernels(*arguments: object) -> torch.Tensor:
    usable, triton_rays.is_usable = triton_rays.is_usable, lambda device: False
    try:
        return torch_rays.project_rays(*arguments)
    finally:
        triton_rays.is_usable = usable


def forward() -> float:
    grid, geometry = scene(1)
    mu = uniform((2, 1, *grid.shape), 1)
    return off(fused(grid, geometry)(mu), without_kernels(mu, grid, geometry))


def transpose(dtype: torch.dtype) -> float:
    grid, geometry = scene(3)
    projector = fused(grid, geometry, dtype)
    x, y = uniform((2, 1, *grid.shape), 1, dtype), uniform((2, 2, *SIZE), 2, dtype)
    left = (projector.forward(x).double() * y).sum()
    return off(left, (projector.adjoint(y).double() * x).sum())


def gradients() -> float:
    """By volume and by pose, one volume in two poses."""
    grid, geometry = scene(4)
    mu = uniform((1, 1, *grid.shape), 1).requires_grad_()
    motion = [(0.2 * uniform((2, 3), 2)).requires_grad_(), uniform((2, 3), 3).requires_grad_()]
    results = []
    for project in (torch_rays.project_rays, without_kernels):
        poses = [pose(view, grid.centre_lps, *motion) for view in geometry.views]
        images = project(mu, grid, poses)
        gradients = torch.autograd.grad(images.square().sum(), (mu, *motion))
        results.append((images.detach(), *gradients))
    return max(off(*pair) for pair in zip(*results, strict=True))


def own_geometry() -> float:
    """Each volume its own views, so that slice axes differ within a batch."""
    grid, first = scene(5)
    others = [acquisition(random_view(n, grid, SIZE, "one"), first.views[1]) for n in (22, 25)]
    geometries = [first, *others]
    mu = uniform((3, 1, *grid.shape), 1)
    images = fused(grid, geometries)(mu)
    singles = [without_kernels(mu[n : n + 1], grid, g) for n, g in enumerate(geometries)]
    return off(images, torch.cat(singles))


def half_precision() -> float:
    grid, geometry = scene(6)
    half = uniform((1, 1, *grid.shape), 1).bfloat16()
    leaf = half.clone().requires_grad_()
    projector = fused(grid, geometry, torch.float32)
    images = projector(leaf)
    images.sum().backward()
    whole = projector.adjoint(torch.ones_like(images)).bfloat16()
    return max(off(images.detach(), projector(half.float())), off(leaf.grad, whole))


def one_program_a_tile() -> float:
    """The tiles as they are on a GPU, without dealing slices out to several programs."""
    triton_rays.TILE, triton_rays.PROGRAMS_WANTED = (8, 16), 1
    return max(forward(), transpose(torch.float64))


def reference_line_integrals() -> float:
    """Against a finely sampled trilinear reference, on a smooth blob."""
    grid = random_grid(7, low=18, high=22)
    axes = np.meshgrid(*[np.linspace(-1.6, 1.6, n) for n in grid.shape], indexing="ij")
    blob = np.exp(-2 * sum(axis**2 for axis in axes))
    view = random_view(8, grid, (5, 6))
    images = fused(grid, acquisition(view))(torch.from_numpy(blob)[None, None])
    sampled = reference.sampled_line_integrals(blob, grid, view, step_mm=0.4)
    return off(images[0, 0], torch.from_numpy(sampled))


def empty_batch() -> float:
    grid, geometry = scene(8)
    projector = fused(grid, geometry)
    images = projector(torch.zeros((0, 1, *grid.shape), dtype=torch.float64))
    volumes = projector.adjoint(images)
    return float(images.shape != (0, 2, *SIZE) or volumes.shape != (0, 1, *grid.shape))


def main() -> None:
    trouble = triton_rays._trial(torch.device("cpu"))
    triton_rays.is_usable = lambda device: True
    # The interpreter runs programs one after the other, so there shall be few.
    triton_rays.TILE, triton_rays.PROGRAMS_WANTED = (8, 32), 16
    results = {
        "trial": float(bool(trouble)),
        "forward": forward(),
        "transpose in float64": transpose(torch.float64),
        "transpose in float32": transpose(torch.float32),
        "gradients": gradients(),
        "own geometry": own_geometry(),
        "half precision": half_precision(),
        "reference": reference_line_integrals(),
        "empty batch": empty_batch(),
        "one program a tile": one_program_a_tile(),
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
