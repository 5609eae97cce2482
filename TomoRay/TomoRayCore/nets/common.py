"""What networks share besides layers: refusing what does not fit, and computing again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from TomoRayCore.errors import InputError


def check_images(images: Tensor, views: int, size: int) -> None:
    """Refuse anything but (B, views, size, size).

    Raises:
        InputError: ``BAD_SHAPE``.
    """
    if images.ndim != 4 or tuple(images.shape[1:]) != (views, size, size):
        raise InputError(
            "BAD_SHAPE",
            f"Got images of shape {tuple(images.shape)}.",
            f"Give (batch, {views}, {size}, {size}), with a frontal film before a lateral one.",
        )


def check_dropout(dropout: float) -> None:
    """Refuse a share that is none.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS``.
    """
    if not 0 <= dropout < 1:
        raise InputError(
            "ARCHITECTURE_ARGUMENTS", f"Got dropout {dropout!r}.", "Give a dropout in [0, 1)."
        )


def kept(briefly: bool, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function; where ``briefly``, training keeps its arguments only and computes what it
    computed inside again on the way back."""
    if briefly and torch.is_grad_enabled():
        return checkpoint(function, *arguments, use_reentrant=False)
    return function(*arguments)
