"""Truths that hold for every generator of the registry."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from generator_checks import SMALL
from torch import nn

from TomoRayCore.bundle import read_bundle, write_bundle
from TomoRayCore.inference import load_network
from TomoRayCore.nets import GENERATORS
from TomoRayCore.network_io import InputSpec, OutputSpec
from TomoRayCore.presets import from_preset

SHIPPED = tuple(GENERATORS)
"""Other tests may register generators of their own for a while."""


@pytest.fixture(autouse=True)
def no_gradients_by_default():
    with torch.no_grad():
        yield


@cache
def lively(name: str) -> nn.Module:
    """Return a network whose output is neither zero nor saturated, in evaluation mode."""
    net = SMALL[name].net(name)
    torch.manual_seed(12)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 1 / parameter[0].numel() ** 0.5)
            else:
                parameter.normal_(0.0, 0.1)
    return net.eval()


def test_every_generator_is_checked():
    assert set(SMALL) == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_images_become_a_cube(name):
    small = SMALL[name]
    volume = lively(name)(*small.images(2))
    assert volume.shape == (2, 1, *[small.output_size] * 3)
    assert volume.dtype == torch.float32
    assert volume.isfinite().all()
    assert volume.std() > 1e-4


@pytest.mark.parametrize("name", SHIPPED)
def test_a_batch_of_two_gives_what_each_gives_alone(name):
    """In float64: norms magnify the rounding of another order of summation."""
    small = SMALL[name]
    net = small.net(name).double().eval()
    net.load_state_dict(lively(name).state_dict())
    images, matrices = (tensor.double() for tensor in small.images(2))
    together = net(images, matrices)
    alone = net(images[1:], matrices[1:])
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-7)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_same_images_give_the_same_voxels(name):
    inputs = SMALL[name].images()
    assert torch.equal(lively(name)(*inputs), lively(name)(*inputs))


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("value", [0.0, 1.25, 1e4], ids=["black", "brightest", "beyond"])
def test_extreme_images_give_numbers(name, value):
    small = SMALL[name]
    images, matrices = small.images()
    assert lively(name)(torch.full_like(images, value), matrices).isfinite().all()


@pytest.mark.parametrize("name", SHIPPED)
def test_every_weight_gets_a_gradient(name):
    small = SMALL[name]
    net = small.net(name).train()
    net.load_state_dict(lively(name).state_dict())
    images, matrices = small.images(2)
    with torch.enable_grad():
        outputs = small.everything(net, images, matrices)
        # Random weights, since the sum over an instance-normed channel has no gradient.
        sum((output * torch.randn_like(output)).sum() for output in outputs).backward()
    without = [
        key
        for key, parameter in net.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    # A bias before an instance norm is published, and has no effect.
    assert [key for key in without if not key.endswith("bias")] == []


@pytest.mark.parametrize("name", SHIPPED)
def test_a_model_file_holds_the_whole_network(name, tmp_path):
    small = SMALL[name]
    net = lively(name)
    size = small.output_size
    description = {
        "name": "small",
        "summary": "Untrained, for tests",
        "architecture": {"name": name, "arguments": dict(small.arguments)},
        "input": InputSpec(small.input_size).to_dict(),
        "output": OutputSpec(size, 256 / size, size, 256 / size).to_dict(),
        "geometry": from_preset(views=("AP", "LAT")[: small.views]).to_dict(),
        "tolerance": {"sad_mm": [700, 2000], "angle_deg": 10},
        "training": {"data": "none"},
        "intended_use": "tests",
        "known_failures": [],
        "metrics": {},
        "seed": 0,
    }
    weights = {key: tensor.numpy() for key, tensor in net.state_dict().items()}
    write_bundle(tmp_path / "small.safetensors", description, weights)
    again = load_network(read_bundle(tmp_path / "small.safetensors"))
    inputs = small.images()
    # Another memory layout sums in another order.
    np.testing.assert_allclose(again(*inputs), net(*inputs), atol=1e-3, rtol=1e-3)
