"""The ResNet backbone: published sizes, and weights from a local file."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from TomoRayCore.errors import InputError
from TomoRayCore.nets import parameter_count
from TomoRayCore.nets.resnet import ResNetFeatures, load_backbone

SLIM = 0.0625
CLASSIFIER = {18: 513_000, 34: 513_000, 50: 2_049_000, 101: 2_049_000}
PUBLISHED = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160}
"""Weights of the networks in circulation: three inputs, a classifier of 1000 classes."""


@pytest.mark.parametrize("depth", PUBLISHED)
def test_a_backbone_is_the_published_network_without_its_classifier(depth):
    with torch.device("meta"):
        net = ResNetFeatures(depth, inputs=3)
    assert parameter_count(net) == PUBLISHED[depth] - CLASSIFIER[depth]


@pytest.mark.parametrize(
    ("depth", "channels"), [(34, [64, 64, 128, 256, 512]), (50, [64, 256, 512, 1024, 2048])]
)
def test_maps_are_those_of_every_stage_finest_first(depth, channels):
    with torch.device("meta"):
        net = ResNetFeatures(depth)
        maps = net(torch.zeros(2, 1, 128, 96))
    assert [tuple(m.shape) for m in maps] == [
        (2, c, 128 // n, 96 // n) for c, n in zip(channels, (2, 4, 8, 16, 32), strict=True)
    ]
    assert net.channels == channels


def test_fewer_stages_are_the_first_ones():
    torch.manual_seed(1)
    whole = ResNetFeatures(18, width=SLIM).eval()
    part = ResNetFeatures(18, width=SLIM, stages=3).eval()
    part.load_state_dict(whole.state_dict(), strict=False)
    image = torch.rand(1, 1, 64, 64)
    assert parameter_count(part) < parameter_count(whole)
    assert len(part(image)) == 3
    assert all(torch.equal(a, b) for a, b in zip(part(image), whole(image), strict=False))


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("depth", [18, 50])
def test_a_gradient_reaches_every_weight(depth, norm):
    torch.manual_seed(2)
    net = ResNetFeatures(depth, width=SLIM, norm=norm)
    sum(m.square().mean() for m in net(torch.rand(2, 1, 64, 64))).backward()
    assert not [k for k, p in net.named_parameters() if p.grad is None or not p.grad.any()]


def test_instance_norms_do_not_mix_the_images_of_a_batch():
    torch.manual_seed(3)
    net = ResNetFeatures(18, width=SLIM, norm="instance").double()
    images = torch.rand(2, 1, 64, 64, dtype=torch.float64)
    assert torch.allclose(net(images)[-1][1:], net(images[1:])[-1], atol=1e-9)


def test_weights_come_from_a_local_file(tmp_path):
    torch.manual_seed(4)
    source, target = ResNetFeatures(18).eval(), ResNetFeatures(18, stages=3).eval()
    save_file(
        {**source.state_dict(), "fc.weight": torch.ones(1000, 512)}, tmp_path / "a.safetensors"
    )
    load_backbone(target, tmp_path / "a.safetensors")
    image = torch.rand(1, 1, 64, 64)
    assert torch.equal(target(image)[2], source(image)[2])


def test_a_grey_network_sees_what_a_colour_network_sees_in_a_grey_image(tmp_path):
    torch.manual_seed(5)
    colour, grey = ResNetFeatures(18, inputs=3, stages=2), ResNetFeatures(18, stages=2)
    save_file(colour.state_dict(), tmp_path / "a.safetensors")
    load_backbone(grey, tmp_path / "a.safetensors")
    image = torch.rand(1, 1, 64, 64)
    seen = colour.eval()(image.expand(-1, 3, -1, -1))[1]
    assert torch.allclose(grey.eval()(image)[1], seen, atol=1e-5)


def test_weights_of_another_network_are_refused(tmp_path):
    save_file(ResNetFeatures(18, width=SLIM).state_dict(), tmp_path / "a.safetensors")
    with pytest.raises(InputError) as error:
        load_backbone(ResNetFeatures(34, width=SLIM), tmp_path / "a.safetensors")
    assert error.value.code == "MODEL_MISMATCH"


def test_a_file_that_holds_no_tensors_is_refused(tmp_path):
    (tmp_path / "a.safetensors").write_text("no tensors here")
    for name in ("a.safetensors", "absent.safetensors"):
        with pytest.raises(InputError) as error:
            load_backbone(ResNetFeatures(18, width=SLIM), tmp_path / name)
        assert error.value.code == "BACKBONE_UNREADABLE"


@pytest.mark.parametrize(
    "arguments",
    [{"depth": 19}, {"inputs": 0}, {"width": 0.0}, {"norm": "group"}, {"stages": 6}],
    ids=str,
)
def test_arguments_that_make_no_resnet_are_refused(arguments):
    with pytest.raises(InputError) as error:
        ResNetFeatures(**arguments)
    assert error.value.code == "ARCHITECTURE_ARGUMENTS"
