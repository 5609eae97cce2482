"""PerX2CT: published sizes, and slices that are those of one volume whatever their plane."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets import build, parameter_count
from TomoRayCore.nets.lifting import film_places, pinhole_matrices, slice_points, voxel_centres
from TomoRayCore.nets.perx2ct import CHANNEL, STRIDE, PerX2CT
from TomoRayCore.nets.resnet import ResNetFeatures

SLIM = {"width": 0.0625, "input_size": 32, "output_size": 16}
VARIANTS = [{}, {"camera": "released"}, {"context": True}, {"views": 1}]


def slim(**changes) -> PerX2CT:
    torch.manual_seed(31)
    return PerX2CT(**{**SLIM, **changes})


def images(net: PerX2CT, count: int = 1, seed: int = 3) -> Tensor:
    shape = (count, net.view_count, net.input_size, net.input_size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def matrices(net: PerX2CT, count: int = 1) -> Tensor:
    return pinhole_matrices(2.19, 32.0)[: net.view_count].expand(count, -1, -1, -1)


# ------------------------------------------------------------------------------- published sizes


@pytest.mark.parametrize(
    ("name", "whole", "encoder"),
    [("perx2ct", 42_555_715, 1_444_928), ("perx2ct-global", 70_150_979, 26_680_896)],
)
def test_the_published_networks_have_the_published_number_of_weights(name, whole, encoder):
    """In print: 42.556 M (encoder 1.445 M) and 70.151 M (encoder 26.681 M)."""
    with torch.device("meta"):
        net = build(name)
    assert parameter_count(net.encoder) == encoder
    assert parameter_count(net) == whole


@pytest.mark.parametrize(("name", "channels"), [("perx2ct", 1087), ("perx2ct-global", 1599)])
def test_a_point_enters_the_decoder_with_the_published_channels(name, channels):
    with torch.device("meta"):
        net = build(name)
    assert net.decoder.layers[0].in_channels == channels


def test_the_published_network_gives_128_voxels_along_each_edge():
    with torch.device("meta"), torch.no_grad():
        net = build("perx2ct", {"chunk": 128})
        assert net(torch.zeros(1, 2, 128, 128)).shape == (1, 1, 128, 128, 128)


# ------------------------------------------------------------------------------- slices


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_the_volume_is_the_stack_of_axial_slices(changes):
    net = slim(**changes).eval()
    with torch.no_grad():
        volume = net(images(net, 2), matrices(net, 2))
        slices = net.slices(images(net, 2), matrices(net, 2), "axial", [11, 3])
    assert volume.shape == (2, 1, 16, 16, 16)
    assert slices.shape == (2, 2, 3, 16, 16)
    assert torch.allclose(volume[:, 0, [11, 3]], slices[:, :, CHANNEL], atol=1e-5)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_chunks_change_nothing(changes):
    whole, parts = slim(chunk=16, **changes).eval(), slim(chunk=3, **changes).eval()
    with torch.no_grad():
        expected = whole(images(whole, 2), matrices(whole, 2))
        assert torch.allclose(parts(images(parts, 2), matrices(parts, 2)), expected, atol=1e-5)


def test_chunks_change_no_gradient():
    gradients = []
    for chunk in (16, 5):
        net = slim(chunk=chunk).double()
        net(images(net).double(), matrices(net)).square().mean().backward()
        gradients.append([p.grad.clone() for p in net.parameters()])
    for whole, parts in zip(*gradients, strict=True):
        assert torch.allclose(parts, whole, rtol=1e-6, atol=1e-9)


def test_images_are_encoded_once_for_all_chunks():
    net = slim(chunk=3).eval()
    calls = []
    net.encoder.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        net(images(net))
    assert len(calls) == 1


class FirstFeature(nn.Module):
    """In place of the decoder: the frontal view's first feature, four pixels for each point."""

    def forward(self, lattice: Tensor) -> Tensor:
        return lattice[:, 63:64].repeat(1, 3, 1, 1).repeat_interleave(4, 2).repeat_interleave(4, 3)


def test_slices_of_all_planes_see_the_same_place_alike():
    """With the same nearest lattice point, a voxel has the same features in every plane."""
    net = slim(output_size=12).eval()
    net.decoder = FirstFeature()
    every = range(12)
    with torch.no_grad():
        volumes = [
            net.slices(images(net), matrices(net), axis, every)[0, :, CHANNEL]
            for axis in ("axial", "coronal", "sagittal")
        ]
    axial, coronal, sagittal = volumes[0], volumes[1].transpose(0, 1), volumes[2].movedim(0, 2)
    # Lattice points are 1.5 voxels in, between two slices: the mean of both slices is the point.
    middles = [
        (volume.unflatten(axis, (3, 4)).narrow(axis + 1, 1, 2).mean(axis + 1))
        for axis, volume in ((0, axial), (1, coronal), (2, sagittal))
    ]
    points = [
        middles[0][:, 1::4, 1::4],
        middles[1][1::4, :, 1::4],
        middles[2][1::4, 1::4, :],
    ]
    assert points[0].std() > 0.01
    assert torch.allclose(points[1], points[0], atol=0.05 * points[0].std())
    assert torch.allclose(points[2], points[0], atol=0.05 * points[0].std())


