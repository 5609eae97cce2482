"""PerX2CT: one slice of the CT at a time, from features sampled where its points are seen.

Kyung et al., "Perspective Projection-Based 3D CT Reconstruction from Biplanar X-rays", ICASSP 2023,
with the layer sizes of the authors' published configurations.

A ResNet-101 gives each radiograph a map at an eighth of its size. A slice is a lattice of points,
one for each 4 x 4 voxels; each point takes both views' features from where it is seen, beside ten
octaves of sines and cosines of its coordinates. The decoder of a VQGAN (Esser et al., "Taming
Transformers for High-Resolution Image Synthesis", CVPR 2021) makes the slice of that. The variant
with ``context`` adds to all points a mean over each image: 256 channels from within the last
block of the ResNet's third stage.

Where published code and geometry differ: the radiographs were rendered with the source 2.19 cube
lengths from the middle, but the published camera stands at 1. ``camera="released"`` is that camera
(source behind and at the left of the patient, 60 degrees, maps sampled corner to corner);
``camera="exact"`` takes the view matrices of the examination.

Departures: ``width`` scales all channel counts; group norms have fewer groups where 32 do not
divide the channels; weights are random until ``load_backbone``, which also freezes the stem.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from TomoRayCore.errors import InputError
from TomoRayCore.nets.common import check_images
from TomoRayCore.nets.lifting import (
    SLICE_AXES,
    Axis,
    film_places,
    known_matrices,
    pinhole_matrices,
    sample_maps,
    slice_points,
    voxel_centres,
)
from TomoRayCore.nets.resnet import ResNetFeatures, load_backbone
from TomoRayCore.nets.slice_decoder import SliceDecoder

Camera = Literal["exact", "released"]

OCTAVES = 10
CODE_SIZE = 3 + 2 * 3 * OCTAVES
STRIDE = 4
"""Voxels between neighbouring points of a slice's lattice."""

DEVICE_CHUNK = 8
CHANNEL = 1
"""Of the decoder's three equal targets, the one that is used."""

