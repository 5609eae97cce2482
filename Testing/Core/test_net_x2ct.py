"""X2CT-GAN's generators: published counts, ablations, the same numbers as the plain network."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from plain_x2ct import PlainX2CT
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets import build, parameter_count
from TomoRayCore.nets.blocks import LiftLink, channels_last, convolved_slices, reordered, stretched
from TomoRayCore.nets.conv_ops import conv_to_few, instance_norm, norm_relu
from TomoRayCore.nets.x2ct_parts import FRONTAL_AXES, LATERAL_AXES

SLIM = {
    "x2ct-biplanar": {"width": 0.0625, "input_size": 64, "output_size": 32},
    "x2ct-single": {"width": 0.0625, "input_size": 64, "output_size": 32},
}
"""Small arguments of each architecture."""

VIEWS = {"x2ct-biplanar": 2, "x2ct-single": 1}
UNUSED = tuple(
    f"views.{view}.decoder.{layer}." for view in (0, 1) for layer in ("output", "extra.32")
)
"""Weights of the biplanar network that no result depends on: published as part of it."""


def slim(name: str = "x2ct-biplanar", **more: object) -> nn.Module:
    torch.manual_seed(11)
    return build(name, {**SLIM[name], **more})


@cache
def trained_looking(name: str) -> nn.Module:
    """Return a network whose output is neither zero nor saturated, in evaluation mode."""
    return lively(slim(name)).eval()


def lively(net: nn.Module) -> nn.Module:
    torch.manual_seed(12)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0.0, 0.1)
    return net


def images(name: str = "x2ct-biplanar", seed: int = 3) -> Tensor:
    return torch.rand(1, VIEWS[name], 64, 64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def no_gradients_by_default():
    with torch.no_grad():
        yield


# --------------------------------------------------------------------------------- both networks


def test_both_images_matter():
    net, usual = trained_looking("x2ct-biplanar"), images()
    for view in range(2):
        other = usual.clone()
        other[:, view] = images(seed=4)[:, view]
        assert (net(other) - net(usual)).abs().max() > 1e-3


@pytest.mark.parametrize("name", SLIM)
def test_dropout_works_in_training_only(name):
    net = lively(slim(name))
    assert not torch.equal(net.train()(images(name)), net(images(name)))
    net.eval()
    assert torch.equal(net(images(name)), net(images(name)))


@pytest.mark.parametrize("name", SLIM)
def test_initial_weights_follow_the_seed(name):
    one, two = slim(name), slim(name)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (1, 2, 128, 128), (2, 64, 64)])
@pytest.mark.parametrize("name", SLIM)
def test_images_of_another_shape_are_refused(name, shape):
    with pytest.raises(InputError) as error:
        trained_looking(name)(torch.zeros(shape))
    assert error.value.code == "BAD_SHAPE"


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_size": 100},
        {"input_size": 32, "output_size": 32},
        {"output_size": 16, "input_size": 128},
        {"output_size": 256},
        {"width": 0},
        {"dropout": 1.0},
    ],
)
@pytest.mark.parametrize("name", SLIM)
def test_impossible_arguments_are_refused(name, wrong):
    with pytest.raises(InputError) as error:
        build(name, wrong)
    assert error.value.code == "ARCHITECTURE_ARGUMENTS"


@pytest.mark.parametrize(("size", "output"), [(64, 16), (64, 64), (96, 48), (128, 32)])
def test_volumes_have_the_size_asked_for(size, output):
    net = build("x2ct-biplanar", {"width": 0.03, "input_size": size, "output_size": output}).eval()
    assert net(torch.rand(1, 2, size, size)).shape == (1, 1, output, output, output)


@pytest.mark.parametrize("name", SLIM)
def test_memory_layout_changes_rounding_only(name):
    other = slim(name).eval()
    other.load_state_dict(trained_looking(name).state_dict())
    laid_out = channels_last(other)(images(name))
    assert torch.allclose(laid_out, trained_looking(name)(images(name)), atol=1e-4)


@pytest.mark.parametrize("name", SLIM)
def test_inference_in_place_gives_what_training_gives(name):
    net = lively(slim(name)).double().eval()
    pair = torch.cat([images(name), images(name, seed=5)]).double()
    with torch.enable_grad():
        recorded = net(pair)
    assert recorded.requires_grad
    torch.testing.assert_close(net(pair), recorded.detach(), atol=1e-9, rtol=1e-9)
    single = net.float()(pair.float())
    torch.testing.assert_close(single, recorded.detach().float(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", SLIM)
def test_checkpointing_changes_no_gradient(name):
    gradients = []
    for checkpointing in (False, True):
        net = lively(slim(name, checkpointing=checkpointing)).eval()
        with torch.enable_grad():
            net(images(name)).square().sum().backward()
        gradients.append([p.grad for p in net.parameters() if p.grad is not None])
    assert gradients[0]
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)


# ----------------------------------------------------------------------------------- the counts


def count(name: str, **arguments: bool) -> int:
    with torch.device("meta"):
        return parameter_count(build(name, arguments))


@pytest.mark.parametrize(
    ("arguments", "weights"),
    [
        ({}, 61_740_467),
        ({"feed_average_back": False}, 61_740_467),
        ({"flatten_last_map": True}, 61_740_467 + 2 * 15 * 704 * 16384),
        ({"connection_b": False}, 60_551_603),
        ({"concatenate_average": False}, 61_146_035),
        ({"connection_b": False, "concatenate_average": False}, 59_957_171),
    ],
)
def test_biplanar_networks_have_the_released_counts(arguments, weights):
    assert count("x2ct-biplanar", **arguments) == weights


def test_single_view_networks_have_the_released_counts():
    assert count("x2ct-single") == 29_384_481
    assert count("x2ct-single", connection_b=False) == 28_790_049


def test_a_view_of_the_biplanar_network_counts_as_much_as_the_single_one():
    with torch.device("meta"):
        net = build("x2ct-biplanar")
    assert [parameter_count(view) for view in net.views] == [29_384_481] * 2


def test_without_unused_layers_only_those_are_missing():
    """Per view: the 7x7x7 head and one 16-channel convolution."""
    unused = 2 * (7**3 * 16 + 1 + 27 * 16 * 16 + 16)
    assert count("x2ct-biplanar", unused_layers=False) == 61_740_467 - unused
    links = 0
    for channels, lifted in ((64, 16), (128, 16), (256, 32), (512, 64), (512, 128)):
        links += channels * lifted + lifted + 27 * lifted**2 + lifted
    assert count("x2ct-single", connection_b=False, unused_layers=False) == 28_790_049 - links


FLAGS = [
    {},
    {"feed_average_back": False},
    {"feed_cube_back": True},
    {"flatten_last_map": True},
    {"connection_b": False},
    {"concatenate_average": False},
    {"connection_b": False, "concatenate_average": False},
]


@pytest.mark.parametrize("flags", FLAGS, ids=lambda flags: "-".join(flags) or "full")
def test_without_unused_layers_every_weight_gets_a_gradient(flags):
    net = lively(slim(**flags, unused_layers=False))
    with torch.enable_grad():
        (net(images()) * torch.rand(32, 32, 32)).sum().backward()
    still = [
        key
        for key, p in net.named_parameters()
        if key.endswith("weight") and (p.grad is None or not p.grad.any())
    ]
    assert still == []


@pytest.mark.parametrize("flags", FLAGS, ids=lambda flags: "-".join(flags) or "full")
def test_unused_layers_change_nothing(flags):
    """The smaller network has some of the larger one's weights and gives the same volume."""
    full, lean = lively(slim(**flags)).eval(), slim(**flags, unused_layers=False).eval()
    assert len(lean.state_dict()) < len(full.state_dict())
    lean.load_state_dict(full.state_dict(), strict=False)
    assert torch.equal(lean(images()), full(images()))


