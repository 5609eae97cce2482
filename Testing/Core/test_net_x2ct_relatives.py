"""2DCNN, SdCT-GAN and X-Recon: published counts, and what sets them apart from X2CT-GAN."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets import build, parameter_count
from TomoRayCore.nets.sdct_generator import sobel_magnitude

NAMES = ("cnn2d", "sdct", "x-recon")
VIEWS = {"cnn2d": 1, "sdct": 2, "x-recon": 2}


def small(name: str, **arguments: object) -> nn.Module:
    torch.manual_seed(4)
    net = build(name, {"width": 0.0625, "input_size": 64, "output_size": 32, **arguments})
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 1.4 / parameter[0].numel() ** 0.5)
    return net


def images(name: str, batch: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(2)
    return torch.rand(batch, VIEWS[name], 64, 64, generator=random)


@pytest.mark.parametrize(
    ("name", "arguments", "weights"),
    [
        ("cnn2d", {}, 9_068_480),
        ("sdct", {}, 72_978_003),
        ("x-recon", {}, 37_517_943),
        ("x-recon", {"input_size": 224, "output_size": 224}, 98_799_735),
    ],
)
def test_networks_have_the_published_counts(name, arguments, weights):
    """The page prints 9,068,480; 72.98 M; 37.52 M; 98.80 M."""
    with torch.device("meta"):
        assert parameter_count(build(name, arguments)) == weights


@pytest.mark.parametrize("name", ["sdct", "x-recon"])
def test_unused_layers_change_nothing_and_all_others_learn(name):
    full, lean = small(name).eval(), small(name, unused_layers=False).eval()
    assert len(lean.state_dict()) < len(full.state_dict())
    lean.load_state_dict(full.state_dict(), strict=False)
    with torch.no_grad():
        assert torch.equal(lean(images(name)), full(images(name)))
    (lean(images(name)) * torch.rand(32, 32, 32)).sum().backward()
    still = [
        key
        for key, p in lean.named_parameters()
        if key.endswith("weight") and (p.grad is None or not p.grad.any())
    ]
    assert still == []


VIEW_AXES = ((0, 1, 3, 2, 4), (0, 1, 4, 2, 3))
"""(B, C, D, H, W) to a view's own axes, its depth first: (H, D, W), (W, D, H)."""

COMMON_AXES = ((0, 1, 3, 2, 4), (0, 1, 3, 4, 2))


def plain(block: nn.Module, *cubes: Tensor) -> Tensor:
    """Run a block as the plain sequence of torch layers that it is, on concatenated cubes."""
    return nn.Sequential.forward(block, torch.cat(cubes, dim=1))


def plain_chain(blocks: nn.Module, cube: Tensor) -> Tensor:
    for block in blocks:
        cube = plain(block, cube)
    return cube


def plain_squeeze(layer: nn.Module, x: Tensor) -> Tensor:
    return nn.functional.leaky_relu(nn.functional.instance_norm(layer.conv(x)), 0.01)


