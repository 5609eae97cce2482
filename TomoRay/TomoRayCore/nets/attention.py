"""Self-attention over all positions of a map or a cube, densely or in ways that scale to 128^3.

* ``full``: every position looks at every other one (Vaswani et al., NeurIPS 2017); memory and time
  grow with the square of their number, which is affordable to about 16^3.
* ``axial``: every position looks along each axis in turn, and the results are added (Ho et al.,
  "Axial Attention in Multidimensional Transformers", 2019).
* ``linear``: positions exchange a matrix of channels by channels (Shen et al., "Efficient
  Attention", WACV 2021), so time grows with their number.

All are a normed 1x1 projection to queries, keys and values, one of these mixtures in each head, a
1x1 projection back, and the input added.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError

Kind = Literal["full", "axial", "linear"]
KINDS = ("full", "axial", "linear")


class SelfAttention(nn.Module):
    """Mix positions of (B, C, ...) with any number of axes; the shape is kept.

    Args:
        channels: C.
        kind: ``full``, ``axial`` or ``linear``, see above.
        heads: Groups of channels that mix independently.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for another kind, or heads that do not divide C.
    """

    def __init__(self, channels: int, kind: Kind = "full", heads: int = 1) -> None:
        super().__init__()
        if kind not in KINDS or heads < 1 or channels % heads:
            raise InputError(
                "ARCHITECTURE_ARGUMENTS",
                f"Got attention {kind!r} with {heads!r} heads for {channels} channels.",
                f"Attention is one of {', '.join(KINDS)}, with heads that divide the channels.",
            )
        self.kind, self.heads = kind, heads
        self.norm = nn.GroupNorm(1, channels)
        self.project = nn.Linear(channels, 3 * channels)
        self.back = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        last = self.norm(x).movedim(1, -1)  # (B, ..., C)
        mixed = self._mixed(*self.project(last).chunk(3, dim=-1))
        returned: Tensor = x + self.back(mixed).movedim(-1, 1)
        return returned

    def _mixed(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Mix tensors (B, ..., C) along all axes between the first and the last."""
        if self.kind == "full":
            return self._dense(
                query.flatten(1, -2), key.flatten(1, -2), value.flatten(1, -2)
            ).reshape(value.shape)
        if self.kind == "linear":
            return (
                _linear(*(self._by_head(t.flatten(1, -2)) for t in (query, key, value)))
                .transpose(1, 2)
                .reshape(value.shape)
            )
        total = torch.zeros_like(value)
        for axis in range(1, value.ndim - 1):
            lines = (t.movedim(axis, -2) for t in (query, key, value))
            total = total + self._dense(*lines).movedim(-2, axis)
        return total

    def _dense(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Softmax attention along the axis before the last of (..., N, C)."""
        q, k, v = (self._by_head(t.reshape(-1, *t.shape[-2:])) for t in (query, key, value))
        mixed: Tensor = nn.functional.scaled_dot_product_attention(q, k, v)
        return mixed.transpose(1, 2).reshape(value.shape)

    def _by_head(self, sequence: Tensor) -> Tensor:
        """(M, N, C) to (M, heads, N, C / heads)."""
        return sequence.view(*sequence.shape[:2], self.heads, -1).transpose(1, 2)


def _linear(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax of queries over channels, of keys over positions; all (B, heads, N, C)."""
    summary = key.softmax(dim=-2).transpose(-1, -2) @ value  # (B, heads, C, C)
    return query.softmax(dim=-1) @ summary
