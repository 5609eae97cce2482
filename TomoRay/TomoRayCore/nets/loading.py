"""A network from its description and its tensors, with nothing left over and nothing missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets import GENERATORS, build


def network_from(
    architecture: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    what: str,
    registry: Mapping[str, Callable[..., nn.Module]] = GENERATORS,
) -> nn.Module:
    """Return a network in evaluation mode, float32, on the CPU.

    Args:
        architecture: ``name``, a key of ``registry``, and the ``arguments`` of its constructor.
        tensors: Its weights by name.
        what: Where they come from, for messages.
        registry: Of ``nets``.

    Raises:
        InputError: ``ARCHITECTURE_UNKNOWN``, ``ARCHITECTURE_ARGUMENTS``, or ``MODEL_MISMATCH``
            when the weights are not those of the architecture.
    """
    name, arguments = str(architecture.get("name")), architecture.get("arguments", {})
    with torch.device("meta"):  # shapes alone: wrong arguments must not fill the memory
        shapes = build(name, arguments, registry).state_dict()
    expected = {name: tuple(tensor.shape) for name, tensor in shapes.items()}
    got = {name: tensor.shape for name, tensor in tensors.items()}
    if expected != got:
        wrong = sorted(set(expected.items()) ^ set(got.items()))[0]
        raise InputError(
            "MODEL_MISMATCH",
            f"The weights of {what} are not those of {name!r}; "
            f"the first difference is {wrong[0]!r} {wrong[1]}.",
            "Get the file again, or correct its architecture's arguments.",
        )
    net = build(name, arguments, registry)
    net.load_state_dict(  # which converts to the types of the network: float32, counts to integers
        {name: torch.from_numpy(np.array(t)) for name, t in tensors.items()}
    )
    return net.eval()
