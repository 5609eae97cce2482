"""The generators, by the names that bundles and configurations use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets.x2ct_generator import X2CTGenerator

GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "x2ct-biplanar": X2CTGenerator,
}


def build(name: str, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """Return a freshly initialised generator.

    Args:
        name: A key of ``GENERATORS``.
        arguments: Keyword arguments of its constructor.

    Raises:
        InputError: ``ARCHITECTURE_UNKNOWN`` or ``ARCHITECTURE_ARGUMENTS``.
    """
    if name not in GENERATORS:
        raise InputError(
            "ARCHITECTURE_UNKNOWN",
            f"There is no architecture {name!r}.",
            f"This version knows {', '.join(GENERATORS)}; a newer TomoRay may know more.",
        )
    try:
        return GENERATORS[name](**dict(arguments or {}))
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(
            "ARCHITECTURE_ARGUMENTS",
            f"The architecture {name!r} does not take these arguments: {error}.",
            "Check the names against the class's docstring.",
        ) from error


def parameter_count(net: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(p.numel() for p in net.parameters())
