"""UNet++, convolutions in parts and lifting equal what they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets.common import check_images
from TomoRayCore.nets.orthographic import convolve_lifted, lift, resized
from TomoRayCore.nets.unetplusplus import PartwiseConv3d, UNet3d, UNetPlusPlus


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_frontal_pixel_lifts_to_the_voxels_behind_it():
    image = torch.zeros(1, 1, 5, 7)
    image[0, 0, 2, 4] = 1.0
    cube = lift(image, "frontal", 6)
    assert cube.shape == (1, 1, 5, 6, 7)
    assert cube[0, 0, 2, :, 4].eq(1).all()
    assert cube.sum() == 6


def test_a_lateral_pixel_lifts_to_the_voxels_beside_it():
    image = torch.zeros(1, 1, 5, 6)
    image[0, 0, 2, 4] = 1.0
    cube = lift(image, "lateral", 7)
    assert cube.shape == (1, 1, 5, 6, 7)
    assert cube[0, 0, 2, 4, :].eq(1).all()
    assert cube.sum() == 7


@pytest.mark.parametrize("view", ["frontal", "lateral"])
@pytest.mark.parametrize("depth", [2, 3, 6])
def test_the_convolution_of_a_lifted_map_equals_the_convolution_of_the_cube(view, depth):
    image, weight = random(2, 3, 5, 4), random(4, 3, 3, 3, 3, seed=2)
    expected = nn.functional.conv3d(lift(image, view, depth), weight, padding=1)
    assert torch.allclose(convolve_lifted(image, weight, view, depth), expected, atol=1e-12)


def test_a_convolution_in_parts_equals_one_of_the_concatenation():
    layer = PartwiseConv3d([1, 3, 2], 4).double()
    parts = [random(2, c, 3, 4, 5, seed=c) for c in (1, 3, 2)]
    expected = layer.conv(torch.cat(parts, dim=1))
    assert torch.allclose(layer(iter(parts)), expected, atol=1e-12)
    made = [parts[0], lambda: parts[1], lambda: parts[2]]
    assert torch.allclose(layer(made, briefly=True), expected, atol=1e-12)


def test_parts_are_made_one_by_one_and_again_for_the_gradient():
    layer, told = PartwiseConv3d([1, 1], 2), []

    def part(number: int) -> Tensor:
        told.append(number)
        return torch.ones(1, 1, 3, 3, 3)

    parts = [lambda: part(0), lambda: part(1)]
    layer(parts, briefly=False).sum().backward()
    assert told == [0, 1]
    layer(parts, briefly=True).sum().backward()
    assert told == [0, 1, 0, 1, 1, 0]


@pytest.mark.parametrize("channels", [(), (3,), (6, 1), (1, 5, 2)])
def test_parts_of_other_channels_are_refused(channels):
    layer = PartwiseConv3d([5, 1], 4)
    with pytest.raises((ValueError, RuntimeError)):
        layer(torch.zeros(1, c, 3, 3, 3) for c in channels)


def test_four_levels_have_four_encoder_nodes_and_six_nested_ones():
    net = UNetPlusPlus([2], (1, 2, 3, 4))
    columns = [name.split("_")[1] for name in net.nodes]
    assert columns.count("0") == 4
    assert len(columns) - columns.count("0") == 6
    assert len(net.heads) == 3


def test_each_nested_node_sees_all_earlier_ones_of_its_level_and_one_from_below():
    net = UNetPlusPlus([2], (5, 7, 11))
    inputs = {name: node.first.conv.in_channels for name, node in net.nodes.items()}
    assert inputs == {"0_0": 2, "1_0": 5, "2_0": 7, "0_1": 10, "1_1": 14, "0_2": 15}


def written_plainly(net: UNetPlusPlus, x: Tensor) -> list[Tensor]:
    """UNet++ as its paper's equation 1 has it, column by column, with concatenations."""
    found: dict[tuple[int, int], Tensor] = {}
    for column in range(net.levels):
        for level in range(net.levels - column):
            if column:
                below = net.rise[f"{level}_{column}"](found[level + 1, column - 1])
                given = torch.cat([*(found[level, c] for c in range(column)), below], dim=1)
            else:
                given = nn.functional.max_pool3d(found[level - 1, 0], 2) if level else x
            node = net.nodes[f"{level}_{column}"]
            for convolution in (node.first.conv, node.second):
                given = nn.functional.instance_norm(convolution(given)).relu()
            found[level, column] = given
    return [net.heads[c](found[0, c + 1]) for c in range(net.levels - 1)]


def test_the_network_in_parts_equals_the_one_written_plainly():
    torch.manual_seed(4)
    net, x = UNetPlusPlus([1, 2], (2, 3, 4, 5)).double(), random(1, 3, 16, 16, 16)
    for got, expected in zip(net([x[:, :1], x[:, 1:]]), written_plainly(net, x), strict=True):
        assert got.shape == (1, 1, 16, 16, 16)
        assert torch.allclose(got, expected, atol=1e-9)


def test_checkpointing_changes_no_gradient():
    torch.manual_seed(4)
    net, x = UNetPlusPlus([1], (2, 3, 4)).double(), random(1, 1, 8, 8, 8)
    gradients = []
    for net.checkpointing in (False, True):
        net.zero_grad()
        sum(cube.square().mean() for cube in net([lambda: x])).backward()
        gradients.append([p.grad.clone() for p in net.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert all(g.abs().sum() > 0 for g in gradients[0] if g.ndim == 5)


def test_a_unet_returns_one_channel_of_the_same_size():
    torch.manual_seed(4)
    net = UNet3d(3, (2, 3, 4))
    assert net(torch.rand(2, 3, 8, 8, 8)).shape == (2, 1, 8, 8, 8)


def test_shrinking_keeps_the_mean_and_growing_keeps_the_place():
    image = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    assert resized(image, 8).mean() == pytest.approx(image.mean().item(), rel=0.02)
    spot = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    spot[0, 0, 2, 5] = 1.0
    grown = resized(spot, 16)
    assert grown.dtype == torch.float64
    assert grown[0, 0, 4:6, 10:12].min() == grown.max()
    assert resized(spot, 8) is spot


@pytest.mark.parametrize("shape", [(2, 16, 16), (1, 1, 16, 16), (1, 2, 16, 15), (1, 2, 8, 8)])
def test_other_images_are_refused(shape):
    with pytest.raises(InputError, match=r"16, 16") as caught:
        check_images(torch.zeros(shape), 2, 16)
    assert caught.value.code == "BAD_SHAPE"
