"""Truths that hold for every generator, and the published one's numbers."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets import GENERATORS, build, parameter_count
from TomoRayCore.nets.blocks import LiftLink, channels_last
from TomoRayCore.nets.x2ct_generator import FRONTAL_AXES, LATERAL_AXES, _common, _split

SLIM = {"x2ct-biplanar": {"width": 0.0625, "output_size": 64}}
"""Small arguments of each architecture."""

UNUSED = {
    "x2ct-biplanar": (
        "views.0.decoder.output.",
        "views.1.decoder.output.",
        "views.0.decoder.extra.64.",
        "views.1.decoder.extra.64.",
    )
}
"""Weights that no result depends on: published as part of the network, see the docstring."""


def slim(name: str) -> nn.Module:
    torch.manual_seed(11)
    return build(name, SLIM[name])


@cache
def trained_looking(name: str) -> nn.Module:
    """Return a network whose output is neither zero nor saturated, in evaluation mode."""
    net = slim(name)
    torch.manual_seed(12)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0.0, 0.1)
    return net.eval()


def images(count: int = 1, seed: int = 3) -> Tensor:
    return torch.rand(count, 2, 128, 128, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def no_gradients_by_default():
    with torch.no_grad():
        yield


# ------------------------------------------------------------------------------- every generator


@pytest.mark.parametrize("name", GENERATORS)
def test_images_become_a_cube_of_values_that_are_not_negative(name):
    volume = trained_looking(name)(images())
    assert volume.shape == (1, 1, 64, 64, 64)
    assert volume.min() >= 0
    assert volume.max() > 0
    assert volume.isfinite().all()


@pytest.mark.parametrize("name", GENERATORS)
def test_a_batch_of_two_gives_what_each_gives_alone(name):
    """In float64: instance norms magnify the rounding of another order of summation."""
    net, pair = slim(name).double().eval(), images(2).double()
    net.load_state_dict(trained_looking(name).state_dict())
    together = net(pair)
    assert torch.allclose(together[1:], net(pair[1:]), atol=1e-6)
    assert not torch.allclose(together[0], together[1], atol=1e-2)


@pytest.mark.parametrize("name", GENERATORS)
def test_the_same_images_give_the_same_voxels(name):
    net = trained_looking(name)
    assert torch.equal(net(images()), net(images()))


@pytest.mark.parametrize("name", GENERATORS)
def test_both_images_matter(name):
    net, usual = trained_looking(name), images()
    for view in range(2):
        other = usual.clone()
        other[:, view] = images(seed=4)[:, view]
        assert (net(other) - net(usual)).abs().max() > 1e-3


@pytest.mark.parametrize("name", GENERATORS)
def test_a_gradient_reaches_every_weight_but_the_documented_ones(name):
    net = slim(name)
    with torch.enable_grad():
        net(images()).square().mean().backward()
    dead = {k for k, p in net.named_parameters() if p.grad is None}
    assert dead == {k for k, _ in net.named_parameters() if k.startswith(UNUSED[name])}
    # A bias before an instance norm moves nothing: only its weights must have a gradient.
    still = [
        k
        for k, p in net.named_parameters()
        if k.endswith("weight") and k not in dead and not p.grad.any()
    ]
    assert not still


@pytest.mark.parametrize("name", GENERATORS)
def test_the_unused_weights_change_nothing(name):
    net = slim(name).eval()
    before = net(images())
    for key, parameter in net.named_parameters():
        if key.startswith(UNUSED[name]):
            parameter.add_(1.0)
    assert torch.equal(net(images()), before)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_state_dictionary_carries_the_whole_network(name):
    net, other = trained_looking(name), slim(name).eval()
    assert not torch.equal(other(images()), net(images()))
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(images()), net(images()))


@pytest.mark.parametrize("name", GENERATORS)
def test_memory_layout_changes_rounding_only(name):
    other = slim(name).eval()
    other.load_state_dict(trained_looking(name).state_dict())
    laid_out = channels_last(other)(images())
    assert torch.allclose(laid_out, trained_looking(name)(images()), atol=1e-4)


@pytest.mark.parametrize("name", GENERATORS)
def test_dropout_works_in_training_only(name):
    net = slim(name)
    net.load_state_dict(trained_looking(name).state_dict())
    first, second = net.train()(images()), net(images())
    assert not torch.equal(first, second)
    net.eval()
    assert torch.equal(net(images()), net(images()))


@pytest.mark.parametrize("name", GENERATORS)
def test_initial_weights_follow_the_seed(name):
    one, two = slim(name), slim(name)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


@pytest.mark.parametrize(
    "shape", [(1, 1, 128, 128), (1, 3, 128, 128), (1, 2, 64, 64), (2, 128, 128)]
)
@pytest.mark.parametrize("name", GENERATORS)
def test_images_of_another_shape_are_refused(name, shape):
    with pytest.raises(InputError) as error:
        trained_looking(name)(torch.zeros(shape))
    assert error.value.code == "BAD_SHAPE"


def test_an_unknown_architecture_is_refused():
    with pytest.raises(InputError) as error:
        build("unet")
    assert error.value.code == "ARCHITECTURE_UNKNOWN"


# ------------------------------------------------------------------------------- X2CT-GAN


def test_the_published_generator_has_the_published_number_of_weights():
    with torch.device("meta"):
        net = build("x2ct-biplanar")
    assert parameter_count(net) == 61_740_467
    assert parameter_count(net.views[0]) == 29_384_481
    assert parameter_count(net.views[1]) == 29_384_481


def test_the_published_generator_gives_128_voxels_along_each_edge():
    with torch.device("meta"):
        net = build("x2ct-biplanar").eval()
        assert net(torch.zeros(1, 2, 128, 128)).shape == (1, 1, 128, 128, 128)


def test_weights_start_as_published():
    net = slim("x2ct-biplanar")
    weights = torch.cat(
        [m.weight.flatten() for m in net.modules() if hasattr(m, "weight") and m.weight is not None]
    )
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert weights.mean().item() == pytest.approx(0, abs=1e-3)
    assert not any(m.bias.any() for m in net.modules() if getattr(m, "bias", None) is not None)


@pytest.mark.parametrize("edge", [4, 8, 16])
def test_a_lift_link_is_a_plain_3d_convolution_of_the_repeated_map(edge):
    torch.manual_seed(1)
    link = LiftLink(5, 7)
    image = torch.randn(2, 5, edge, edge)
    repeated = link.reduce(image)[:, :, None].expand(-1, -1, edge, -1, -1)
    plain = link.finish(link.mix(repeated))
    assert link(image).shape == (2, 7, edge, edge, edge)
    assert torch.allclose(link(image), plain, atol=1e-5)


def numbered_cube() -> Tensor:
    """Return (1, 1, 3, 4, 5): a cube with three different edges, in (D, H, W)."""
    return torch.arange(60.0).reshape(1, 1, 3, 4, 5)


@pytest.mark.parametrize(
    ("axes", "depth"), [(FRONTAL_AXES, 1), (LATERAL_AXES, 2)], ids=["frontal", "lateral"]
)
def test_a_view_takes_the_common_cube_with_its_depth_first(axes, depth):
    """Frontal depth is H, anterior to posterior; lateral depth is W, right to left."""
    cube = numbered_cube()
    own = _split(cube, axes)
    assert own.shape[2] == cube.shape[2 + depth]
    assert own.shape[3] == cube.shape[2]  # rows stay superior to inferior
    assert torch.equal(_common(own, axes), cube)


def lifted(image: Tensor) -> Tensor:
    """Return (1, 1, depth, rows, columns): an image repeated along its ray direction."""
    edge = image.shape[-1]
    return image[None, None, None].expand(1, 1, edge, edge, edge)


def test_a_lifted_frontal_image_is_constant_from_anterior_to_posterior():
    image = torch.zeros(8, 8)
    image[1, 6] = 1.0  # superior, patient's left
    cube = _common(lifted(image), FRONTAL_AXES)[0, 0]  # (D, H, W)
    assert torch.equal(cube[1, :, 6], torch.ones(8))
    assert cube.sum() == 8
    assert torch.equal(cube.mean(dim=1), image)


def test_a_lifted_lateral_image_is_constant_from_right_to_left():
    image = torch.zeros(8, 8)
    image[1, 6] = 1.0  # superior, posterior
    cube = _common(lifted(image), LATERAL_AXES)[0, 0]  # (D, H, W)
    assert torch.equal(cube[1, 6, :], torch.ones(8))
    assert cube.sum() == 8
    assert torch.equal(cube.mean(dim=2), image)


def shallow() -> nn.Module:
    """Return a slim network that hears its images through the finest links only."""
    net = slim("x2ct-biplanar")
    net.load_state_dict(trained_looking("x2ct-biplanar").state_dict())
    for branch in net.views:
        silent = [branch.to_cube, branch.decoder.first, branch.decoder.rise]
        silent += [link for edge, link in branch.links.items() if edge != "64"]
        for module in silent:
            for parameter in module.parameters():
                parameter.zero_()
    for parameter in [*net.fusion.first.parameters(), *net.fusion.rise.parameters()]:
        parameter.zero_()
    return net.eval()


@pytest.mark.parametrize(("view", "depth"), [(0, 1), (1, 2)], ids=["frontal", "lateral"])
def test_a_spot_on_one_image_acts_along_its_ray(view, depth):
    """Through the whole network: superior rows, the right columns, and every depth."""
    net = shallow()
    spotted = images()
    spotted[:, view, 20:28, 96:104] += 1.0  # of 128; 10 to 14 and 48 to 52 of 64
    change = (net(spotted) - net(images()))[0, 0].abs()  # (D, H, W)
    shadow = change.mean(dim=depth)
    row, column = divmod(int(shadow.argmax()), 64)
    assert 8 <= row <= 15
    assert 46 <= column <= 53
    through = change[10:14, 48:52] if depth == 2 else change[10:14, :, 48:52]
    profile = through.amax(dim=(0, 1) if depth == 2 else (0, 2))
    assert profile.view(4, 16).mean(dim=1).min() > 0.5 * profile.mean()


@pytest.mark.slow
def test_the_published_generator_runs_at_full_size():
    torch.manual_seed(3)
    net = build("x2ct-biplanar").eval()
    with torch.inference_mode():
        volume = net(torch.rand(1, 2, 128, 128))
    assert volume.shape == (1, 1, 128, 128, 128)
    assert volume.isfinite().all()
    assert volume.min() >= 0
    assert volume.std() > 0
