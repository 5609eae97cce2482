"""Rays of any pose: the slice sums against the reference, and their gradients by the pose."""

from __future__ import annotations

import numpy as np
import projector_reference as reference
import pytest
import torch
from random_poses import acquisition, random_grid, random_view

from TomoRayCore.drr import torch_rays
from TomoRayCore.drr.torch_pose import ViewPose, fixed_pose, pose
from TomoRayCore.drr.torch_rays import project_rays
from TomoRayCore.errors import InputError
from TomoRayCore.presets import from_preset, make_view
from TomoRayCore.volume import Grid, canonical_grid

ISOCENTRE = (2.0, -3.0, 1.0)


def uniform(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def smooth(grid: Grid) -> torch.Tensor:
    """A blob that is wide beside a voxel, (1, 1, D, H, W)."""
    axes = [torch.linspace(-1.6, 1.6, n, dtype=torch.float64) for n in grid.shape]
    k, j, i = torch.meshgrid(*axes, indexing="ij")
    return torch.exp(-2 * (k**2 + (j - 0.2) ** 2 + (i + 0.1) ** 2 + 0.5 * i * k))[None, None]


@pytest.mark.parametrize("seed", range(9))
def test_random_poses_agree_with_a_finely_sampled_reference(seed: int) -> None:
    grid = random_grid(seed, low=20, high=30)
    view = random_view(seed, grid)
    mu = smooth(grid)
    image = project_rays(mu, grid, acquisition(view))[0, 0].numpy()
    sampled = reference.sampled_line_integrals(mu[0, 0].numpy(), grid, view, step_mm=0.4)
    assert sampled.max() > 1
    assert np.abs(image - sampled).max() < 0.01 * sampled.max()


def test_moving_nothing_changes_nothing() -> None:
    grid = random_grid(1)
    view = random_view(1, grid)
    still = pose(view, ISOCENTRE, torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2), None)
    expected = fixed_pose(view).expand(2)
    for name in ("source", "centre", "u", "v"):
        torch.testing.assert_close(getattr(still, name), getattr(expected, name))


@pytest.mark.parametrize("beam", ["cone", "parallel"])
def test_turning_source_and_detector_by_an_angle_is_the_view_at_that_angle(beam: str) -> None:
    numbers = {"sad_mm": 700, "sdd_mm": 1100, "detector_mm": 90, "size": 6, "beam": beam}
    view = make_view("one", 10, isocentre_lps=ISOCENTRE, **numbers)
    expected = fixed_pose(make_view("one", 35, isocentre_lps=ISOCENTRE, **numbers)).rays()
    turn = torch.tensor([[0.0, 0.0, np.radians(25)]])
    turned = pose(view, ISOCENTRE, turn, torch.zeros(1, 3)).rays()
    for ours, theirs in zip(turned, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-4)


def test_distances_change_as_asked() -> None:
    numbers = {"detector_mm": 90, "size": 6, "isocentre_lps": ISOCENTRE, "tilt_deg": 12}
    view = make_view("one", 40, sad_mm=700, sdd_mm=1100, **numbers)
    expected = fixed_pose(make_view("one", 40, sad_mm=720, sdd_mm=1090, **numbers))
    zero = torch.zeros(1, 3)
    moved = pose(view, ISOCENTRE, zero, zero, torch.tensor([20.0]), torch.tensor([-10.0]))
    torch.testing.assert_close(moved.source, expected.source)
    torch.testing.assert_close(moved.centre, expected.centre)


def test_moving_the_source_and_detector_is_moving_the_patient_the_other_way() -> None:
    grid = canonical_grid(ISOCENTRE, (14, 16, 15), 4.0)
    moved = canonical_grid(np.add(ISOCENTRE, (3.0, -5.0, 2.0)), (14, 16, 15), 4.0)
    geometry = from_preset(isocentre_lps=ISOCENTRE, size=9, field_mm=70)
    mu = uniform((1, 1, 14, 16, 15), 1)
    shift = torch.tensor([[-3.0, 5.0, -2.0]])
    poses = [pose(view, ISOCENTRE, torch.zeros(1, 3), shift) for view in geometry.views]
    expected = project_rays(mu, moved, geometry)
    torch.testing.assert_close(project_rays(mu, grid, poses), expected)