def test_the_unused_layers_are_the_documented_ones():
    full, lean = slim().state_dict(), slim(unused_layers=False).state_dict()
    assert set(full) - set(lean) == {key for key in full if key.startswith(UNUSED)}


@pytest.mark.parametrize("flags", FLAGS[1:], ids=lambda flags: "-".join(flags))
def test_each_flag_changes_the_volume(flags):
    full, other = lively(slim()).eval(), lively(slim(**flags)).eval()
    shapes = {key: tensor.shape for key, tensor in other.state_dict().items()}
    same = {k: t for k, t in full.state_dict().items() if shapes[k] == t.shape}
    other.load_state_dict(same, strict=False)
    assert not torch.allclose(other(images()), full(images()), atol=1e-3)


def test_without_concatenation_the_volume_hears_the_first_cubes_only():
    """What the released ablation does: nothing of Connection-B reaches the fusing decoder."""
    net = lively(slim(concatenate_average=False)).eval()
    before = net(images())
    for view in net.views:
        for part in (*view.links.parameters(), *view.decoder.parameters()):
            part.add_(1.0)
    assert torch.equal(net(images()), before)


def test_a_flattened_last_map_tells_places_apart_and_its_mean_does_not():
    """In the paper Connection-A hears where in the last map something is, in its code it cannot."""
    image = images("x2ct-single")
    for flattened in (False, True):
        net = lively(slim("x2ct-single", flatten_last_map=flattened)).eval()
        _, maps = net.view.encode(image)
        last = net.view.stages[-1](maps[4])
        net.view.stages[-1] = Fixed(last)
        cube, _ = net.view.encode(image)
        net.view.stages[-1] = Fixed(last.flip(3))
        mirrored, _ = net.view.encode(image)
        assert torch.allclose(cube, mirrored, atol=1e-4) is not flattened