def plain_encoding(net: nn.Module, number: int, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
    """Return a view's first cube and its lifted maps, in the view's own axes."""
    view = net.views[number]
    x, gradients, lifted = view.stem(image), sobel_magnitude(image), {}
    for place, stage in enumerate(view.stages):
        edge = x.shape[-1]
        if str(edge) in view.links:
            link = view.links[str(edge)]
            repeated = link.reduce(x)[:, :, None].expand(-1, -1, edge, -1, -1)
            lifted[edge] = link.finish(link.mix(repeated))
        if hasattr(net, "guide"):
            gradients = plain_squeeze(net.guide.pyramid[place], gradients)
            x = torch.cat([gradients, x], dim=1)
            for layer in net.guide.squeeze[place]:
                x = plain_squeeze(layer, x)
        x = stage(x)
    cube = view.to_cube(x.mean((2, 3))).unflatten(1, (-1, *[net.sizes.cube_edge] * 3))
    return cube, lifted


def plain_volume(net: nn.Module, images: Tensor) -> Tensor:
    """Return what the released code's order of operations gives with the network's weights."""
    encoded = [plain_encoding(net, number, images[:, number : number + 1]) for number in (0, 1)]
    cubes, fusion, running = [cube for cube, _ in encoded], net.fusion, None
    decoders = [view.decoder for view in net.views]
    average = sum(c.permute(axes) for c, axes in zip(cubes, COMMON_AXES, strict=True)) / 2
    fused = plain(fusion.first, average)
    own = [average.permute(axes) for axes in VIEW_AXES]
    cubes = [plain(decoder.first, cube) for decoder, cube in zip(decoders, own, strict=True)]
    for edge in net.sizes.edges:
        key, last = str(edge), edge == net.sizes.edges[-1]
        cubes = [
            plain(decoder.compress[key], cube, lifted[edge])
            for decoder, cube, (_, lifted) in zip(decoders, cubes, encoded, strict=True)
        ]
        average = sum(c.permute(axes) for c, axes in zip(cubes, COMMON_AXES, strict=True)) / 2
        if hasattr(fusion, "to_volume"):
            volume = fusion.to_volume[key](torch.cat([average, fused], dim=1))
            volume = nn.functional.leaky_relu(volume, 0.01)
            doubled = 0
            if running is not None:
                doubled = nn.functional.interpolate(running, scale_factor=2, mode="trilinear")
            running = (doubled + volume) / 2
        fused = plain_chain(fusion.extra[key], plain(fusion.compress[key], average, fused))
        if not last:
            fused = plain(fusion.rise[key], fused)
            cubes = [
                plain(decoder.rise[key], plain_chain(decoder.extra[key], average.permute(axes)))
                for decoder, axes in zip(decoders, VIEW_AXES, strict=True)
            ]
    if running is not None:
        return nn.functional.leaky_relu(running, 0.01)
    return fusion.output(fused)


@pytest.mark.parametrize("name", ["sdct", "x-recon"])
def test_the_volume_is_that_of_the_released_order_of_operations(name):
    net = small(name).double().eval()
    pair = images(name, batch=2).double()
    with torch.no_grad():
        expected = plain_volume(net, pair)
        assert expected.std() > 0.01
        torch.testing.assert_close(net(pair), expected, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_inference_gives_what_training_gives(name):
    net = small(name).double().eval()
    pair = images(name, batch=2).double()
    recorded = net(pair).detach()
    with torch.no_grad():
        torch.testing.assert_close(net(pair), recorded, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_checkpointing_changes_no_gradient(name):
    gradients = []
    for checkpointing in (False, True):
        net = small(name, checkpointing=checkpointing).eval().double()
        net(images(name).double()).square().sum().backward()
        gradients.append([p.grad for p in net.parameters() if p.grad is not None])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)


def test_checkpointing_does_not_let_2dcnns_norms_count_an_image_twice():
    buffers = []
    for checkpointing in (False, True):
        net = small("cnn2d", checkpointing=checkpointing).train()
        for _ in range(2):
            net(images("cnn2d", batch=2)).square().sum().backward()
        assert {m.momentum for m in net.modules() if isinstance(m, nn.BatchNorm2d)} == {0.1}
        buffers.append(dict(net.named_buffers()))
    plain, recomputed = buffers
    assert plain["tail.0.1.num_batches_tracked"] == 2
    assert all(torch.equal(recomputed[key], values) for key, values in plain.items())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [{"width": 0}, {"input_size": 50}, {"output_size": 20}])
def test_impossible_arguments_are_refused(name, wrong):
    with pytest.raises(InputError) as error:
        build(name, wrong)
    assert error.value.code == "ARCHITECTURE_ARGUMENTS"


# --------------------------------------------------------------------------------------- 2DCNN


def test_2dcnns_channels_are_planes_from_anterior():
    net = small("cnn2d").eval()
    with torch.no_grad():
        before = net(images("cnn2d"))[0, 0]
        net.tail[1].weight[5].zero_()  # the sixth plane along H
        after = net(images("cnn2d"))[0, 0]
    changed = (after != before).any(dim=2).any(dim=0)
    assert changed.nonzero().flatten().tolist() == [5]
    assert after[:, 5].abs().max() == 0


def test_2dcnn_takes_images_of_the_volumes_size_too():
    net = build("cnn2d", {"width": 0.0625, "input_size": 32, "output_size": 32}).eval()
    assert net(torch.rand(2, 1, 32, 32)).shape == (2, 1, 32, 32, 32)


def test_2dcnn_sees_the_first_image_only():
    net = small("cnn2d", view_count=2).eval()
    pair = torch.rand(1, 2, 64, 64)
    other = pair.clone()
    other[:, 1] = 0
    with torch.no_grad():
        assert torch.equal(net(other), net(pair))


# -------------------------------------------------------------------------------------- SdCT-GAN


def test_the_guide_is_a_sobel_magnitude():
    ramp = torch.arange(6.0).expand(1, 1, 5, 6) * 0.5
    inside = sobel_magnitude(ramp)[0, 0, 1:-1, 1:-1]
    assert torch.allclose(inside, torch.full_like(inside, 4.0))  # 8 times the slope
    turned = sobel_magnitude(ramp.transpose(2, 3))
    assert torch.allclose(turned.transpose(2, 3), sobel_magnitude(ramp))
    assert sobel_magnitude(torch.zeros(1, 1, 4, 4)).max().item() == pytest.approx(1e-3)


def test_both_views_share_one_guide():
    net = small("sdct").eval()
    assert sum(key.startswith("guide.pyramid.0") for key in net.state_dict()) == 2
    x = images("sdct")
    with torch.no_grad():
        before = [net.encode(view, x[:, :1])[0] for view in range(2)]
        net.guide.pyramid[0].conv.weight.neg_()
        after = [net.encode(view, x[:, :1])[0] for view in range(2)]
    assert all(not torch.allclose(a, b) for a, b in zip(before, after, strict=True))


# --------------------------------------------------------------------------------------- X-Recon


def test_xrecons_volume_is_a_running_mean_over_resolutions():
    """With one resolution's layer constant and all others zero, its share can be told."""
    for edge, share in ((4, 1 / 16), (8, 1 / 8), (16, 1 / 4), (32, 1 / 2)):
        net = small("x-recon").eval()
        with torch.no_grad():
            for key, layer in net.fusion.to_volume.items():
                layer.weight.zero_()
                layer.bias.fill_(float(key == str(edge)))
            volume = net(images("x-recon"))
        assert torch.allclose(volume, torch.full_like(volume, share)), edge
