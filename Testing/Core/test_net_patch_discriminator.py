"""The 3-D patch discriminators of X2CT-GAN, X-Recon and SdCT-GAN."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets import DISCRIMINATORS, build, parameter_count
from TomoRayCore.nets.patch_discriminator import PatchDiscriminator3d, places
from TomoRayCore.nets.sdct_discriminator import SdCTDiscriminator, octant_of

NAMES = ("patch3d", "patch3d-coordinates", "sdct")
SIZE = {"patch3d": 32, "patch3d-coordinates": 32, "sdct": 64}


def small(name: str, **arguments: object) -> nn.Module:
    torch.manual_seed(4)
    net = build(name, {"width": 0.0625, **arguments}, DISCRIMINATORS)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 1.4 / parameter[0].numel() ** 0.5)
    return net


def examination(size: int, batch: int = 2, views: int = 2) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(9)
    volume = torch.rand(batch, 1, size, size, size, generator=random)
    return volume, torch.rand(batch, views, size, size, generator=random)


def repeated(volume: Tensor, images: Tensor) -> Tensor:
    """Return frontal along H, lateral along W, and the volume, written down plainly."""
    cubes = []
    for view, axis in zip(range(images.shape[1]), (3, 4), strict=False):
        cubes.append(images[:, view : view + 1].unsqueeze(axis).expand_as(volume).clone())
    return torch.cat([*cubes, volume], dim=1)


@pytest.mark.parametrize(
    ("name", "arguments", "weights"),
    [
        ("patch3d", {}, 11_055_169),
        ("patch3d", {"view_count": 1}, 11_051_073),
        ("patch3d", {"conditional": False}, 11_046_977),
        ("patch3d-coordinates", {}, 11_067_457),
        ("sdct", {}, 38_898_624),
    ],
)
def test_discriminators_have_the_published_counts(name, arguments, weights):
    with torch.device("meta"):
        assert parameter_count(build(name, arguments, DISCRIMINATORS)) == weights


@pytest.mark.parametrize(("name", "edge"), [("patch3d", 19), ("sdct", 5)])
def test_a_cube_of_128_has_the_published_patches(name, edge):
    with torch.device("meta"):
        net = build(name, {"width": 0.0625}, DISCRIMINATORS)
        logits = net(torch.zeros(1, 1, 128, 128, 128), torch.zeros(1, 2, 128, 128))
    assert logits.shape == (1, 1, edge, edge, edge)


@pytest.mark.parametrize("coordinates", [False, True])
@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("recorded", [False, True])
def test_images_count_as_if_repeated_along_their_rays(views, coordinates, recorded):
    net = small("patch3d", view_count=views, coordinates=coordinates).double()
    volume, images = (t.double() for t in examination(16, views=views))
    x = repeated(volume, images)
    if coordinates:
        x = torch.cat([x, places(volume)], dim=1)
    with torch.set_grad_enabled(recorded):
        found = net(volume, images)
        x = nn.functional.leaky_relu(net.layers[0](x), 0.2)
        for layer in net.layers[1:-1]:
            x = nn.functional.leaky_relu(nn.functional.instance_norm(layer(x)), 0.2)
        torch.testing.assert_close(found, net.layers[-1](x))


def test_the_papers_discriminator_normalises_all_four_and_cuts_off_below_zero():
    net = small("patch3d", norm_first=True, slope=0).double()
    volume, images = (t.double() for t in examination(16))
    x = repeated(volume, images)
    with torch.no_grad():
        for layer in net.layers[:-1]:
            x = nn.functional.instance_norm(layer(x)).relu()
        torch.testing.assert_close(net(volume, images), net.layers[-1](x))


def test_coordinates_are_places_in_the_volume():
    found = places(torch.zeros(2, 1, 3, 5, 9))
    assert found.shape == (2, 3, 3, 5, 9)
    assert found[1, :, 0, 2, 8].tolist() == [-1, 0, 1]


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_and_the_volume_get_a_gradient(name):
    net = small(name)
    volume, images = examination(SIZE[name])
    volume.requires_grad_()
    if name == "sdct":
        logits, rebuilt = net.rebuild(volume, images, octant=3)
        outputs = [logits, rebuilt.octant, rebuilt.whole]
    else:
        outputs = [net(volume, images)]
    sum((output * torch.randn_like(output)).sum() for output in outputs).backward()
    assert volume.grad.abs().sum() > 0
    assert [k for k, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", NAMES)
def test_images_matter_only_where_they_are_a_condition(name):
    volume, images = examination(SIZE[name])
    with torch.no_grad():
        net = small(name).eval()
        for view in range(2):
            other = images.clone()
            other[:, view] = other[:, view].flip(-1)
            assert not torch.allclose(net(volume, other), net(volume, images))
        free = small(name, conditional=False).eval()
        assert torch.equal(free(volume), free(volume, images))


@pytest.mark.parametrize("name", NAMES)
def test_finer_images_are_averaged_down(name):
    volume, images = examination(SIZE[name])
    finer = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    net = small(name).eval()
    with torch.no_grad():
        torch.testing.assert_close(net(volume, finer), net(volume, images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_misfits_are_refused(name):
    net = small(name)
    volume, images = examination(SIZE[name])
    for wrong in ((volume, None), (volume, images[:, :1]), (volume[..., 1:], images)):
        with pytest.raises(InputError) as error:
            net(*wrong)
        assert error.value.code == "BAD_SHAPE"
    arguments_of_all = [{"width": 0}, {"view_count": 3}]
    for arguments in arguments_of_all + [{"slope": 1}] * name.startswith("patch3d"):
        with pytest.raises(InputError):
            build(name, arguments, DISCRIMINATORS)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_changes_rounding_only(name):
    net = small(name)
    volume, images = examination(SIZE[name])
    with torch.no_grad():
        exact = net(volume, images)
        with torch.autocast("cpu", torch.bfloat16):
            rough = net(volume, images).float()
    assert (rough - exact).abs().mean() < 0.1 * exact.abs().mean()


def test_a_step_tells_real_from_generated():
    torch.manual_seed(0)
    net = PatchDiscriminator3d(width=0.0625)
    real, images = examination(32, batch=1)
    fake = real.flip(2)
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []
    for _ in range(12):
        loss = (net(real, images) - 1).square().mean() + net(fake, images).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("octant", range(8))
def test_sdcts_octants_tile_the_cube(octant):
    cube = torch.zeros(2, 2, 2)
    cube[octant // 4, octant // 2 % 2, octant % 2] = 1
    cube = cube.repeat_interleave(4, 0).repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert octant_of(cube[None, None], octant).sum() == 4**3


def test_sdct_rebuilds_what_it_was_shown():
    torch.manual_seed(4)
    net = SdCTDiscriminator(width=0.0625)
    volume, images = examination(64, batch=1)
    logits, rebuilt = net.rebuild(volume, images, octant=6)
    shown = repeated(volume, images)
    assert torch.equal(rebuilt.octant_target, shown[:, :, 32:, 32:, :32])
    assert torch.equal(rebuilt.whole_target, shown[:, :, ::2, ::2, ::2])
    assert rebuilt.octant.shape == rebuilt.octant_target.shape
    assert rebuilt.whole.shape == rebuilt.whole_target.shape
    assert rebuilt.whole.abs().max() <= 1
    assert logits.shape == (1, 1, 1, 1, 1)
    net.eval()
    assert torch.equal(net.rebuild(volume, images)[0], net(volume, images))
