"""RT-SRTS: published size, links that are what they say, certainty that weighs the segmentation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from TomoRayCore.errors import InputError
from TomoRayCore.nets import build, parameter_count
from TomoRayCore.nets.rt_srts import RTSRTS, _AttentionLink, uncertainty_of

SLIM = {"width": 0.03125, "input_size": 64, "output_size": 64}


def slim(**changes) -> RTSRTS:
    torch.manual_seed(41)
    return RTSRTS(**{**SLIM, **changes})


def images(net: RTSRTS, count: int = 1, seed: int = 3) -> Tensor:
    shape = (count, net.view_count, net.input_size, net.input_size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------- published size


@pytest.mark.parametrize(("views", "weights"), [(1, 624_019_488), (2, 624_023_584)])
def test_the_published_network_has_the_published_number_of_weights(views, weights):
    """624.02 M in print; a second image adds 16 taps to each of 256 kernels."""
    with torch.device("meta"):
        net = build("rt-srts", {"views": views})
    assert parameter_count(net) == weights


def test_the_published_network_gives_128_voxels_along_each_edge():
    with torch.device("meta"), torch.no_grad():
        net = build("rt-srts")
        assert net(torch.zeros(1, 1, 128, 128)).shape == (1, 1, 128, 128, 128)
        volume, segmentation, uncertainty = net.segment(torch.zeros(1, 1, 128, 128))
    assert volume.shape == uncertainty.shape == (1, 1, 128, 128, 128)
    assert segmentation.shape == (1, 2, 128, 128, 128)


# ------------------------------------------------------------------------------- parts


def test_a_link_is_attention_between_channels_then_a_plain_convolution_of_the_repeated_map():
    torch.manual_seed(2)
    link = _AttentionLink(5, 3, "channels")
    image = torch.randn(2, 5, 6, 6)
    rows = link.reduce(image).flatten(2)
    attended = torch.softmax(rows @ rows.transpose(1, 2), dim=2) @ rows
    repeated = attended.view(2, 3, 6, 6)[:, :, :, None].expand(-1, -1, -1, 6, -1)
    with torch.no_grad():
        assert torch.allclose(link(image), link.finish(link.mix(repeated)), atol=1e-5)


def test_the_released_attention_reads_the_map_in_another_order():
    torch.manual_seed(2)
    link = _AttentionLink(5, 3, "released")
    image = torch.randn(1, 3, 4, 4)
    rows = image.flatten(2)
    expected = torch.softmax(rows @ rows.reshape(1, 16, 3), dim=2) @ rows
    assert torch.allclose(link._attended(image).flatten(2), expected)
    link.attention = "channels"
    assert not torch.allclose(link._attended(image).flatten(2), expected, atol=1e-3)


def test_uncertainty_is_one_where_two_classes_are_alike_and_falls_with_their_ratio():
    scores = torch.tensor([[0.5, 0.5, 0.0], [0.6, 0.1, 0.3], [0.98, 0.01, 0.01]]).T[None]
    expected = torch.tensor([1.0, 2.71828 ** (1 - 2), 2.71828 ** (1 - 98)])
    assert torch.allclose(uncertainty_of(scores)[0, 0], expected, atol=1e-5)


# ------------------------------------------------------------------------------- the whole


@pytest.mark.parametrize("views", [1, 2])
def test_the_volume_is_not_negative_and_the_segmentation_sums_to_one(views):
    net = slim(views=views, classes=3).eval()
    with torch.no_grad():
        volume, segmentation, uncertainty = net.segment(images(net, 2))
        assert torch.equal(net(images(net, 2)), volume)
    assert volume.shape == uncertainty.shape == (2, 1, 64, 64, 64)
    assert segmentation.shape == (2, 3, 64, 64, 64)
    assert volume.min() >= 0
    assert volume.std() > 0.01
    assert torch.allclose(segmentation.sum(dim=1), torch.ones(2, 64, 64, 64), atol=1e-5)
    assert uncertainty.min() >= 0
    assert uncertainty.max() <= 1


def test_a_spot_on_the_frontal_film_acts_along_its_rays():
    """Through the finest link alone: its row and column, every depth."""
    net = slim().eval()
    spotted = images(net)
    spotted[..., 10:14, 48:52] += 2.0  # superior, patient's left
    with torch.no_grad():
        net.mix_slices.weight.copy_(torch.eye(64)[:, :, None, None])
        for module in [*net.links[1:], net.cube]:
            for parameter in module.parameters():
                parameter.zero_()
        change = (net(spotted) - net(images(net)))[0, 0].abs()  # (D, H, W)
    shadow = change.mean(dim=1)
    row, column = divmod(int(shadow.argmax()), 64)
    assert 4 <= row <= 20
    assert 42 <= column <= 58
    profile = change[9:15, :, 47:53].mean(dim=(0, 2))
    assert profile[1:-1].min() > 0.5 * profile.mean()


def test_a_mixed_slice_lies_where_the_rays_stand_upright():
    """The last layer mixes H: swapping two of its rows swaps two coronal planes."""
    net = slim().eval()
    with torch.no_grad():
        before = net(images(net))
        net.mix_slices.weight[[5, 40]] = net.mix_slices.weight[[40, 5]]
        after = net(images(net))
    assert torch.allclose(after[..., 5, :], before[..., 40, :], atol=1e-5)
    assert torch.allclose(after[..., 40, :], before[..., 5, :], atol=1e-5)
    assert torch.allclose(after[..., 6, :], before[..., 6, :], atol=1e-5)


# ------------------------------------------------------------------------------- training


@pytest.mark.parametrize("views", [1, 2])
def test_a_gradient_reaches_every_weight_through_both_outputs(views):
    net = slim(views=views)
    volume, segmentation, _ = net.segment(images(net, 2))
    (volume.mean() + segmentation[:, 0].square().mean()).backward()
    assert not [k for k, p in net.named_parameters() if p.grad is None or not p.grad.any()]


def test_the_volume_alone_leaves_the_segmentation_out():
    net = slim()
    net(images(net)).square().mean().backward()
    untouched = {k for k, p in net.named_parameters() if p.grad is None}
    assert untouched == {k for k, _ in net.named_parameters() if k.startswith("segmentation.")}


def test_weights_start_as_published():
    net = slim(width=0.125)
    weight = net.decoder.levels[1][0].weight  # 64 taps, as many outputs as its second axis
    assert weight.std().item() == pytest.approx((2 / (64 * weight.shape[1])) ** 0.5, rel=0.05)
    assert not any(link.mix.bias.any() for link in net.links)


def test_autocast_changes_little():
    net = slim().eval()
    with torch.no_grad():
        expected = net(images(net))
        with torch.autocast("cpu", torch.bfloat16):
            output = net(images(net))
    assert output.dtype == torch.bfloat16
    assert (output.float() - expected).std() < 0.1 * expected.std()


# ------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": 0.0},
        {"input_size": 32, "output_size": 32},
        {"input_size": 72, "output_size": 72},
        {"output_size": 128},
        {"views": 3},
        {"classes": 1},
        {"attention": "none"},
    ],
    ids=str,
)
def test_arguments_that_make_no_network_are_refused(arguments):
    with pytest.raises(InputError) as error:
        slim(**arguments)
    assert error.value.code == "ARCHITECTURE_ARGUMENTS"


@pytest.mark.parametrize("shape", [(1, 2, 64, 64), (1, 1, 64, 32), (1, 64, 64)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(InputError) as error:
        slim()(torch.zeros(shape))
    assert error.value.code == "BAD_SHAPE"
