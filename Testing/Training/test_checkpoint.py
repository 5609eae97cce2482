"""Training state survives the disk exactly, or is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayTraining.checkpoint import METADATA_KEY, load_checkpoint, save_checkpoint

STATE = {"step": 3, "fingerprint": "abc"}


def network(seed: int = 0, width: int = 4) -> nn.ModuleDict:
    """A generator and an adversary."""
    torch.manual_seed(seed)
    generator = nn.Sequential(nn.Conv3d(1, width, 3), nn.ReLU(), nn.Linear(5, 2), nn.Linear(2, 2))
    return nn.ModuleDict({"generator": generator, "discriminator": nn.Linear(2, 1)})


def adam(net: nn.ModuleDict) -> dict[str, torch.optim.Optimizer]:
    return {
        name: torch.optim.Adam(part.parameters(), lr=0.1, betas=(0.5, 0.99))
        for name, part in net.items()
    }


def train(net: nn.ModuleDict, optimisers: dict[str, torch.optim.Optimizer], steps: int) -> None:
    """Take steps that leave the last layer without a gradient, as unused layers are."""
    for step in range(steps):
        images = torch.rand(1, 1, 5, 5, 7, generator=torch.Generator().manual_seed(step))
        for optimiser in optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        net["discriminator"](net["generator"][:3](images)).square().sum().backward()
        for optimiser in optimisers.values():
            optimiser.step()


def average_of(net: nn.ModuleDict) -> dict[str, Tensor]:
    return {name: tensor * 0.5 for name, tensor in net["generator"].state_dict().items()}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    net = network()
    optimiser = adam(net)
    train(net, optimiser, 3)
    save_checkpoint(tmp_path / "c.safetensors", net, optimiser, average_of(net), STATE)
    return tmp_path / "c.safetensors"


def refusal(path: Path, net: nn.ModuleDict | None = None) -> str:
    net = net or network()
    with pytest.raises(InputError) as error:
        load_checkpoint(path, net, adam(net))
    assert error.value.code == "BAD_CHECKPOINT"
    return error.value.message


def test_a_resumed_optimiser_goes_on_as_if_it_had_never_stopped(saved):
    straight = network()
    optimiser = adam(straight)
    train(straight, optimiser, 3)
    resumed = network(seed=9)
    resumed_optimiser = adam(resumed)
    average, state = load_checkpoint(saved, resumed, resumed_optimiser)
    assert state == STATE
    assert all(
        torch.equal(average[k], v * 0.5) for k, v in straight["generator"].state_dict().items()
    )
    for net, its_optimiser in ((straight, optimiser), (resumed, resumed_optimiser)):
        train(net, its_optimiser, 2)
    for one, two in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, two)


def test_weights_alone_can_be_read(saved):
    net = network(seed=9)
    load_checkpoint(saved, net)
    trained = network()
    train(trained, adam(trained), 3)
    assert all(
        torch.equal(a, b) for a, b in zip(net.parameters(), trained.parameters(), strict=True)
    )


def test_a_memory_layout_does_not_matter(tmp_path):
    net = network()
    net["generator"][0].weight.data = net["generator"][0].weight.data.contiguous(
        memory_format=torch.channels_last_3d
    )
    save_checkpoint(tmp_path / "c.safetensors", net, adam(net), average_of(net), STATE)
    other = network(seed=9)
    load_checkpoint(tmp_path / "c.safetensors", other)
    assert torch.equal(other["generator"][0].weight, net["generator"][0].weight)


def test_saving_again_replaces_the_file_whole(saved):
    net = network(seed=5)
    save_checkpoint(saved, net, adam(net), average_of(net), {**STATE, "step": 4})
    assert load_checkpoint(saved, network())[1]["step"] == 4
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_file_that_ends_early_is_refused(saved, share):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(share * len(data))])
    refusal(saved)


def test_flipped_bytes_in_the_header_never_escape_as_another_error(saved):
    data = saved.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    refused = 0
    for offset in range(0, header, 13):
        changed = bytearray(data)
        changed[offset] ^= 0x10
        saved.write_bytes(changed)
        net = network()
        try:
            load_checkpoint(saved, net, adam(net))
        except InputError:
            refused += 1
    assert refused > 0.8 * header / 13


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\x80\x04pickle"])
def test_a_file_of_another_kind_is_refused(saved, content):
    saved.write_bytes(content)
    refusal(saved)


def test_a_missing_file_is_refused(tmp_path):
    refusal(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    "metadata",
    [None, {"other": "x"}, {METADATA_KEY: "{"}, {METADATA_KEY: "5"}, {METADATA_KEY: '{"step": 3}'}],
    ids=str,
)
def test_a_file_of_somebody_else_is_refused(saved, metadata):
    tensors = safetensors.torch.load_file(saved)
    safetensors.torch.save_file(tensors, saved, metadata)
    refusal(saved)


@pytest.mark.parametrize(
    "prefix", ["net/generator.0.weight", "net/discriminator.weight", "ema/0.weight"]
)
def test_a_missing_tensor_is_refused(saved, prefix):
    tensors = safetensors.torch.load_file(saved)
    del tensors[prefix]
    safetensors.torch.save_file(tensors, saved, {METADATA_KEY: json.dumps(STATE)})
    refusal(saved)


@pytest.mark.parametrize(
    "name", ["adam/generator/x/exp_avg", "adam/generator/0", "adam/discriminator/0/a/b"]
)
def test_a_garbled_moment_is_refused(saved, name):
    tensors = safetensors.torch.load_file(saved)
    tensors[name] = torch.zeros(3)
    safetensors.torch.save_file(tensors, saved, {METADATA_KEY: json.dumps(STATE)})
    refusal(saved)


def test_a_checkpoint_of_another_network_is_refused(saved):
    assert "size mismatch" in refusal(saved, network(width=5))
