"""DuoLift: its numbers, its orientation, and what each training option does and does not change."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from monotone import make_monotone, place_moved_most
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets import DISCRIMINATORS, GENERATORS, build, parameter_count
from TomoRayCore.nets.duolift import DuoLift, _interpolated, _ResBlock
from TomoRayCore.nets.duolift_discriminator import DuoLiftDiscriminator
from TomoRayCore.nets.orthographic import lift

SMALL = {"width": 0.0625, "input_size": 32, "output_size": 16}


@cache
def small(name: str = "duolift-biplanar") -> DuoLift:
    torch.manual_seed(5)
    return build(name, SMALL).eval()


def images(views: int = 2, batch: int = 1, size: int = 32, seed: int = 3) -> Tensor:
    return torch.rand(batch, views, size, size, generator=torch.Generator().manual_seed(seed))


# --------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("name", "expected"), [("duolift-biplanar", 27_012_724), ("duolift-single", 23_341_812)]
)
def test_the_generator_has_its_parameters(name, expected):
    with torch.device("meta"):
        assert parameter_count(build(name)) == expected


def test_the_parameters_add_up_from_the_page():
    """ResNet-34 to its third stage, lifted 1024 to 256 to 128 to 64, 224 channels joined."""

    def block(a: int, b: int) -> int:
        return a * b * 27 + b + b * b * 27 + b + a * b + b

    with torch.device("meta"):
        net = DuoLift()
    parts = {name: parameter_count(part) for name, part in net.named_children()}
    assert sum(net.encoder.channels) == 512
    assert parts["rising"] == block(1024, 256) + block(256, 128) + block(128, 64)
    assert parts["projections"] == block(2, 32)
    assert parts["sides"] == 256 * 64 + 64 + 128 * 64 + 64
    assert net.nested.nodes["0_0"].first.conv.in_channels == 64 + 64 + 64 + 32


@pytest.mark.parametrize(
    ("reading", "expected"), [("half-size", 11_015_617), ("fifth-stage", 27_793_345)]
)
def test_both_readings_of_the_discriminator_end_in_five_cubed(reading, expected):
    with torch.device("meta"):
        net = DuoLiftDiscriminator(reading=reading)
        assert net(torch.empty(2, 1, 128, 128, 128)).shape == (2, 1, 5, 5, 5)
    assert parameter_count(net) == expected
    counted, inputs = 512 + 1, 1
    for outputs in (64, 128, 256, 512, 512)[: 4 if reading == "half-size" else 5]:
        counted, inputs = counted + inputs * outputs * 64 + outputs, outputs
    assert counted == expected


# ----------------------------------------------------------------------------------- equivalences


def block_of(block: _ResBlock, cube: Tensor) -> Tensor:
    """The residual block as its docstring has it."""
    x = nn.functional.instance_norm(block.first.conv(cube)).relu()
    return (nn.functional.instance_norm(block.second(x)) + block.skip(cube)).relu()


@pytest.mark.parametrize("gradients", [False, True])
def test_a_lifted_block_equals_the_block_of_the_lifted_maps(gradients):
    torch.manual_seed(6)
    block = _ResBlock(5, 4).double()
    frontal, lateral = torch.rand(2, 2, 6, 6).double(), torch.rand(2, 3, 6, 6).double()
    cube = torch.cat([lift(frontal, "frontal", 6), lift(lateral, "lateral", 6)], dim=1)
    with torch.set_grad_enabled(gradients):
        got = block.lifted({"frontal": frontal, "lateral": lateral}, 6)
        assert torch.allclose(got, block_of(block, cube), atol=1e-9)


@pytest.mark.parametrize("gradients", [False, True])
def test_a_doubling_block_equals_the_block_of_the_doubled_cube(gradients):
    torch.manual_seed(6)
    block = _ResBlock(40, 4)
    cube = torch.rand(1, 40, 3, 3, 3)
    with torch.set_grad_enabled(gradients):
        assert torch.allclose(
            block.doubled(cube), block_of(block, _interpolated(cube, 2)), atol=1e-5
        )


def test_checkpointing_changes_no_gradient_under_dropout():
    torch.manual_seed(7)
    net = DuoLift(**SMALL).train()
    gradients = []
    for checkpointing in (False, True):
        for part in (net, net.nested, net.refine):
            part.checkpointing = checkpointing
        net.zero_grad()
        torch.manual_seed(8)
        sum(cube.square().mean() for cube in net.forward_all(images())).backward()
        gradients.append([p.grad.clone() for p in net.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b, atol=1e-5 * float(a.abs().max()) + 1e-7)


def test_dropout_works_in_training_only():
    net = small()
    assert torch.equal(net(images()), net(images()))
    try:
        net.train()
        assert not torch.equal(net(images()), net(images()))
    finally:
        net.eval()


# -------------------------------------------------------------------------------------- behaviour


@pytest.mark.parametrize("name", ["duolift-biplanar", "duolift-single"])
def test_forward_gives_the_first_of_all_cubes(name):
    net = small(name)
    pictures = images(net.view_count, batch=2)
    with torch.no_grad():
        volume, *supervised = net.forward_all(pictures)
        assert torch.equal(net(pictures), volume)
    assert len(supervised) == 3
    assert {cube.shape for cube in [volume, *supervised]} == {(2, 1, 16, 16, 16)}
    assert volume.min() >= 0
    assert volume.std() > 0


@pytest.mark.parametrize("name", ["duolift-biplanar", "duolift-single"])
def test_a_gradient_of_the_volume_reaches_every_weight(name):
    torch.manual_seed(9)
    net = build(name, SMALL)
    net(images(net.view_count)).square().mean().backward()
    # A bias before an instance norm moves nothing: only weights must have a gradient.
    still = [k for k, p in net.named_parameters() if k.endswith("weight") and not p.grad.any()]
    assert not still


@pytest.mark.parametrize("view", [0, 1], ids=["frontal along H", "lateral along W"])
def test_a_pixel_moves_the_voxels_of_its_ray_most(view):
    torch.manual_seed(5)
    net = make_monotone(build("duolift-biplanar", {**SMALL, "input_size": 64, "output_size": 32}))
    row, column = place_moved_most(net, view, 64)
    assert row > 0.52
    assert column < 0.48


def test_a_lateral_film_alone_gives_the_same_sheet_for_every_column():
    """Constant along W, but for the padding at its ends."""
    torch.manual_seed(5)
    net = build("duolift-single", {**SMALL, "views": ["lateral"]}).double().eval()
    quarter = net.rising[0].lifted(net._features(images(1).double()), 16)
    flat = net.projections.lifted({"lateral": images(1, size=16).double()}, 16)
    for cube in (quarter, flat):
        inner = cube[..., 2:-2]
        assert torch.allclose(inner, inner[..., :1].expand_as(inner), atol=1e-9)
        assert cube.std(dim=2).max() > 1e-3
        assert cube.std(dim=3).max() > 1e-3


def test_weights_return_through_a_state_dictionary():
    torch.manual_seed(10)
    other = build("duolift-biplanar", SMALL).eval()
    with torch.no_grad():
        assert not torch.equal(other(images()), small()(images()))
        other.load_state_dict(small().state_dict())
        assert torch.equal(other(images()), small()(images()))


def test_half_precision_stays_near():
    """Loosely: many instance norms of small cubes magnify rounding in an untrained network."""
    with torch.no_grad():
        full = small()(images())
        with torch.autocast("cpu", torch.float16):
            half = small()(images())
    assert half.isfinite().all()
    assert (half.float() - full).abs().mean() < 0.3 * full.std()


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("reading", ["half-size", "fifth-stage"])
def test_the_discriminator_learns_from_the_volume_and_where_conditional_from_the_images(
    reading, conditional
):
    torch.manual_seed(11)
    arguments = {"width": 0.03125, "reading": reading, "conditional": conditional}
    net = build("duolift", arguments, DISCRIMINATORS)
    volume = torch.rand(1, 1, 64, 64, 64, requires_grad=True)
    films = images().requires_grad_()
    net(volume, films).square().mean().backward()
    assert volume.grad.abs().sum() > 0
    assert (films.grad is not None) == conditional
    assert all(p.grad is not None for p in net.parameters())


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"input_size": 40},
        {"input_size": 16},
        {"output_size": 20},
        {"output_size": 8},
        {"views": ["lateral", "frontal"]},
        {"views": []},
        {"dropout": 1.0},
        {"norm": "layer"},
        {"depth": 3},
    ],
    ids=str,
)
def test_impossible_arguments_are_refused(wrong):
    with pytest.raises(InputError) as caught:
        build("duolift-biplanar", {**SMALL, **wrong})
    assert caught.value.code == "ARCHITECTURE_ARGUMENTS"


def test_a_discriminator_says_what_it_needs():
    with pytest.raises(InputError) as caught:
        DuoLiftDiscriminator(reading="quarter-size")
    assert caught.value.code == "ARCHITECTURE_ARGUMENTS"
    with pytest.raises(InputError) as caught:
        DuoLiftDiscriminator(width=0.05, conditional=True)(torch.rand(1, 1, 32, 32, 32))
    assert caught.value.code == "BAD_SHAPE"


def test_the_registry_names_both_forms():
    assert {"duolift-biplanar", "duolift-single"} <= set(GENERATORS)
