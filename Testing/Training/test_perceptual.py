"""A fixed backbone compares images; nothing is downloaded, nothing is trained."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch

from TomoRayCore.errors import InputError
from TomoRayTraining.perceptual import LAYERS, RANDOM, PerceptualDistance, axial_slices


@pytest.fixture
def distance() -> PerceptualDistance:
    torch.manual_seed(1)
    return PerceptualDistance(RANDOM, width=0.125)


def images(seed: int) -> torch.Tensor:
    return torch.rand(2, 1, 32, 40, generator=torch.Generator().manual_seed(seed))


def test_equal_images_have_no_distance_and_others_have(distance):
    one, other = images(1), images(2)
    assert distance(one, one).item() == 0
    assert distance(one, other).item() > distance(one, one + 0.1 * (other - one)).item() > 0


@pytest.mark.parametrize("normalise", [True, False], ids=["LPIPS", "plain"])
def test_the_distance_is_its_formula(normalise):
    """Squares summed over depths; over channels too where features have length one."""
    torch.manual_seed(1)
    distance = PerceptualDistance(RANDOM, normalise=normalise, width=0.125)
    one, other = images(1), images(2)
    expected = 0.0
    for a, b in zip(distance.features(one), distance.features(other), strict=True):
        examples, channels, height, width = a.shape
        places = examples * height * width
        expected += float(((a - b) ** 2).sum()) / (places if normalise else places * channels)
    assert distance(one, other).item() == pytest.approx(expected, rel=1e-5)


def test_a_grey_image_is_the_same_in_three_channels(distance):
    one, other = images(1), images(2)
    grey, colour = distance(one, other), distance(one.expand(-1, 3, -1, -1), other)
    assert colour.item() == pytest.approx(grey.item(), rel=1e-6)


def test_gradients_reach_both_images_and_no_weight(distance):
    one, other = images(1).requires_grad_(), images(2).requires_grad_()
    distance(one, other).backward()
    assert one.grad.abs().sum() > 0 < other.grad.abs().sum()
    assert all(p.grad is None for p in distance._features.parameters())


def test_normalised_features_have_length_one(distance):
    for feature in distance.features(images(1)):
        lengths = feature.norm(dim=1)
        assert ((lengths - 1).abs() < 1e-4).logical_or(lengths == 0).all()


def test_the_full_backbone_is_vgg16():
    with torch.device("meta"):
        full = PerceptualDistance(RANDOM)
    # Its thirteen convolutions hold 14,714,688 values (Simonyan and Zisserman).
    assert sum(p.numel() for p in full._features.parameters()) == 14_714_688
    assert sum(channels > 0 for channels in LAYERS) == 13


def published_names(features: torch.nn.ModuleDict) -> dict[str, torch.Tensor]:
    return {f"features.{k.replace('.0.', '.')}": v for k, v in features.state_dict().items()}


def test_weights_come_from_a_local_file(tmp_path, distance, monkeypatch):
    monkeypatch.setattr("TomoRayTraining.perceptual.LAYERS", (4, 4, 0, 8))
    monkeypatch.setattr("TomoRayTraining.perceptual.RELU_AFTER", (1, 3))
    first = PerceptualDistance(RANDOM)
    safetensors.torch.save_file(published_names(first._features), tmp_path / "vgg.safetensors")
    assert set(safetensors.torch.load_file(tmp_path / "vgg.safetensors")) == {
        f"features.{n}.{kind}" for n in (0, 2, 5) for kind in ("weight", "bias")
    }
    again = PerceptualDistance(str(tmp_path / "vgg.safetensors"))
    assert again(images(1), images(2)) == first(images(1), images(2))


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_a_file_without_the_weights_is_refused(tmp_path, content):
    path = tmp_path / "vgg.safetensors"
    if content:
        path.write_bytes(content)
    with pytest.raises(InputError) as error:
        PerceptualDistance(str(path), width=0.125)
    assert error.value.code == "BAD_BACKBONE"


def test_axial_slices_are_the_slices_along_depth():
    volume = torch.arange(2 * 3 * 4 * 5.0).view(2, 1, 3, 4, 5)
    assert torch.equal(axial_slices(volume)[3 + 1, 0], volume[1, 0, 1])
