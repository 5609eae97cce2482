"""Choosing where networks run."""

from __future__ import annotations

import torch

from TomoRayCore.errors import InputError, SetupError

DEVICES = ("auto", "cpu", "cuda")


def pick_device(name: str = "auto") -> torch.device:
    """Return the torch device for ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.

    Raises:
        InputError: ``DEVICE_UNKNOWN`` for another name.
        SetupError: ``NO_CUDA`` when CUDA is asked for and torch sees no such GPU.
    """
    if name not in DEVICES:
        raise InputError(
            "DEVICE_UNKNOWN",
            f"The device {name!r} is not known.",
            f"Use one of {', '.join(DEVICES)}.",
        )
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise SetupError(
            "NO_CUDA",
            f"torch {torch.__version__} sees no CUDA GPU on this machine.",
            "Use --device cpu, or install the driver and a CUDA build of torch.",
        )
    return torch.device("cuda" if name != "cpu" and available else "cpu")
