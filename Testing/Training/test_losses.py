"""Losses: nothing for a perfect volume, and nothing from voxels that nobody scanned."""

from __future__ import annotations

import pytest
import torch

from TomoRayTraining.losses import l1_loss, masked_mean, mse_loss, projection_loss

LOSSES = (mse_loss, l1_loss, projection_loss)


def volumes(count: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return prediction, target and a mask of about half the voxels."""
    random = torch.Generator().manual_seed(2)
    prediction, target = (torch.rand(count, 1, 6, 7, 8, generator=random) for _ in range(2))
    mask = (torch.rand(count, 1, 6, 7, 8, generator=random) > 0.5).float()
    return prediction, target, mask


@pytest.mark.parametrize("loss", LOSSES)
def test_a_perfect_volume_has_no_loss(loss):
    _, target, mask = volumes()
    assert loss(target, target, mask).item() == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_a_wrong_volume_has_one_and_a_more_wrong_one_has_more(loss):
    _, target, mask = volumes()
    assert 0 < loss(target + 0.1, target, mask) < loss(target + 0.2, target, mask)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_nobody_scanned_has_no_influence(loss):
    prediction, target, mask = volumes()
    other_prediction = torch.where(mask > 0, prediction, prediction + 50)
    other_target = torch.where(mask > 0, target, target - 50)
    before = loss(prediction, target, mask)
    assert torch.equal(loss(other_prediction, target, mask), before)
    assert torch.equal(loss(prediction, other_target, mask), before)


@pytest.mark.parametrize("loss", LOSSES)
def test_no_gradient_flows_into_what_nobody_scanned(loss):
    prediction, target, mask = volumes()
    prediction.requires_grad_()
    loss(prediction, target, mask).backward()
    assert not prediction.grad[mask == 0].any()
    assert prediction.grad[mask > 0].any()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_head_of_which_nothing_was_scanned_has_a_finite_loss(loss):
    prediction, target, mask = volumes()
    assert loss(prediction, target, torch.zeros_like(mask)).item() == 0


def test_the_mean_is_over_scanned_voxels():
    values = torch.tensor([1.0, 2.0, 3.0, 100.0])
    assert masked_mean(values, torch.tensor([1.0, 1.0, 1.0, 0.0])).item() == 2


def test_a_uniform_error_is_itself():
    _, target, mask = volumes()
    assert l1_loss(target + 0.25, target, mask).item() == pytest.approx(0.25)
    assert mse_loss(target + 0.25, target, mask).item() == pytest.approx(0.0625)
    everywhere = torch.ones_like(mask)
    assert projection_loss(target - 0.25, target, everywhere).item() == pytest.approx(0.25)


def test_errors_that_cancel_along_every_ray_are_no_projection_error():
    _, target, mask = volumes()
    signs = torch.tensor(
        [(-1.0) ** (d + h + w) for d in range(6) for h in range(7) for w in range(8)]
    )
    checkered = 0.1 * signs.view(1, 1, 6, 7, 8)
    checkered[:, :, :, 6] = 0  # an even number along each axis
    everywhere = torch.ones_like(mask)
    assert projection_loss(target + checkered, target, everywhere).item() < 1e-6
    assert l1_loss(target + checkered, target, everywhere).item() > 0.05