class Fixed(nn.Module):
    """A stage that gives one map, whatever it is shown."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        return self.features


# ---------------------------------------------------------------------------- the same numbers


def ours_and_plain(feed_cube_back: bool) -> tuple[nn.Module, nn.Module]:
    """Return two networks of the same weights and of equal image and volume size."""
    ours = lively(slim(output_size=64, feed_cube_back=feed_cube_back)).eval()
    plain = PlainX2CT(0.0625, feed_cube_back, size=64).eval()
    plain.load_state_dict(ours.state_dict())
    return ours, plain


@pytest.mark.parametrize("feed_cube_back", [False, True])
def test_the_volume_is_the_plain_networks(feed_cube_back):
    ours, plain = ours_and_plain(feed_cube_back)
    pair = images(seed=8)
    expected = plain(pair)
    assert expected.std() > 0.01
    torch.testing.assert_close(ours(pair), expected, atol=1e-4 * expected.max().item(), rtol=0)


def test_bfloat16_departs_from_float32_as_far_as_the_plain_network_does():
    """Sixty instance norms in a row magnify it, at random weights to half the volume's spread."""
    ours, plain = ours_and_plain(feed_cube_back=False)
    pair = images(seed=8)
    exact = ours(pair)
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = ours(pair).float(), plain(pair).float()
    assert (found - expected).abs().mean() < 0.5 * (expected - exact).abs().mean()


def test_the_shipped_model_gives_the_voxels_it_gave():
    """Recorded before kernels were permuted and links summed up; to rounding."""
    from TomoRayCore.bundle import read_bundle
    from TomoRayCore.inference import load_network

    folder = Path(__file__).parents[2] / "TomoRay" / "Resources" / "Models"
    net = load_network(read_bundle(folder / "tomoray-head-64.safetensors"))
    rows = torch.linspace(0, 1, 128)
    pair = torch.stack([rows[:, None] * rows, (rows[:, None] - rows).abs()])[None]
    volume = net(pair)[0, 0]
    means = [volume.mean(dim=dims)[20].item() for dims in ((1, 2), (0, 2), (0, 1))]
    assert means == pytest.approx([0.1029854, 0.1804272, 0.0893518], abs=1e-5)
    assert volume[45, 12, 40].item() == pytest.approx(0.450146, abs=1e-4)
    assert volume[60, 50, 9].item() == pytest.approx(0.084589, abs=1e-4)


@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("shape", [(1, 3, 7, 6, 5), (2, 4, 9, 8, 7), (1, 2, 40, 20, 30)])
def test_norms_in_place_equal_torchs(shape, slope):
    torch.manual_seed(2)
    x = torch.randn(shape) * 3 + 40
    expected = nn.functional.leaky_relu(nn.functional.instance_norm(x.double()), slope).float()
    laid_out = x.contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(norm_relu(laid_out.clone(), slope), expected, atol=2e-4, rtol=0)
    torch.testing.assert_close(instance_norm(x), nn.functional.instance_norm(x), atol=2e-4, rtol=0)


