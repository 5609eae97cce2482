"""The CNN-INR: published sizes, one function of space at every resolution and in every chunk."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from TomoRayCore.errors import InputError
from TomoRayCore.nets import build, parameter_count
from TomoRayCore.nets.cnn_inr import CNNINR, FOURIER_SCALE
from TomoRayCore.nets.lifting import (
    cube_points,
    film_places,
    known_matrices,
    pinhole_matrices,
    voxel_centres,
)
from TomoRayCore.nets.resnet import ResNetFeatures

SLIM = {"width": 0.0625, "input_size": 32, "output_size": 10}
VARIANTS = [
    {},
    {"lift": "perspective"},
    {"activation": "relu"},
    {"encoder": "resnet34", "lift": "perspective"},
    {"views": 1},
]


def slim(**changes) -> CNNINR:
    torch.manual_seed(21)
    return CNNINR(**{**SLIM, **changes})


def images(net: CNNINR, count: int = 1, seed: int = 3) -> Tensor:
    shape = (count, net.view_count, net.input_size, net.input_size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def matrices(net: CNNINR, count: int = 1) -> Tensor:
    return pinhole_matrices(1.3, 50.0)[: net.view_count].expand(count, -1, -1, -1)


# ------------------------------------------------------------------------------- published sizes


def test_the_published_network_has_the_published_number_of_weights():
    with torch.device("meta"):
        net = build("cnn-inr")
    assert parameter_count(net.encoder) == 20_284_224
    assert [parameter_count(view) for view in net.views] == [67_200, 67_200]
    assert parameter_count(net) == 20_484_801
    assert round(parameter_count(net) / 1e6, 2) == 20.48


def test_the_published_network_gives_128_voxels_along_each_edge():
    with torch.device("meta"):
        assert build("cnn-inr")(torch.zeros(1, 2, 128, 128)).shape == (1, 1, 128, 128, 128)


def test_a_point_enters_the_first_layer_with_128_features_and_nine_numbers():
    with torch.device("meta"):
        net = build("cnn-inr")
    assert net.encoder(torch.zeros(1, 1, 128, 128, device="meta")).shape == (1, 128, 128, 128)
    assert net.views[0].first.linear.in_features == 137


def test_the_resnet_encoder_has_the_four_maps_of_pixelnerf():
    with torch.device("meta"):
        net = build("cnn-inr", {"encoder": "resnet34"})
        backbone = ResNetFeatures(34, stages=4)
    assert net.encoder.channels == 64 + 64 + 128 + 256
    assert net.encoder(torch.zeros(1, 1, 128, 128, device="meta")).shape == (1, 512, 64, 64)
    assert parameter_count(net.encoder) == parameter_count(backbone)


def test_sine_layers_start_as_published():
    torch.manual_seed(0)
    net = CNNINR(width=0.5)
    first, block = net.views[0].first.linear.weight, net.views[0].blocks[0].linear.weight
    assert first.abs().max() <= 1 / 73  # 64 features and nine numbers
    assert first.abs().max() > 0.99 / 73
    bound = math.sqrt(6 / 64) / 50
    assert 0.99 * bound < block.abs().max() <= bound


# ------------------------------------------------------------------------------- the formula


def plainly(net: CNNINR, pictures: Tensor, points: Tensor) -> Tensor:
    """Return (B, N), written as the specification reads; orthographic, SIREN, from samples."""
    size = net.input_size
    pixels = ((points + 1) * size / 2 - 0.5).round().long()
    x, y, z = pixels.unbind(-1)
    views = []
    for v, (view, column) in enumerate(zip(net.views, (x, y), strict=True)):
        features = net.encoder(pictures[:, v : v + 1])
        seen = torch.stack([f[:, r, c].T for f, r, c in zip(features, z, column, strict=True)])
        turned = 2 * math.pi * points @ net.frequencies.T
        h = torch.cat([seen, points, turned.cos(), turned.sin()], dim=-1)
        h = torch.sin(50 * view.first.linear(h))
        for block in view.blocks:
            inner = torch.sin(50 * block.linear(h))
            h = torch.sin(50 * block.linear(inner) + h)
        views.append(h)
    h = sum(views) / len(views)
    for layer in net.fusion:
        h = torch.sin(50 * layer.linear(h))
    return net.output(h)[..., 0]


def test_values_are_those_of_the_formula():
    """At pixel centres, where interpolation has nothing to do; in float64."""
    net = slim().double()
    net.encoder.output.weight.data *= 30  # features that matter
    pixel = torch.randint(0, 32, (2, 40, 3), generator=torch.Generator().manual_seed(1))
    points = (2 * pixel + 1) / 32 - 1
    pictures = images(net, 2).double()
    with torch.no_grad():
        values = net.sample(pictures, None, points)
        expected = plainly(net, pictures, points.double())
    assert values.shape == (2, 1, 40)
    assert expected.std() > 0.01
    # The code is computed in float32, and sines magnify that.
    assert torch.allclose(values[:, 0], expected, atol=1e-4)


def test_the_fourier_matrix_is_fixed_saved_and_large():
    torch.manual_seed(1)
    one = CNNINR(**SLIM)
    torch.manual_seed(2)
    two = CNNINR(**SLIM)
    assert torch.equal(one.frequencies, two.frequencies)
    assert "frequencies" in one.state_dict()
    assert not one.frequencies.requires_grad
    assert 0.5 * FOURIER_SCALE < one.frequencies.std() < 2 * FOURIER_SCALE


# ------------------------------------------------------------------------------- one function


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_chunks_change_nothing(changes):
    whole = slim(chunk=10_000, **changes)
    parts = slim(chunk=77, **changes)
    with torch.no_grad():
        expected = whole(images(whole, 2), matrices(whole, 2))
        assert torch.allclose(parts(images(parts, 2), matrices(parts, 2)), expected, atol=1e-5)


def test_chunks_change_no_gradient():
    gradients = []
    for chunk in (10_000, 150):
        net = slim(chunk=chunk, lift="perspective")
        net(images(net), matrices(net)).square().mean().backward()
        gradients.append([p.grad.clone() for p in net.parameters()])
    for whole, parts in zip(*gradients, strict=True):
        assert torch.allclose(parts, whole, rtol=1e-3, atol=1e-3 * float(whole.abs().max()))


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_samples_are_voxels(changes):
    net = slim(**changes)
    points = cube_points(10, 0, 1000)[None].expand(2, -1, -1)
    with torch.no_grad():
        volume = net(images(net, 2), matrices(net, 2))
        sampled = net.sample(images(net, 2), matrices(net, 2), points)
    assert torch.allclose(sampled.view(volume.shape), volume, atol=1e-5)


def test_another_resolution_is_the_same_function():
    """A voxel of a cube of odd edge has the middle of three times finer voxels as its own."""
    net = slim(lift="perspective")
    with torch.no_grad():
        coarse = net.at_resolution(images(net), matrices(net), 5)
        fine = net.at_resolution(images(net), matrices(net), 15)
    assert coarse.shape == (1, 1, 5, 5, 5)
    assert torch.allclose(fine[..., 1::3, 1::3, 1::3], coarse, atol=1e-4)


def test_images_are_encoded_once_for_all_chunks():
    net = slim(chunk=50)
    calls = []
    net.encoder.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        net(images(net))
    assert len(calls) == 1


# ------------------------------------------------------------------------------- views


def test_orthographic_lifting_does_not_read_matrices():
    net = slim()
    with torch.no_grad():
        assert torch.equal(net(images(net), matrices(net)), net(images(net)))


def test_perspective_lifting_without_matrices_is_orthographic():
    perspective, orthographic = slim(lift="perspective"), slim()
    pictures = images(orthographic)
    with torch.no_grad():
        assert torch.equal(perspective(pictures), orthographic(pictures))
        assert not torch.allclose(
            perspective(pictures, matrices(perspective)), orthographic(pictures), atol=1e-3
        )


@pytest.mark.parametrize("lift", ["orthographic", "perspective"])
@pytest.mark.parametrize("view", [0, 1], ids=["frontal", "lateral"])
def test_a_bright_pixel_acts_along_its_ray_only(view, lift):
    """Behind an encoder of one pixel's reach: where the ray passes, and nowhere else."""
    net = slim(lift=lift, output_size=32)
    net.encoder = torch.nn.Conv2d(1, net.encoder.channels, 1)
    pictures = images(net)
    spotted = pictures.clone()
    row, column = 6, 25  # superior; patient's left on the frontal film, posterior on the lateral
    spotted[0, view, row, column] += 1.0
    seen_by = matrices(net) if lift == "perspective" else known_matrices(None, pictures)
    places = film_places(cube_points(32, 0, 32**3)[None], seen_by)[0, view]
    pixels = (places + 1) * 16 - 0.5
    away = (pixels - torch.tensor([column, row])).abs().amax(dim=-1)
    with torch.no_grad():
        change = (net(spotted, matrices(net)) - net(pictures, matrices(net))).flatten().abs()
    assert (away < 0.5).sum() >= 20
    assert change[away < 0.5].min() > 0
    assert change[away > 1.001].max() < 1e-4 * change.max()


