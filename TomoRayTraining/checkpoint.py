"""Resumable training state in one safetensors file: nothing in TomoRay unpickles, ever."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.io.atomic import atomic_path

METADATA_KEY = "tomoray_checkpoint"
DAMAGE = (OSError, KeyError, TypeError, ValueError, RuntimeError)
"""What comes of reading a file that was cut off, changed or made by somebody else."""


def save_checkpoint(
    path: Path,
    networks: nn.Module,
    optimisers: Mapping[str, torch.optim.Optimizer],
    average: dict[str, Tensor],
    state: dict[str, Any],
) -> None:
    """Write weights, Adam's moments, averaged weights and ``state`` (JSON types), atomically."""
    tensors = {f"net/{name}": tensor for name, tensor in networks.state_dict().items()}
    tensors |= {f"ema/{name}": tensor for name, tensor in average.items()}
    for name, optimiser in optimisers.items():
        for number, values in optimiser.state_dict()["state"].items():
            for key, tensor in values.items():
                tensors[f"adam/{name}/{number}/{key}"] = tensor
    contiguous = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(contiguous, temporary, {METADATA_KEY: json.dumps(state)})


def read_average(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return averaged weights and ``state`` of a checkpoint whose networks are not at hand.

    Raises:
        InputError: ``BAD_CHECKPOINT`` for anything that ``save_checkpoint`` did not write.
    """
    try:
        tensors, state = _read(path)
        return _part(tensors, "ema/"), state
    except (safetensors.SafetensorError, *DAMAGE) as error:
        raise _bad(path, error) from error


def load_checkpoint(
    path: Path,
    networks: nn.Module,
    optimisers: Mapping[str, torch.optim.Optimizer] | None = None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Restore weights (and moments) in place; return averaged weights and ``state``.

    The averaged weights are those of the network called ``generator``.

    Raises:
        InputError: ``BAD_CHECKPOINT`` for anything that ``save_checkpoint`` did not write.
    """
    try:
        tensors, state = _read(path)
        average = _part(tensors, "ema/")
        if average.keys() != _part(networks.state_dict(), "generator.").keys():
            raise ValueError("its averaged weights are not those of the network")
        networks.load_state_dict(_part(tensors, "net/"))
        for name, optimiser in (optimisers or {}).items():
            _restore_moments(optimiser, _part(tensors, f"adam/{name}/"))
    except (safetensors.SafetensorError, *DAMAGE) as error:
        raise _bad(path, error) from error
    return average, state


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safetensors.safe_open(path, framework="pt") as stream:
        state = json.loads(stream.metadata()[METADATA_KEY])
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    if not isinstance(state, dict) or not {"step", "fingerprint"} <= state.keys():
        raise ValueError("step or fingerprint is missing")
    return tensors, state


def _bad(path: Path, error: Exception) -> InputError:
    return InputError(
        "BAD_CHECKPOINT",
        f"{path} cannot be used: {error}.",
        "Resume with the configuration it was made with, or start afresh in another folder.",
    )


def _restore_moments(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = name.split("/")
        moments.setdefault(int(number), {})[key] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