RELEASED_DISTANCE, RELEASED_FOV_DEG = 1.0, 60.0
IMAGE_MEAN, IMAGE_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the photographs on which ResNets in circulation were trained."""


class PerX2CT(nn.Module):
    """Radiographs to a volume, slice by slice: (B, V, S, S) to (B, 1, D, H, W).

    42,555,715 weights at width 1 (encoder 1,444,928); with context 70,150,979 (26,680,896). The
    encoder has batch norms. Values are not bounded; 0 and 1 are the ends of the HU window.

    Args:
        width: Factor on all channel counts.
        input_size: Edge of the images, a multiple of 16.
        output_size: Edge of the volume, a multiple of 4.
        camera: ``exact``, with the view matrices, or ``released``.
        context: Whether points know the mean of each image's deeper features.
        views: Images of an examination; the released camera has one or two.
        chunk: Slices that are decoded at once; memory grows with it, results do not change. None:
            one on a CPU, several on other devices.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for any other value.
    """

    def __init__(
        self,
        width: float = 1.0,
        input_size: int = 128,
        output_size: int = 128,
        camera: Camera = "exact",
        context: bool = False,
        views: int = 2,
        chunk: int | None = None,
    ) -> None:
        super().__init__()
        if (
            not 0 < width <= 4
            or input_size < 16
            or input_size % 16
            or output_size < STRIDE
            or output_size % STRIDE
            or camera not in ("exact", "released")
            or min(views, 1 if chunk is None else chunk) < 1
            or (camera == "released" and views > 2)
        ):
            raise InputError(
                "ARCHITECTURE_ARGUMENTS",
                f"Got width {width!r}, input_size {input_size!r}, output_size {output_size!r}, "
                f"camera {camera!r}, views {views!r}, chunk {chunk!r}.",
                "See the docstring of PerX2CT for the values that there are.",
            )
        self.input_size, self.output_size = input_size, output_size
        self.camera, self.view_count, self.chunk = camera, views, chunk
        self.encoder, context_channels = _encoder(width, context)
        features = views * (self.encoder.channels[2] + context_channels)
        self.decoder = SliceDecoder(CODE_SIZE + features, width)

    def forward(self, images: Tensor, view_matrices: Tensor | None = None) -> Tensor:
        indices = range(self.output_size)
        return self.slices(images, view_matrices, "axial", indices)[:, None, :, CHANNEL]

    def slices(
        self,
        images: Tensor,
        view_matrices: Tensor | None,
        axis: Axis,
        indices: Sequence[int],
        window: tuple[float, float, float] = (0.0, 0.0, 1.0),
    ) -> Tensor:
        """Return (B, N, 3, S, S): slices of the volume, or of a part of it enlarged.

        Three channels for training, all with the same target as published; ``forward`` takes the
        second. With gradients, a chunk's activations are computed again when they are needed.

        Args:
            images: (B, V, S, S).
            view_matrices: (B, V, 3, 4) or None for parallel beams; not read by camera "released".
            axis: Slices at D (``axial``), H (``coronal``) or W (``sagittal``).
            indices: N numbers of slices, 0 to ``output_size`` - 1, the same for all of a batch.
            window: (row, column, half extent) in -1 to 1: the square that is shown. The published
                training with context enlarges random squares of at least a quarter of the edge.

        Raises:
            InputError: ``BAD_SLICE`` for an axis or index that there is not, or no slice at all;
                ``BAD_SHAPE``.
        """
        known = len(indices) > 0 and all(0 <= i < self.output_size for i in indices)
        if axis not in SLICE_AXES or not known:
            raise InputError(
                "BAD_SLICE",
                f"Got axis {axis!r} and slices {list(indices)}.",
                f"Give axial, coronal or sagittal, and slices from 0 to {self.output_size - 1}.",
            )
        maps, context = self._encode(images)
        matrices = self._matrices(view_matrices, images)
        positions = voxel_centres(self.output_size, images.device)[list(indices)]
        chunk = self.chunk or (1 if images.device.type == "cpu" else DEVICE_CHUNK)
        pieces = []
        for first in range(0, len(positions), chunk):
            part = positions[first : first + chunk]
            points = slice_points(axis, part, self.output_size // STRIDE, window)
            if torch.is_grad_enabled() and len(positions) > chunk:
                piece = checkpoint(
                    self._decode,
                    maps,
                    context,
                    matrices,
                    points,
                    use_reentrant=False,
                    preserve_rng_state=False,
                )
            else:
                piece = self._decode(maps, context, matrices, points)
            pieces.append(piece)
        return torch.cat(pieces, dim=1)

    def load_backbone(self, path: str | Path) -> None:
        """Read the encoder's weights from a local file and freeze its stem, as published.

        Raises:
            InputError: ``BACKBONE_UNREADABLE``, or ``MODEL_MISMATCH``, for any width but 1.
        """
        load_backbone(self.encoder, path)
        for module in (self.encoder.conv1, self.encoder.bn1):
            module.requires_grad_(False)

    def _encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return maps (B, V, C, S/8, S/8) and, with context, (B, V * C')."""
        check_images(images, self.view_count, self.input_size)
        mean, std = images.new_tensor(IMAGE_MEAN), images.new_tensor(IMAGE_STD)
        normalised = (images.flatten(0, 1)[:, None] - mean[:, None, None]) / std[:, None, None]
        maps = self.encoder(normalised)
        local = maps[2].view(*images.shape[:2], *maps[2].shape[1:])
        if len(maps) == 3:
            return local, None
        return local, maps[3].mean(dim=(2, 3)).view(len(images), -1)

    def _matrices(self, view_matrices: Tensor | None, images: Tensor) -> Tensor:
        if self.camera == "exact":
            return known_matrices(view_matrices, images)
        released = pinhole_matrices(RELEASED_DISTANCE, RELEASED_FOV_DEG)[: self.view_count]
        return released.expand(len(images), -1, -1, -1).to(images.device)

    def _decode(
        self, maps: Tensor, context: Tensor | None, matrices: Tensor, points: Tensor
    ) -> Tensor:
        """Return (B, n, 3, S, S) of n slices' points (n, s, s, 3)."""
        batch, (count, edge) = len(maps), points.shape[:2]
        places = film_places(points.view(1, -1, 3), matrices)
        local = sample_maps(maps, places, corners=self.camera == "released")
        # (B, V, C, n * s * s) to (B * n, V * C, s, s)
        local = local.view(batch, -1, count, edge, edge).transpose(1, 2).flatten(0, 1)
        parts = [_code(points).permute(0, 3, 1, 2).repeat(batch, 1, 1, 1).to(local.dtype)]
        if context is not None:
            everywhere = context.repeat_interleave(count, dim=0)[:, :, None, None]
            parts.append(everywhere.expand(-1, -1, edge, edge).to(local.dtype))
        decoded: Tensor = self.decoder(torch.cat([*parts, local], dim=1))
        return decoded.view(batch, count, *decoded.shape[1:])


def _encoder(width: float, context: bool) -> tuple[ResNetFeatures, int]:
    """Return the ResNet, cut where it is read last, and the channels of the context."""
    if not context:
        return ResNetFeatures(101, inputs=3, width=width, stages=3), 0
    encoder = ResNetFeatures(101, inputs=3, width=width, stages=4)
    stage = cast(nn.Sequential, encoder.get_submodule("layer3"))
    first = cast(nn.Conv2d, stage[-1].conv1)
    norm = cast(nn.Module, stage[-1].bn1)
    stage[-1] = nn.Sequential(OrderedDict(conv1=first, bn1=norm, relu=nn.ReLU(inplace=True)))
    encoder.channels[-1] = first.out_channels
    return encoder, first.out_channels


def _code(points: Tensor) -> Tensor:
    """Return (..., 63): coordinates in cube lengths, sines and cosines of ten octaves of them."""
    lengths = points.float() / 2
    octaves = 2.0 ** torch.arange(OCTAVES, device=points.device)
    phase = (lengths[..., None, :] * octaves[:, None]).flatten(-2)
    return torch.cat([lengths, phase.sin(), phase.cos()], dim=-1)
