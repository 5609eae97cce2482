"""The discriminator of DCT-Net: patches of axial, coronal and sagittal slices.

Zhang et al., MICCAI 2025: a PatchGAN that judges every patch j in each of three views v of the
volume, given the radiographs. No code was published.

Readings: one 70 x 70 PatchGAN a plane; a slice is shown with what the radiographs say at its place,
which is the frontal image repeated along H and the lateral one along W. A coronal slice thus comes
with the whole frontal image, a sagittal one with the whole lateral image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets.cyclegan import PatchDiscriminator2d
from TomoRayCore.nets.orthographic import lifted_pair

PLANES = {"axial": 2, "coronal": 3, "sagittal": 4}
"""By plane, the axis of (B, C, D, H, W) that its slices are counted along."""

SMALLEST_EDGE = 24


class TriplanarDiscriminator(nn.Module):
    """A volume and its images to logits: (B, 1, S, S, S) to (B, 3, n, M, M), M = S / 8 - 2.

    The second axis is the plane (axial, coronal, sagittal), the third the slice.

    Args:
        width: Factor on all channel counts.
        slices: How many slices of each plane are judged, n: at random places in training, evenly
            spaced otherwise; None for all.
        conditional: Whether the images are shown.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for a width outside (0, 4] or no slices.
    """

    def __init__(
        self, width: float = 1.0, slices: int | None = None, conditional: bool = True
    ) -> None:
        super().__init__()
        if slices is not None and slices < 1:
            raise InputError(
                "ARCHITECTURE_ARGUMENTS",
                f"Got {slices!r} slices.",
                "Judge at least one slice of each plane, or all (null).",
            )
        self.slices, self.conditional = slices, conditional
        inputs = 3 if conditional else 1
        self.planes = nn.ModuleDict({name: PatchDiscriminator2d(width, inputs) for name in PLANES})

    def forward(self, volume: Tensor, images: Tensor | None = None) -> Tensor:
        """Return the logits.

        Args:
            volume: (B, 1, S, S, S), S at least 24.
            images: (B, 2, N, N), frontal and lateral; needed when conditional, else ignored.

        Raises:
            InputError: ``BAD_SHAPE`` for other shapes.
        """
        edge = volume.shape[-1]
        if volume.ndim != 5 or volume.shape[1] != 1 or edge < SMALLEST_EDGE:
            raise InputError(
                "BAD_SHAPE",
                f"Got a volume of shape {tuple(volume.shape)}.",
                f"Give (batch, 1, S, S, S) with S at least {SMALLEST_EDGE}.",
            )
        shown = torch.cat([volume, *lifted_pair(images, edge)], 1) if self.conditional else volume
        logits = []
        for name, axis in PLANES.items():
            chosen = shown.index_select(axis, self._places(edge, volume.device))
            sheets = chosen.movedim(axis, 1)  # (B, n, C, S, S)
            patches = self.planes[name](sheets.flatten(0, 1))
            logits.append(patches.view(*sheets.shape[:2], *patches.shape[2:]))
        return torch.stack(logits, dim=1)

    def _places(self, edge: int, device: torch.device) -> Tensor:
        count = edge if self.slices is None else min(self.slices, edge)
        if count < edge and self.training:
            return torch.randperm(edge, device=device)[:count].sort().values
        # The middle of each of `count` equal parts.
        return (2 * torch.arange(count, device=device) + 1) * edge // (2 * count)