@pytest.mark.parametrize("beam", ["cone", "parallel"])
def test_gradients_by_volume_and_pose_pass_gradcheck(
    beam: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_rays, "SAMPLES_AT_ONCE", 30)
    grid = random_grid(3, low=3, high=6)
    numbers = {"detector_mm": 30, "size": (3, 2), "isocentre_lps": grid.centre_lps, "beam": beam}
    view = make_view("one", 33, sad_mm=400, sdd_mm=600, tilt_deg=20, **numbers)

    def images(mu: torch.Tensor, *motion: torch.Tensor) -> torch.Tensor:
        return project_rays(mu, grid, [pose(view, grid.centre_lps, *motion)])

    arguments = [
        uniform((1, 1, *grid.shape), 1),
        0.2 * uniform((2, 3), 2),
        2 * uniform((2, 3), 3),
        uniform((2,), 4),
        uniform((2,), 5),
    ]
    for argument in arguments:
        argument.requires_grad_()
    assert torch.autograd.gradcheck(images, arguments, atol=1e-5)


def test_a_pose_is_found_again_from_its_image() -> None:
    grid = canonical_grid(ISOCENTRE, 20, 6.0)
    mu = smooth(grid)
    geometry = from_preset(isocentre_lps=ISOCENTRE, size=12, field_mm=130)
    wanted = torch.tensor([[0.06, -0.04, 0.05, 2.0, -3.0, 1.5]], dtype=torch.float64)
    scale = torch.tensor([0.02, 0.02, 0.02, 1.0, 1.0, 1.0], dtype=torch.float64)

    def images(motion: torch.Tensor) -> torch.Tensor:
        return project_rays(
            mu,
            grid,
            [pose(v, ISOCENTRE, motion[:, :3], motion[:, 3:]) for v in geometry.views],
        )

    seen = images(wanted)
    found = torch.zeros_like(wanted).requires_grad_()
    optimiser = torch.optim.LBFGS([found], max_iter=40, line_search_fn="strong_wolfe")

    def misfit() -> torch.Tensor:
        optimiser.zero_grad()
        loss = (images(found * scale) - seen).square().mean()
        loss.backward()
        return loss

    optimiser.step(misfit)
    error = (found.detach() * scale - wanted).abs()
    assert error[0, :3].max() < 1e-3
    assert error[0, 3:].max() < 0.05


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = random_grid(5)
    geometry = acquisition(random_view(5, grid), random_view(7, grid, label="other"))
    mu = uniform((2, 1, *grid.shape), 1).requires_grad_()
    images = project_rays(mu, grid, geometry)
    (gradient,) = torch.autograd.grad(images.square().sum(), mu)
    monkeypatch.setattr(torch_rays, "SAMPLES_AT_ONCE", 1)
    again = project_rays(mu, grid, geometry)
    torch.testing.assert_close(again, images)
    (other,) = torch.autograd.grad(again.square().sum(), mu)
    torch.testing.assert_close(other, gradient)


def test_poses_with_different_slice_axes_go_together() -> None:
    grid = canonical_grid(ISOCENTRE, (9, 11, 10), 5.0)
    view = from_preset(isocentre_lps=ISOCENTRE, size=5, field_mm=60).views[0]
    turns = torch.tensor([[0.0, 0.0, 0.1], [0.0, 0.0, 1.4], [1.3, 0.0, 0.0]])
    together = pose(view, ISOCENTRE, turns, torch.zeros(3, 3))
    mu = uniform((3, 1, *grid.shape), 1)
    images = project_rays(mu, grid, [together])
    for number in range(3):
        alone = pose(view, ISOCENTRE, turns[number : number + 1], torch.zeros(1, 3))
        single = project_rays(mu[number : number + 1], grid, [alone])
        torch.testing.assert_close(images[number : number + 1], single)