@pytest.mark.parametrize("camera", ["exact", "released"])
@pytest.mark.parametrize("view", [0, 1], ids=["frontal", "lateral"])
def test_a_bright_pixel_is_found_in_the_slices_that_its_ray_crosses(view, camera):
    """Behind an encoder of one pixel's reach and a decoder that hands through one feature."""
    net = slim(camera=camera, output_size=64)
    size = 64 // STRIDE
    spotted = torch.zeros(1, 2, 16, 16)
    row, column = 3, 11  # superior; left on the frontal film, posterior on the lateral one
    spotted[0, view, row, column] = 1.0
    seen_by = pinhole_matrices(1.0, 60.0)[None] if camera == "released" else matrices(net)
    along_the_ray = "coronal" if view == 0 else "sagittal"
    points = slice_points(along_the_ray, voxel_centres(64)[[20, 40]], size)
    with torch.no_grad():
        net.decoder = nn.Identity()
        lattice = net._decode(spotted[:, :, None], None, net._matrices(seen_by, spotted), points)
    found = lattice[0, :, 63 + view]  # after the code, one channel for each view
    places = film_places(points.view(1, -1, 3), seen_by)[0, view].view(2, size, size, 2)
    pixels = (places + 1) * 7.5 if camera == "released" else (places + 1) * 8 - 0.5
    away = (pixels - torch.tensor([column, row])).abs()
    expected = (1 - away).clamp(min=0).prod(dim=-1)
    assert expected.flatten(1).amax(dim=1).min() > 0.2
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_window_is_a_part_of_the_slice_enlarged():
    net = slim(output_size=64).eval()
    net.decoder = FirstFeature()
    pictures, seen_by = images(net), matrices(net)
    with torch.no_grad():
        whole = net.slices(pictures, seen_by, "sagittal", [30])[0, 0, 0, ::4, ::4]
        # The quarter of 8 x 8 points whose every second one is a point of the half as wide lattice.
        part = net.slices(pictures, seen_by, "sagittal", [30], (-0.5, 0.5, 0.5))[0, 0, 0, ::4, ::4]
    halves = part.unflatten(0, (8, 2)).mean(1).unflatten(1, (8, 2)).mean(2)
    quarter = whole[:8, 8:]
    assert (halves - quarter).abs().mean() < 0.25 * (quarter - quarter.mean()).abs().mean()


# ------------------------------------------------------------------------------- views


def test_the_released_camera_does_not_read_matrices():
    net = slim(camera="released").eval()
    with torch.no_grad():
        assert torch.equal(net(images(net), matrices(net)), net(images(net)))


def test_the_exact_camera_reads_them():
    net = slim().eval()
    with torch.no_grad():
        difference = net(images(net), matrices(net)) - net(images(net))
    assert difference.abs().max() > 1e-3


def test_context_is_the_mean_of_the_deeper_map_at_every_point():
    net = slim(context=True).eval()
    points = slice_points("axial", voxel_centres(16)[[2, 9]], 4)
    with torch.no_grad():
        maps, context = net._encode(images(net, 2))
        deeper = net.encoder(photographs(images(net, 2)))[3].mean(dim=(2, 3)).view(2, -1)
        net.decoder = nn.Identity()
        lattice = net._decode(maps, context, net._matrices(None, images(net, 2)), points)
    channels = deeper.shape[1]
    assert channels == 2 * 16  # both views, 256 at width 1 / 16
    assert deeper.std() > 1e-3
    found = lattice[:, :, 63 : 63 + channels]
    assert torch.allclose(found, deeper[:, None, :, None, None].expand_as(found))


def photographs(pictures: Tensor) -> Tensor:
    """Return grey images as the colour photographs, centred and scaled, that a ResNet expects."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    colour = pictures.flatten(0, 1)[:, None].expand(-1, 3, -1, -1)
    return (colour - mean.view(3, 1, 1)) / std.view(3, 1, 1)


# ------------------------------------------------------------------------------- training


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_a_gradient_reaches_every_weight(changes):
    net = slim(**changes)
    net(images(net, 2), matrices(net, 2)).square().mean().backward()
    assert not [k for k, p in net.named_parameters() if p.grad is None or not p.grad.any()]


def test_autocast_changes_little():
    net = slim().eval()
    with torch.no_grad():
        expected = net(images(net), matrices(net))
        with torch.autocast("cpu", torch.bfloat16):
            output = net(images(net), matrices(net))
    assert output.dtype == torch.bfloat16
    assert (output.float() - expected).std() < 0.1 * expected.std()


@pytest.mark.parametrize("context", [False, True])
def test_a_backbone_from_a_file_freezes_the_stem(context, tmp_path):
    torch.manual_seed(1)
    backbone = ResNetFeatures(101, inputs=3, width=SLIM["width"])
    save_file(backbone.state_dict(), tmp_path / "resnet.safetensors")
    net = slim(context=context)
    net.load_backbone(tmp_path / "resnet.safetensors")
    own = net.encoder.state_dict()
    assert all(torch.equal(own[key], backbone.state_dict()[key]) for key in own)
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {"encoder.conv1.weight", "encoder.bn1.weight", "encoder.bn1.bias"}


# ------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": 5.0},
        {"input_size": 40},
        {"output_size": 18},
        {"camera": "box"},
        {"views": 3, "camera": "released"},
        {"chunk": 0},
    ],
    ids=str,
)
def test_arguments_that_make_no_network_are_refused(arguments):
    with pytest.raises(InputError) as error:
        slim(**arguments)
    assert error.value.code == "ARCHITECTURE_ARGUMENTS"


@pytest.mark.parametrize(
    ("axis", "indices"), [("oblique", [0]), ("axial", [16]), ("axial", [-1]), ("axial", [])]
)
def test_slices_that_there_are_not_are_refused(axis, indices):
    net = slim()
    with pytest.raises(InputError) as error:
        net.slices(images(net), None, axis, indices)
    assert error.value.code == "BAD_SLICE"


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (1, 2, 64, 64), (2, 32, 32)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(InputError) as error:
        slim()(torch.zeros(shape))
    assert error.value.code == "BAD_SHAPE"