@pytest.mark.parametrize(("outputs", "taps", "depth"), [(1, 7, 9), (1, 7, 3), (2, 3, 5)])
def test_a_convolution_to_few_channels_equals_torchs(outputs, taps, depth):
    torch.manual_seed(2)
    x = torch.randn(2, 5, depth, 8, 6).double()
    weight, bias = torch.randn(outputs, 5, taps, taps, taps).double(), torch.randn(outputs).double()
    expected = nn.functional.conv3d(x, weight, bias, padding=taps // 2)
    torch.testing.assert_close(conv_to_few(x, weight, bias), expected)


# ------------------------------------------------------------------------------------ the parts


def test_weights_start_as_published():
    net = slim("x2ct-biplanar")
    weights = torch.cat(
        [m.weight.flatten() for m in net.modules() if hasattr(m, "weight") and m.weight is not None]
    )
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert weights.mean().item() == pytest.approx(0, abs=1e-3)
    assert not any(m.bias.any() for m in net.modules() if getattr(m, "bias", None) is not None)


@pytest.mark.parametrize("edge", [4, 5, 8, 16])
def test_a_lift_link_is_a_plain_3d_convolution_of_the_repeated_map(edge):
    torch.manual_seed(1)
    link, weight = LiftLink(5, 7).double(), torch.randn(6, 7, 3, 3, 3).double()
    image = torch.randn(2, 5, edge, edge).double()
    repeated = link.reduce(image)[:, :, None].expand(-1, -1, edge, -1, -1)
    plain = link.finish(link.mix(repeated))
    assert link(image).shape == (2, 7, edge, edge, edge)
    torch.testing.assert_close(link(image), plain)
    after = stretched(convolved_slices(link.slices(image), weight), 2, edge)
    torch.testing.assert_close(after, nn.functional.conv3d(plain, weight, padding=1))


def numbered_cube() -> Tensor:
    """Return (1, 1, 3, 4, 5): a cube with three different edges, in (D, H, W)."""
    return torch.arange(60.0).reshape(1, 1, 3, 4, 5)


def own_order(axes: tuple[int, int, int]) -> tuple[int, ...]:
    """Undo an order of axes."""
    return tuple(axes.index(axis) for axis in range(3))


@pytest.mark.parametrize(
    ("axes", "depth"), [(FRONTAL_AXES, 1), (LATERAL_AXES, 2)], ids=["frontal", "lateral"]
)
def test_a_view_takes_the_common_cube_with_its_depth_first(axes, depth):
    """Frontal depth is H, anterior to posterior; lateral depth is W, right to left."""
    cube = numbered_cube()
    own = reordered(cube, own_order(axes))
    assert own.shape[2] == cube.shape[2 + depth]
    assert own.shape[3] == cube.shape[2]  # rows stay superior to inferior
    assert torch.equal(reordered(own, axes), cube)


def lifted(image: Tensor) -> Tensor:
    """Return (1, 1, depth, rows, columns): an image repeated along its ray direction."""
    edge = image.shape[-1]
    return image[None, None, None].expand(1, 1, edge, edge, edge)


def test_a_lifted_frontal_image_is_constant_from_anterior_to_posterior():
    image = torch.zeros(8, 8)
    image[1, 6] = 1.0  # superior, patient's left
    cube = reordered(lifted(image), FRONTAL_AXES)[0, 0]  # (D, H, W)
    assert torch.equal(cube[1, :, 6], torch.ones(8))
    assert cube.sum() == 8
    assert torch.equal(cube.mean(dim=1), image)


def test_a_lifted_lateral_image_is_constant_from_right_to_left():
    image = torch.zeros(8, 8)
    image[1, 6] = 1.0  # superior, posterior
    cube = reordered(lifted(image), LATERAL_AXES)[0, 0]  # (D, H, W)
    assert torch.equal(cube[1, 6, :], torch.ones(8))
    assert cube.sum() == 8
    assert torch.equal(cube.mean(dim=2), image)


def shallow() -> nn.Module:
    """Return a slim network that hears its images through the finest links only."""
    net = lively(slim(input_size=128, output_size=64))
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
    usual = torch.rand(1, 2, 128, 128, generator=torch.Generator().manual_seed(3))
    spotted = usual.clone()
    spotted[:, view, 20:28, 96:104] += 1.0  # of 128; 10 to 14 and 48 to 52 of 64
    change = (net(spotted) - net(usual))[0, 0].abs()  # (D, H, W)
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