def test_one_volume_is_seen_in_many_poses() -> None:
    grid = random_grid(6)
    view = random_view(4, grid)
    turns = 0.1 * uniform((3, 3), 1)
    mu = uniform((1, 1, *grid.shape), 2)
    poses = pose(view, grid.centre_lps, turns, torch.zeros(3, 3))
    images = project_rays(mu, grid, [poses, fixed_pose(view)])
    repeated = project_rays(mu.expand(3, -1, -1, -1, -1), grid, [poses, fixed_pose(view)])
    assert images.shape == (3, 2, 9, 7)
    torch.testing.assert_close(images, repeated)


def test_half_precision_is_computed_in_float32() -> None:
    grid = random_grid(8)
    geometry = acquisition(random_view(8, grid))
    half = uniform((1, 1, *grid.shape), 1).bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = project_rays(half, grid, geometry)
    assert torch.equal(images, project_rays(half.float(), grid, geometry))
    images.sum().backward()
    assert half.grad.dtype == torch.bfloat16


def test_a_volume_one_voxel_thick_has_rays_too() -> None:
    for shape in ((1, 9, 8), (9, 1, 8), (9, 8, 1), (1, 1, 1)):
        grid = canonical_grid((0, 0, 0), shape, 5.0)
        view = random_view(1, grid)
        mu = torch.ones((1, 1, *shape), dtype=torch.float64)
        image = project_rays(mu, grid, acquisition(view))[0, 0].numpy()
        assert np.isfinite(image).all()
        assert image.max() > 0


def test_an_empty_batch_gives_an_empty_batch() -> None:
    grid = random_grid(9)
    mu = torch.zeros((0, 1, *grid.shape), requires_grad=True)
    images = project_rays(mu, grid, acquisition(random_view(1, grid)))
    images.sum().backward()
    assert images.shape == (0, 1, 9, 7)


def test_a_ray_along_the_slices_is_refused() -> None:
    vectors = [(0.0, -10.0, 0.0), (0.0, 10.0, 0.0), (0.6, -0.8, 0.0), (0.0, 0.0, -1.0)]
    source, centre, u, v = (torch.tensor([vector], dtype=torch.float64) for vector in vectors)
    grid, mu = canonical_grid((0, 0, 0), 4, 2.0), torch.ones(1, 1, 4, 4, 4)
    # The outer pixel is at (15, -10, 0): its ray is at a right angle to the central one.
    assert project_rays(mu, grid, [ViewPose(source, centre, u, v, (5.0, 24.0), (1, 3))]).any()
    with pytest.raises(InputError) as caught:
        project_rays(mu, grid, [ViewPose(source, centre, u, v, (5.0, 25.0), (1, 3))])
    assert caught.value.code == "BAD_GEOMETRY"


@pytest.mark.parametrize("shape", [(2, 1, 4, 4, 5), (2, 4, 4, 4), (2, 1, 4, 4, 4)])
def test_batches_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    grid = canonical_grid((0, 0, 0), 4, 5.0)
    poses = pose(random_view(1, grid), grid.centre_lps, torch.zeros(3, 3), torch.zeros(3, 3))
    with pytest.raises(InputError) as caught:
        project_rays(torch.zeros(shape), grid, [poses])
    assert caught.value.code == "BAD_SHAPE"


def test_motions_that_do_not_fit_are_refused() -> None:
    view = random_view(1, random_grid(1))
    for motion in ((torch.zeros(2, 3), torch.zeros(1, 3)), (torch.zeros(2, 4), torch.zeros(2, 3))):
        with pytest.raises(InputError) as caught:
            pose(view, (0, 0, 0), *motion)
        assert caught.value.code == "BAD_SHAPE"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_gives_the_same_images_and_gradients() -> None:
    grid = random_grid(10)
    view = random_view(10, grid)
    results = []
    for device in ("cpu", "cuda"):
        mu = uniform((1, 1, *grid.shape), 1).to(device).requires_grad_()
        turns = (0.1 * uniform((2, 3), 2)).to(device).requires_grad_()
        moved = pose(view, grid.centre_lps, turns, torch.zeros((2, 3), device=device))
        images = project_rays(mu, grid, [moved])
        gradients = torch.autograd.grad(images.square().sum(), (mu, turns))
        results.append([value.detach().cpu() for value in (images, *gradients)])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected)