# ------------------------------------------------------------------------------- training


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_a_gradient_reaches_every_weight(changes):
    net = slim(**changes)
    net(images(net, 2), matrices(net, 2)).square().mean().backward()
    assert not [k for k, p in net.named_parameters() if p.grad is None or not p.grad.any()]


def test_random_points_teach_the_whole_volume():
    """Spots on two films: after training on points, the ball where their rays meet is bright."""
    net = slim(width=0.125, activation="relu")
    middle = torch.tensor([0.3, -0.2, 0.4])
    along = voxel_centres(32)
    films = [(along - c).square() + (along[:, None] - middle[2]).square() for c in middle[:2]]
    pictures = torch.exp(-torch.stack(films)[None] / 0.1)
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(5)
    for _ in range(60):
        points = 2 * torch.rand(1, 500, 3, generator=generator) - 1
        inside = ((points - middle).norm(dim=-1) < 0.5).float()
        optimiser.zero_grad()
        (net.sample(pictures, None, points)[:, 0] - inside).square().mean().backward()
        optimiser.step()
    with torch.no_grad():
        volume = net(pictures).flatten()
    inside = (cube_points(10, 0, 1000) - middle).norm(dim=-1) < 0.5
    assert volume[inside].mean() - volume[~inside].mean() > 0.4


