"""DCT-Net: its numbers, two separate generators, orientation, and the discriminator's slices."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from monotone import make_monotone, place_moved_most
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets import DISCRIMINATORS, GENERATORS, build, parameter_count
from TomoRayCore.nets.attention import SelfAttention
from TomoRayCore.nets.dctnet import DCTNet
from TomoRayCore.nets.dctnet_discriminator import TriplanarDiscriminator
from TomoRayCore.nets.orthographic import lift

SMALL = {"width": 0.0625, "input_size": 64, "output_size": 16}


@cache
def small() -> DCTNet:
    torch.manual_seed(5)
    return build("dct-net", SMALL).eval()


def images(seed: int = 3, batch: int = 1, size: int = 64) -> Tensor:
    return torch.rand(batch, 2, size, size, generator=torch.Generator().manual_seed(seed))


# --------------------------------------------------------------------------------------- numbers


def test_two_generators_have_the_published_size_but_for_a_thousandth():
    with torch.device("meta"):
        net = DCTNet()
    each = parameter_count(net.generator_y)
    assert parameter_count(net) == 2 * each == 60_644_930
    assert 2 * each == pytest.approx(60.70e6, rel=1e-3)


def test_the_parts_have_the_sizes_that_add_up_to_the_published_one():
    with torch.device("meta"):
        net = DCTNet().generator_y
    assert parameter_count(net.encoder) == 13_569_984
    assert parameter_count(net.to_cube) == 2 * 704 * 128 * 4**3 + 128 * 4**3
    channels = (128, 64, 32, 16, 16)
    attention = [4 * c * c + 4 * c + 2 * c for c in channels]
    counted = [parameter_count(stage.attention) for stage in net.stages.values()]
    assert counted == attention


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"dual_branch": False}, 30_322_465),
        ({"attention": "none"}, 60_465_730),
        ({"attention": "linear"}, 60_644_930),
    ],
    ids=str,
)
def test_ablations_leave_out_what_they_name(arguments, expected):
    with torch.device("meta"):
        net = DCTNet(**arguments)
    assert parameter_count(net) == expected
    kinds = {m.kind for m in net.modules() if isinstance(m, SelfAttention)}
    expected_kinds = {"none": set(), "linear": {"full", "linear"}}
    assert kinds == expected_kinds.get(arguments.get("attention", ""), {"full", "axial"})


def test_attention_is_full_to_sixteen_cubed_only():
    with torch.device("meta"):
        net = DCTNet().generator_y
    kinds = {int(edge): stage.attention.kind for edge, stage in net.stages.items()}
    assert kinds == {8: "full", 16: "full", 32: "axial", 64: "axial", 128: "axial"}


# -------------------------------------------------------------------------------------- behaviour


def test_the_result_is_that_of_generator_y_alone():
    net = small()
    with torch.no_grad():
        volume = net(images())
        of_y, of_x = net.forward_pair(images(), images())
        changed, _ = net.forward_pair(images(), images(seed=4))
    assert volume.shape == (1, 1, 16, 16, 16)
    assert volume.min() >= 0
    assert volume.std() > 0
    assert torch.equal(volume, of_y)
    assert torch.equal(changed, of_y)
    assert not torch.allclose(of_x, of_y, atol=1e-3)


def test_generator_x_sees_the_suppressed_images_only():
    with torch.no_grad():
        _, of_x = small().forward_pair(images(), images(seed=4))
        assert torch.equal(of_x, small().forward_pair(images(seed=7), images(seed=4))[1])
        assert torch.equal(of_x, small().generator_x(images(seed=4)))


@pytest.mark.parametrize("attention", ["axial", "linear", "none"])
def test_a_gradient_of_the_pair_reaches_every_weight(attention):
    torch.manual_seed(6)
    net = DCTNet(**{**SMALL, "output_size": 32, "attention": attention})
    of_y, of_x = net.forward_pair(images(), images(seed=4))
    (of_y.square().mean() + of_x.square().mean()).backward()
    still = [k for k, p in net.named_parameters() if k.endswith("weight") and not p.grad.any()]
    assert not still


def test_a_gradient_of_the_result_reaches_generator_y_and_not_x():
    torch.manual_seed(6)
    net = build("dct-net", SMALL)
    net(images()).square().mean().backward()
    without = {k.split(".")[0] for k, p in net.named_parameters() if p.grad is None}
    assert without == {"generator_x"}


def test_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(7)
        net = DCTNet(**SMALL, checkpointing=checkpointing, dual_branch=False)
        torch.manual_seed(8)
        net(images()).square().mean().backward()
        gradients.append([p.grad for p in net.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b, atol=1e-5 * float(a.abs().max()) + 1e-8)


def test_a_stage_equals_the_one_that_lifts_and_concatenates():
    torch.manual_seed(9)
    stage = DCTNet(**SMALL).generator_y.stages["8"].double()
    nn.init.normal_(stage.compress[0].weight)
    channels = stage.links[0].reduce[0].in_channels
    frontal, lateral = torch.rand(2, 1, channels, 8, 8).double()
    cube = torch.rand(1, stage.rise[0].in_channels, 4, 4, 4).double()
    lifted = []
    for view, image, link in zip(
        ("frontal", "lateral"), (frontal, lateral), stage.links, strict=True
    ):
        axis = 3 if view == "frontal" else 4
        # The link's kernel has the rays' axis first, the cube has it third or last.
        kernel = link.mix.weight.movedim(2, axis)
        convolved = nn.functional.conv3d(
            lift(link.reduce(image), view, 8), kernel, link.mix.bias, padding=1
        )
        lifted.append(link.finish(convolved))
    both = torch.cat([stage.attention(stage.rise(cube)), *lifted], dim=1)
    expected = stage.extra(stage.compress(both))
    assert torch.allclose(stage(cube, frontal, lateral), expected, atol=1e-7)


@pytest.mark.parametrize("view", [0, 1], ids=["frontal along H", "lateral along W"])
def test_a_pixel_moves_the_voxels_of_its_ray_most(view):
    torch.manual_seed(10)
    arguments = {**SMALL, "output_size": 32, "attention": "none", "dual_branch": False}
    net = make_monotone(DCTNet(**arguments))
    row, column = place_moved_most(net, view, 64)
    assert row > 0.52
    assert column < 0.48


def test_dropout_works_in_training_only():
    net = small()
    assert torch.equal(net(images()), net(images()))
    try:
        net.train()
        assert not torch.equal(net(images()), net(images()))
    finally:
        net.eval()


def test_weights_return_through_a_state_dictionary():
    torch.manual_seed(11)
    other = build("dct-net", SMALL).eval()
    with torch.no_grad():
        assert not torch.equal(other(images()), small()(images()))
        other.load_state_dict(small().state_dict())
        assert torch.equal(other(images()), small()(images()))


def test_half_precision_stays_near():
    with torch.no_grad():
        full = small()(images())
        with torch.autocast("cpu", torch.float16):
            half = small()(images())
    assert half.isfinite().all()
    assert (half.float() - full).abs().mean() < 0.3 * full.std()


# ---------------------------------------------------------------------------------- discriminator


def discriminator(**arguments: object) -> TriplanarDiscriminator:
    torch.manual_seed(12)
    return build("dct-net", {"width": 0.03125, **arguments}, DISCRIMINATORS).eval()


def volumes(seed: int = 1, batch: int = 1, size: int = 24) -> Tensor:
    return torch.rand(batch, 1, size, size, size, generator=torch.Generator().manual_seed(seed))


def test_three_patch_discriminators_judge_every_slice_of_128_cubed():
    with torch.device("meta"):
        net = TriplanarDiscriminator()
        assert net(torch.empty(1, 1, 128, 128, 128), torch.empty(1, 2, 128, 128)).shape == (
            1, 3, 128, 14, 14,
        )  # fmt: skip
    assert parameter_count(net) == 3 * 2_764_737


@pytest.mark.parametrize(
    ("plane", "axis"), [(0, 2), (1, 3), (2, 4)], ids=["axial", "coronal", "sagittal"]
)
def test_a_changed_slice_changes_its_verdict_alone(plane, axis):
    net, usual = discriminator(), volumes()
    other = usual.clone()
    other.select(axis, 7).mul_(0.5)
    with torch.no_grad():
        change = (net(other, images()) - net(usual, images())).abs()[0, plane].amax(dim=(1, 2))
    assert change[7] > 1e-4
    change[7] = 0
    assert change.max() == 0


@pytest.mark.parametrize(("view", "plane"), [(0, 1), (1, 2)], ids=["coronal", "sagittal"])
def test_slices_come_with_the_film_of_their_plane(view, plane):
    """What a coronal slice is shown is the frontal image itself, whatever its place."""
    net, volume, films = discriminator(), volumes(), images(size=24)
    name = ("axial", "coronal", "sagittal")[plane]
    sheet = volume.select(2 + plane, 5)[:, 0]
    other = lift(films[:, 1 - view : 2 - view], ("lateral", "frontal")[view], 24)
    other = other.select(2 + plane, 5)[:, 0]
    channels = [sheet, films[:, 0], other] if view == 0 else [sheet, other, films[:, 1]]
    with torch.no_grad():
        expected = net.planes[name](torch.stack(channels, dim=1))
        got = net(volume, films)[:, plane, 5]
    assert torch.allclose(got, expected[:, 0], atol=1e-5)


def test_fewer_slices_are_random_in_training_and_spaced_otherwise():
    net, volume = discriminator(slices=3), volumes()
    with torch.no_grad():
        every = discriminator()(volume, images())
        spaced = net(volume, images())
        assert spaced.shape == (1, 3, 3, 1, 1)
        assert torch.allclose(spaced, every[:, :, [4, 12, 20]], atol=1e-5)
        net.train()
        torch.manual_seed(1)
        first, second = net(volume, images()), net(volume, images())
    assert not torch.equal(first, second)


@pytest.mark.parametrize("conditional", [True, False])
def test_the_discriminator_sees_images_where_conditional(conditional):
    net, volume = discriminator(conditional=conditional), volumes().requires_grad_()
    with torch.no_grad():
        change = (net(volume, images()) - net(volume, images(seed=4))).abs().max()
    assert (change > 1e-4) == conditional
    net(volume, images()).square().mean().backward()
    assert volume.grad.abs().sum() > 0
    assert all(p.grad.any() for name, p in net.named_parameters() if name.endswith("weight"))


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"input_size": 48},
        {"output_size": 48},
        {"attention": "full"},
        {"dropout": 1.0},
        {"views": 1},
    ],
    ids=str,
)
def test_impossible_arguments_are_refused(wrong):
    with pytest.raises(InputError) as caught:
        build("dct-net", {**SMALL, **wrong})
    assert caught.value.code == "ARCHITECTURE_ARGUMENTS"


def test_one_branch_takes_no_pair():
    net = DCTNet(**SMALL, dual_branch=False)
    with pytest.raises(InputError) as caught:
        net.forward_pair(images(), images())
    assert caught.value.code == "BRANCH_MISSING"


def test_the_discriminator_refuses_what_it_cannot_judge():
    with pytest.raises(InputError) as caught:
        TriplanarDiscriminator(slices=0)
    assert caught.value.code == "ARCHITECTURE_ARGUMENTS"
    for volume, films in [(volumes(size=16), images()), (volumes(), None)]:
        with pytest.raises(InputError) as caught:
            discriminator()(volume, films)
        assert caught.value.code == "BAD_SHAPE"


def test_the_registry_names_the_generator():
    assert "dct-net" in GENERATORS
