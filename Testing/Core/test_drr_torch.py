"""The torch projector: its transpose, its gradients, its batches, and what it refuses."""

from __future__ import annotations

import numpy as np
import projector_reference as reference
import pytest
import torch
from random_poses import acquisition, face_view, random_grid, random_view

from TomoRayCore.backproject import backproject
from TomoRayCore.drr import torch_separable
from TomoRayCore.drr.plan import plan_view
from TomoRayCore.drr.shear_warp import plan_shear
from TomoRayCore.drr.torch_projector import Projector, project
from TomoRayCore.drr.torch_rays import project_rays
from TomoRayCore.drr.torch_separable import ArraySums, TensorSums
from TomoRayCore.drr.torch_shear_warp import ArrayWarp, TensorWarp
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.presets import from_preset, make_view
from TomoRayCore.volume import Grid, canonical_grid

SEEDS = range(6)
KINDS = {"separable": face_view, "shear-warp": random_view}


def uniform(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def scene(kind: str, seed: int) -> tuple[Grid, AcquisitionGeometry]:
    """A random volume seen from two sides."""
    grid = random_grid(seed)
    view = KINDS[kind]
    return grid, acquisition(view(seed, grid, label="one"), view(seed + 100, grid, label="two"))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_adjoint_is_the_transpose(
    kind: str, seed: int, dtype: torch.dtype, bound: float
) -> None:
    grid, geometry = scene(kind, seed)
    projector = Projector(grid, geometry, dtype=dtype)
    x, y = uniform((3, 1, *grid.shape), 1, dtype), uniform((3, 2, 9, 7), 2, dtype)
    left = (projector.forward(x).double() * y).sum()
    right = (projector.adjoint(y).double() * x).sum()
    assert left > 0
    assert abs(left / right - 1) <= bound


@pytest.mark.parametrize("kind", KINDS)
def test_each_view_says_how_it_was_computed(kind: str) -> None:
    grid, geometry = scene(kind, 1)
    assert Projector(grid, geometry).backends == (kind, kind)


def test_views_of_both_kinds_go_together() -> None:
    grid = random_grid(2)
    views = face_view(1, grid), random_view(1, grid)
    projector = Projector(grid, acquisition(*views), dtype=torch.float64)
    assert projector.backends == ("separable", "shear-warp")
    mu = uniform((1, 1, *grid.shape), 3)
    for number, view in enumerate(views):
        alone = project(mu, grid, acquisition(view))
        torch.testing.assert_close(projector(mu)[:, number], alone[:, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_the_back_projection_of_the_residual(kind: str) -> None:
    grid, geometry = scene(kind, 4)
    projector = Projector(grid, geometry, dtype=torch.float64)
    mu = uniform((2, 1, *grid.shape), 1).requires_grad_()
    seen = uniform((2, 2, 9, 7), 2)
    (0.5 * (projector(mu) - seen).square().sum()).backward()
    residual = projector.forward(mu) - seen
    torch.testing.assert_close(mu.grad, backproject(residual, geometry, grid))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_projector_and_adjoint_pass_gradcheck(kind: str) -> None:
    grid = random_grid(5, low=3, high=5)
    geometry = acquisition(KINDS[kind](1, grid, size=(4, 3)))
    projector = Projector(grid, geometry, dtype=torch.float64)
    mu = uniform((1, 1, *grid.shape), 1).requires_grad_()
    image = uniform((1, 1, 4, 3), 2).requires_grad_()
    assert torch.autograd.gradcheck(projector, (mu,))
    assert torch.autograd.gradcheck(projector.adjoint, (image,))
    assert torch.autograd.gradgradcheck(projector, (mu,))


def test_face_views_are_joseph_sums_ray_by_ray() -> None:
    for seed in SEEDS:
        grid, geometry = scene("separable", seed)
        mu = uniform((2, 1, *grid.shape), seed)
        torch.testing.assert_close(project(mu, grid, geometry), project_rays(mu, grid, geometry))


@pytest.mark.parametrize("seed", SEEDS)
def test_any_pose_of_any_grid_is_within_half_a_percent_of_its_rays(seed: int) -> None:
    grid = random_grid(seed, low=20, high=26)
    axes = [torch.linspace(-1.5, 1.5, n, dtype=torch.float64) for n in grid.shape]
    k, j, i = torch.meshgrid(*axes, indexing="ij")
    blob = torch.exp(-2 * (k**2 + (j - 0.2) ** 2 + (i + 0.1) ** 2 + 0.5 * i * k))[None, None]
    geometry = acquisition(random_view(seed, grid))
    rays = project_rays(blob, grid, geometry)
    assert (project(blob, grid, geometry) - rays).abs().max() < 0.005 * rays.max()


@pytest.mark.parametrize("angle", [17.0, 45.0, 130.0])
def test_any_pose_errs_by_less_than_half_a_percent_on_a_coarse_head(angle: float) -> None:
    grid = canonical_grid((2.0, -3.0, 1.0), 72, 2.7)
    head = reference.ellipsoid_volume(reference.HEAD, grid)
    mu = torch.from_numpy(np.maximum(head.array_hu + 1000.0, 0) * 2e-5)
    view = make_view(
        "any",
        angle,
        sad_mm=1000,
        sdd_mm=1400,
        detector_mm=(260, 300),
        size=(20, 24),
        isocentre_lps=(2.0, -3.0, 1.0),
        tilt_deg=12,
        rotate_deg=-20,
    )
    image = project(mu[None, None], grid, acquisition(view))[0, 0].numpy()
    sampled = reference.sampled_line_integrals(mu.numpy(), grid, view, step_mm=0.5)
    body = sampled > 0.5
    error = (image - sampled)[body]
    assert np.sqrt((error**2).mean()) / sampled[body].mean() < 0.005


def test_each_volume_of_a_batch_may_have_its_own_geometry() -> None:
    grid = random_grid(7)
    geometries = [
        acquisition(face_view(1, grid, label="one"), random_view(2, grid, label="two")),
        acquisition(random_view(4, grid, label="one"), random_view(5, grid, label="two")),
    ]
    projector = Projector(grid, geometries, dtype=torch.float64)
    assert projector.backends == ("separable+shear-warp", "shear-warp")
    mu, images = uniform((2, 1, *grid.shape), 1), uniform((2, 2, 9, 7), 2)
    for number, geometry in enumerate(geometries):
        one = slice(number, number + 1)
        torch.testing.assert_close(projector(mu)[one], project(mu[one], grid, geometry))
        alone = backproject(images[one], geometry, grid)
        torch.testing.assert_close(projector.adjoint(images)[one], alone)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_members(kind: str) -> None:
    grid, geometry = scene(kind, 8)
    projector = Projector(grid, geometry)
    mu = uniform((3, 1, *grid.shape), 1, torch.float32)
    singles = torch.cat([projector(mu[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(projector(mu), singles)


@pytest.mark.parametrize("kind", KINDS)
def test_memory_order_makes_no_difference(kind: str) -> None:
    grid, geometry = scene(kind, 9)
    projector = Projector(grid, geometry)
    mu = uniform((4, 2, *grid.shape[::-1]), 1, torch.float32).permute(0, 1, 4, 3, 2)[::2, 1:]
    images = uniform((2, 7, 9, 4), 2, torch.float32).permute(0, 3, 2, 1)[:, ::2]
    torch.testing.assert_close(projector(mu), projector(mu.contiguous()))
    torch.testing.assert_close(projector.adjoint(images), projector.adjoint(images.contiguous()))


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_batch_gives_an_empty_batch(kind: str) -> None:
    grid, geometry = scene(kind, 10)
    projector = Projector(grid, geometry)
    mu = torch.zeros((0, 1, *grid.shape), requires_grad=True)
    images = projector(mu)
    images.sum().backward()
    assert images.shape == (0, 2, 9, 7)
    assert mu.grad.shape == mu.shape
    assert projector.adjoint(images).shape == mu.shape


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32_and_gets_its_gradient_back(
    kind: str, dtype: torch.dtype
) -> None:
    grid, geometry = scene(kind, 11)
    projector = Projector(grid, geometry)
    half = uniform((1, 1, *grid.shape), 1).to(dtype)
    leaf = half.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = projector(leaf)
    assert images.dtype == torch.float32
    assert torch.equal(images, projector.forward(half.float()))
    images.sum().backward()
    assert leaf.grad.dtype == dtype
    torch.testing.assert_close(leaf.grad, projector.adjoint(torch.ones_like(images)).to(dtype))


@pytest.mark.parametrize("shape", [(1, 14, 9), (14, 1, 9), (14, 9, 1), (1, 1, 1)])
def test_a_volume_one_voxel_thick_is_projected_and_back_projected(
    shape: tuple[int, int, int],
) -> None:
    grid = canonical_grid((0, 0, 0), shape, 3.0)
    geometry = from_preset(size=11, field_mm=40, views=("AP", "LAT", "30"))
    x, y = uniform((1, 1, *shape), 1), uniform((1, 3, 11, 11), 2)
    images = project(x, grid, geometry)
    assert (images.flatten(2).sum(-1) > 0).all()
    adjoint = (backproject(y, geometry, grid) * x).sum()
    torch.testing.assert_close((images * y).sum(), adjoint, rtol=1e-12, atol=0)


@pytest.mark.parametrize("at_once", [1, 700, 1 << 24])
def test_gathering_by_chunks_gives_what_the_array_primitives_give(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_separable, "ELEMENTS_AT_ONCE", at_once)
    for seed in SEEDS:
        grid = random_grid(seed)
        plan = plan_view(grid, face_view(seed, grid))
        gathered = TensorSums(plan, grid.shape, torch.device("cpu"), torch.float64)
        arrays = ArraySums(plan, torch.float64)
        volumes, images = uniform((2, *grid.shape), 1), uniform((2, 9, 7), 2)
        torch.testing.assert_close(gathered.forward(volumes), arrays.forward(volumes))
        results = [torch.ones_like(volumes) for _ in range(2)]
        for sums, result in zip((gathered, arrays), results, strict=True):
            sums.add_adjoint(images, result)
        torch.testing.assert_close(*results)


def test_the_warp_is_the_same_by_gathering() -> None:
    grid = random_grid(3)
    plan = plan_shear(grid, random_view(4, grid))
    arrays, gathered = ArrayWarp(plan), TensorWarp(plan, torch.device("cpu"), torch.float64)
    virtual, images = uniform((2, *plan.virtual_size), 1), uniform((2, 9, 7), 2)
    torch.testing.assert_close(gathered.forward(virtual), arrays.forward(virtual))
    torch.testing.assert_close(gathered.adjoint(images), arrays.adjoint(images))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_threads_make_no_difference(kind: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    grid, geometry = scene(kind, 14)
    projector = Projector(grid, geometry, dtype=torch.float64)
    mu, images = uniform((batch, 1, *grid.shape), 1), uniform((batch, 2, 9, 7), 2)
    expected = projector(mu), projector.adjoint(images)
    monkeypatch.setattr(torch_separable, "VOXELS_FOR_THREADS", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    torch.testing.assert_close((projector(mu), projector.adjoint(images)), expected)


def test_a_detector_inside_the_volume_sees_only_what_is_before_it() -> None:
    grid = canonical_grid((0, 0, 0), 20, 5.0)
    view = make_view(
        "any", 25, sad_mm=600, sdd_mm=612, detector_mm=40, size=9, tilt_deg=10, rotate_deg=5
    )
    (x, y), geometry = (uniform((1, 1, 20, 20, 20), 1), uniform((1, 1, 9, 9), 2)), acquisition(view)
    sampled = reference.sampled_line_integrals(np.ones(grid.shape), grid, view, step_mm=0.5)
    images = project(torch.ones_like(x), grid, geometry)
    # The ray goes through some 50 mm before the isocentre and 12 mm behind it.
    assert images.max() < 0.75 * sampled.max()
    left, right = (project(x, grid, geometry) * y).sum(), (backproject(y, geometry, grid) * x).sum()
    torch.testing.assert_close(left, right, rtol=1e-12, atol=0)


def test_arrays_are_back_projected_into_an_array() -> None:
    grid, geometry = scene("separable", 12)
    images = [uniform((9, 7), n, torch.float32) for n in range(2)]
    array = backproject([image.numpy() for image in images], geometry, grid)
    assert array.shape == grid.shape
    tensor = backproject(torch.stack(images)[None], geometry, grid)
    np.testing.assert_allclose(array, tensor[0, 0].numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (torch.zeros(2, 1, 5, 6, 8), "BAD_SHAPE"),
        (torch.zeros(2, 5, 6, 7), "BAD_SHAPE"),
        (torch.zeros(3, 1, 5, 6, 7), "BAD_SHAPE"),
        (torch.zeros(2, 1, 5, 6, 7, dtype=torch.int16), "BAD_NUMBER_TYPE"),
        (torch.zeros(2, 1, 5, 6, 7, dtype=torch.complex64), "BAD_NUMBER_TYPE"),
        (torch.zeros(2, 1, 5, 6, 7, device="meta"), "DEVICE_MISMATCH"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(values: torch.Tensor, code: str) -> None:
    grid = canonical_grid((0, 0, 0), (5, 6, 7), 4.0)
    projector = Projector(
        grid, [from_preset(size=4, field_mm=40), from_preset(size=4, field_mm=40)]
    )
    with pytest.raises(InputError) as caught:
        projector(values)
    assert caught.value.code == code


def test_images_that_do_not_fit_the_detectors_are_refused() -> None:
    projector = Projector(canonical_grid((0, 0, 0), 5, 4.0), from_preset(size=4, field_mm=40))
    for shape in ((1, 2, 4, 5), (1, 3, 4, 4), (2, 4, 4)):
        with pytest.raises(InputError) as caught:
            projector.adjoint(torch.zeros(shape))
        assert caught.value.code == "BAD_SHAPE"


def test_geometries_that_do_not_go_together_are_refused() -> None:
    grid = canonical_grid((0, 0, 0), 5, 4.0)
    one = from_preset(size=4, field_mm=40)
    others = (
        [from_preset(size=5, field_mm=40)],
        [one, from_preset(size=4, field_mm=40, views=("AP",))],
        [],
    )
    for geometries in ([one, *others[0]], others[1], others[2]):
        with pytest.raises(InputError) as caught:
            Projector(grid, geometries)
        assert caught.value.code == "BAD_GEOMETRY"
    with pytest.raises(InputError) as caught:
        Projector(grid, one, dtype=torch.float16)
    assert caught.value.code == "BAD_NUMBER_TYPE"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_the_gpu_gives_what_the_cpu_gives(kind: str) -> None:
    grid, geometry = scene(kind, 13)
    mu, images = uniform((2, 1, *grid.shape), 1), uniform((2, 2, 9, 7), 2)
    on_gpu = Projector(grid, geometry, "cuda", torch.float64)
    # Where the fused kernels run, they follow every ray; shear-warp interpolates its image.
    expected = project_rays(mu, grid, geometry)
    bound = 1e-9 if kind == "separable" or "fused" in on_gpu.backends else 0.02
    torch.testing.assert_close(on_gpu(mu.cuda()).cpu(), expected, rtol=bound, atol=bound)
    left = (on_gpu(mu.cuda()).cpu() * images).sum()
    right = (on_gpu.adjoint(images.cuda()).cpu() * mu).sum()
    torch.testing.assert_close(left, right, rtol=1e-12, atol=0)