def test_autocast_keeps_sines_in_full_precision():
    net = slim(encoder="resnet34")
    with torch.no_grad():
        expected = net(images(net))
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(net(images(net)), expected)


def test_autocast_changes_the_relu_network_little():
    net = slim(activation="relu", lift="perspective")
    with torch.no_grad():
        for parameter in net.views.parameters():
            parameter *= 2  # an output that the last bias does not hide
        expected = net(images(net), matrices(net))
        with torch.autocast("cpu", torch.bfloat16):
            output = net(images(net), matrices(net))
    assert output.dtype == torch.bfloat16
    assert (output.float() - expected).abs().max() < 0.05 * expected.abs().max()


# ------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": 0.0},
        {"input_size": 20},
        {"input_size": 24, "encoder": "resnet34"},
        {"output_size": 0},
        {"encoder": "vgg"},
        {"lift": "fisheye"},
        {"activation": "tanh"},
        {"views": 3},
        {"chunk": 0},
    ],
    ids=str,
)
def test_arguments_that_make_no_network_are_refused(arguments):
    with pytest.raises(InputError) as error:
        slim(**arguments)
    assert error.value.code == "ARCHITECTURE_ARGUMENTS"


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (1, 2, 32, 40), (2, 32, 32)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(InputError) as error:
        slim()(torch.zeros(shape))
    assert error.value.code == "BAD_SHAPE"
