"""CycleGAN's networks: the published numbers, sizes, ranges, and one generator a view."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from TomoRayCore.errors import InputError
from TomoRayCore.nets import TRANSLATORS, build, parameter_count
from TomoRayCore.nets.cyclegan import (
    CycleGANGenerator,
    CycleGANTranslator,
    PatchDiscriminator2d,
)

SMALL = {"width": 0.125, "blocks": 2}


def image(*shape: int, seed: int = 1) -> Tensor:
    return 2 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) - 1


def convolution(inputs: int, outputs: int, kernel: int) -> int:
    return inputs * outputs * kernel**2 + outputs


def test_the_generator_has_the_published_layers():
    expected = (
        convolution(1, 64, 7)
        + convolution(64, 128, 3)
        + convolution(128, 256, 3)
        + 9 * 2 * convolution(256, 256, 3)
        + convolution(256, 128, 3)
        + convolution(128, 64, 3)
        + convolution(64, 1, 7)
    )
    with torch.device("meta"):
        assert parameter_count(CycleGANGenerator()) == expected == 11_365_633


@pytest.mark.parametrize(("inputs", "expected"), [(1, 2_762_689), (3, 2_764_737)])
def test_the_discriminator_has_the_published_layers(inputs, expected):
    channels = (inputs, 64, 128, 256, 512, 1)
    by_layer = [convolution(a, b, 4) for a, b in pairwise(channels)]
    with torch.device("meta"):
        assert parameter_count(PatchDiscriminator2d(inputs=inputs)) == sum(by_layer) == expected


def test_a_patch_is_seventy_pixels_wide():
    """Without norms, which see everything, one logit depends on 70 x 70 pixels."""
    torch.manual_seed(1)
    net = PatchDiscriminator2d(width=0.125)
    net.layers = torch.nn.Sequential(
        *(layer for layer in net.layers if not isinstance(layer, torch.nn.InstanceNorm2d))
    )
    seen = image(1, 1, 128, 128).requires_grad_()
    logits = net(seen)
    assert logits.shape == (1, 1, 14, 14)
    logits[0, 0, 7, 7].backward()
    rows, columns = (seen.grad[0, 0].abs().sum(dim=d).nonzero() for d in (1, 0))
    assert rows.max() - rows.min() + 1 == 70
    assert columns.max() - columns.min() + 1 == 70


@pytest.mark.parametrize(("height", "width"), [(8, 8), (20, 32), (64, 36)])
def test_any_edges_that_four_divides_come_back(height, width):
    torch.manual_seed(2)
    net = CycleGANGenerator(**SMALL)
    with torch.no_grad():
        translated = net(image(2, 1, height, width))
    assert translated.shape == (2, 1, height, width)
    assert translated.abs().max() <= 1
    assert translated.std() > 0


@pytest.mark.parametrize("shape", [(1, 2, 16, 16), (1, 1, 18, 16), (1, 1, 16, 4), (16, 16)])
def test_other_images_are_refused(shape):
    with pytest.raises(InputError) as caught:
        CycleGANGenerator(**SMALL)(torch.zeros(shape))
    assert caught.value.code == "BAD_SHAPE"


def test_a_gradient_reaches_every_weight_of_both_networks():
    torch.manual_seed(3)
    generator, discriminator = CycleGANGenerator(**SMALL), PatchDiscriminator2d(width=0.125)
    discriminator(generator(image(1, 1, 32, 32))).square().mean().backward()
    for net in (generator, discriminator):
        weights = [p for name, p in net.named_parameters() if name.endswith("weight")]
        assert all(p.grad.abs().sum() > 0 for p in weights)


def test_each_view_has_its_own_generator():
    torch.manual_seed(4)
    net = build("cyclegan", SMALL, TRANSLATORS)
    films = image(1, 2, 16, 16).abs()
    with torch.no_grad():
        both = net(films)
        lateral_changed = net(torch.cat([films[:, :1], 1 - films[:, 1:]], dim=1))
        swapped = net(films.flip(1)).flip(1)
    assert torch.equal(both[:, 0], lateral_changed[:, 0])
    assert not torch.equal(both[:, 1], lateral_changed[:, 1])
    assert not torch.allclose(both, swapped, atol=1e-3)


def test_the_translator_speaks_zero_to_one_and_its_generators_minus_one_to_one():
    torch.manual_seed(4)
    net = CycleGANTranslator(**SMALL)
    films = 1.25 * image(1, 2, 16, 16).abs()
    with torch.no_grad():
        got = net(films)
        expected = net.generators[1](2 * films[:, 1:].clamp(max=1) - 1)
    assert torch.allclose(got[:, 1:], (expected + 1) / 2)
    assert got.min() >= 0
    assert got.max() <= 1


def test_weights_return_through_a_state_dictionary():
    torch.manual_seed(5)
    net, other = CycleGANGenerator(**SMALL), CycleGANGenerator(**SMALL)
    with torch.no_grad():
        assert not torch.equal(net(image(1, 1, 16, 16)), other(image(1, 1, 16, 16)))
        other.load_state_dict(net.state_dict())
        assert torch.equal(net(image(1, 1, 16, 16)), other(image(1, 1, 16, 16)))


def test_half_precision_stays_near():
    torch.manual_seed(6)
    net = CycleGANGenerator(**SMALL)
    with torch.no_grad():
        full = net(image(1, 1, 32, 32))
        with torch.autocast("cpu", torch.bfloat16):
            half = net(image(1, 1, 32, 32))
    assert (half.float() - full).abs().mean() < 0.1 * full.std()


@pytest.mark.parametrize(
    "wrong", [{"width": 0}, {"blocks": -1}, {"view_count": 0}, {"colour": True}], ids=str
)
def test_impossible_arguments_are_refused(wrong):
    with pytest.raises(InputError) as caught:
        build("cyclegan", {**SMALL, **wrong}, TRANSLATORS)
    assert caught.value.code == "ARCHITECTURE_ARGUMENTS"
    with pytest.raises(InputError):
        PatchDiscriminator2d(inputs=0)
