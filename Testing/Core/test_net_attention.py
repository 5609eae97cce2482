"""Self-attention against its formulas, written out position by position."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from TomoRayCore.errors import InputError
from TomoRayCore.nets.attention import KINDS, SelfAttention


def attention(kind: str, channels: int = 4, heads: int = 2) -> SelfAttention:
    torch.manual_seed(1)
    return SelfAttention(channels, kind, heads).double()


def cube(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def projections(net: SelfAttention, x: Tensor) -> list[Tensor]:
    """Queries, keys and values (C, ...) of a batch of one."""
    given = torch.einsum("oc,bcdhw->bodhw", net.project.weight, net.norm(x))[0]
    return list((given + net.project.bias[:, None, None, None]).chunk(3))


def returned(net: SelfAttention, x: Tensor, mixed: Tensor) -> Tensor:
    back = torch.einsum("oc,cdhw->odhw", net.back.weight, mixed)
    return x[0] + back + net.back.bias[:, None, None, None]


def heads(tensor: Tensor, count: int) -> list[Tensor]:
    return list(tensor.chunk(count))


def softmax_mix(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q . k / sqrt(C)) v for (C, N)."""
    return v @ (q.T @ k / q.shape[0] ** 0.5).softmax(dim=1).T


def test_full_attention_mixes_all_voxels():
    net, x = attention("full"), cube(1, 4, 2, 3, 4)
    q, k, v = (t.flatten(1) for t in projections(net, x))
    mixed = torch.cat(
        [softmax_mix(*qkv) for qkv in zip(heads(q, 2), heads(k, 2), heads(v, 2), strict=True)]
    )
    assert torch.allclose(net(x)[0], returned(net, x, mixed.view(4, 2, 3, 4)), atol=1e-9)


def test_axial_attention_adds_what_each_axis_gives():
    net, x = attention("axial", heads=1), cube(1, 4, 2, 3, 4)
    q, k, v = projections(net, x)
    mixed = torch.zeros_like(v)
    for d in range(2):
        for h in range(3):
            mixed[:, d, h, :] += softmax_mix(q[:, d, h, :], k[:, d, h, :], v[:, d, h, :])
        for w in range(4):
            mixed[:, d, :, w] += softmax_mix(q[:, d, :, w], k[:, d, :, w], v[:, d, :, w])
    for h in range(3):
        for w in range(4):
            mixed[:, :, h, w] += softmax_mix(q[:, :, h, w], k[:, :, h, w], v[:, :, h, w])
    assert torch.allclose(net(x)[0], returned(net, x, mixed), atol=1e-9)


def test_linear_attention_equals_its_dense_form():
    """softmax over channels of q, times softmax over positions of k, as one matrix of positions."""
    net, x = attention("linear", heads=1), cube(1, 4, 2, 3, 4)
    q, k, v = (t.flatten(1) for t in projections(net, x))
    matrix = q.softmax(dim=0).T @ k.softmax(dim=1)  # (N, N), rows add up to 1
    assert torch.allclose(matrix.sum(dim=1), torch.ones(24, dtype=torch.float64))
    mixed = (v @ matrix.T).view(4, 2, 3, 4)
    assert torch.allclose(net(x)[0], returned(net, x, mixed), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_voxels_that_change_places_change_places_in_the_result(kind):
    """No position is known, so transposing the cube transposes the result."""
    net, x = attention(kind), cube(2, 4, 2, 3, 4)
    assert torch.allclose(net(x.transpose(2, 4)), net(x).transpose(2, 4), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_every_sample_of_a_batch_is_alone(kind):
    net, x = attention(kind), cube(2, 4, 2, 3, 4)
    assert torch.allclose(net(x)[1:], net(x[1:]), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_work_as_cubes_do(kind):
    net = attention(kind)
    assert net(cube(1, 4, 5, 3)).shape == (1, 4, 5, 3)
    net(cube(1, 4, 5, 3)).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for name, p in net.named_parameters() if "weight" in name)


@pytest.mark.parametrize(("kind", "heads"), [("dense", 1), ("full", 3), ("full", 0)])
def test_impossible_arguments_are_refused(kind, heads):
    with pytest.raises(InputError) as caught:
        SelfAttention(4, kind, heads)
    assert caught.value.code == "ARCHITECTURE_ARGUMENTS"
