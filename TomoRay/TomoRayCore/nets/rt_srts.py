"""RT-SRTS: one radiograph to a volume and its segmentation, trained for one patient.

Zhu et al., "RT-SRTS: Angle-Agnostic Real-Time Simultaneous 3D Reconstruction and Tumor Segmentation
from Single X-Ray Projection", 2023, with the layer sizes of the authors' published code. It was
meant for one patient's breathing phases; here it is a baseline.

A 2-D residual encoder halves the image five times, to 4096 channels. The last map's channels are
folded into a cube (1024 channels, 4^3), which two 3-D decoders, one for the volume and one for the
segmentation, double five times. At each size an attention-enhanced link (AEC) repeats the encoder's
map along the rays. The segmentation's features are weighted by the certainty of a first guess
(URE): 1 - exp(1 - p1 / p2) with the two largest probabilities.

Readings and departures:

- The cube stands in the frontal view's frame, its depth along the rays (H); a second, lateral
  image is a second input channel, as published.
- ``attention="channels"`` multiplies the map by its own channels' similarity, as the paper says;
  the published code reshapes where it should transpose, which is ``attention="released"``.
- Transposed convolutions of stride 1 are convolutions with a mirrored kernel; these are used.
- ``width`` scales all channel counts.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets.common import check_images
from TomoRayCore.nets.lifting import in_float32
from TomoRayCore.nets.orthographic import convolve_lifted

Attention = Literal["channels", "released"]

BASE_CHANNELS = 256
"""Channels of the encoder's first map; they double at each of the five sizes."""

STAGES = 5
CUBE_FACTOR = 4
"""Channels of the cube, as a multiple of the base."""

DECODER_FACTORS = (2, 1, 0.5, 0.25, 0.125)
"""Channels of the decoders, as multiples of the base, coarsest first."""

LINK_DIVISOR = 4
FEWEST = 8
"""Channels at any width: with fewer, the ReLU after the last of them may be dead from the start."""

TINY = 1e-8


class Segmented(NamedTuple):
    """What the whole network gives.

    Attributes:
        volume: (B, 1, D, H, W), at least 0.
        segmentation: (B, classes, D, H, W) probabilities.
        uncertainty: (B, 1, D, H, W): 1 where the first guess could not tell two classes apart.
    """

    volume: Tensor
    segmentation: Tensor
    uncertainty: Tensor


class RTSRTS(nn.Module):
    """One or two radiographs to a volume: (B, V, S, S) to (B, 1, S, S, S), values at least 0.

    624,019,488 weights at width 1 with one view. ``forward`` leaves out the segmentation, whose
    decoder then gets no gradients; ``segment`` gives both.

    Args:
        width: Factor on all channel counts.
        input_size: Edge of the images, a multiple of 32, at least 64.
        output_size: Edge of the volume, the same.
        views: Images of an examination, 1 or 2.
        classes: Of the segmentation.
        attention: Of the links: ``channels`` or ``released``.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for any other value.
    """

    def __init__(
        self,
        width: float = 1.0,
        input_size: int = 128,
        output_size: int = 128,
        views: int = 1,
        classes: int = 2,
        attention: Attention = "channels",
    ) -> None:
        super().__init__()
        if (
            not 0 < width <= 4
            or input_size < 64
            or input_size % 2**STAGES
            or output_size != input_size
            or views not in (1, 2)
            or classes < 2
            or attention not in ("channels", "released")
        ):
            raise InputError(
                "ARCHITECTURE_ARGUMENTS",
                f"Got width {width!r}, input_size {input_size!r}, output_size {output_size!r}, "
                f"views {views!r}, classes {classes!r}, attention {attention!r}.",
                "See the docstring of RTSRTS for the values that there are.",
            )
        self.input_size, self.output_size, self.view_count = input_size, output_size, views
        base = max(FEWEST, round(BASE_CHANNELS * width))
        encoded = [base * 2**stage for stage in range(STAGES)]
        self.stages = nn.ModuleList(
            _Stage(inputs, outputs, first=stage == 0)
            for stage, (inputs, outputs) in enumerate(
                zip([views, *encoded[:-1]], encoded, strict=True)
            )
        )
        self.links = nn.ModuleList(
            _AttentionLink(channels, channels // LINK_DIVISOR, attention) for channels in encoded
        )
        self.cube_channels, edge = CUBE_FACTOR * base, input_size // 2**STAGES
        self.fold = nn.Sequential(
            nn.Conv2d(encoded[-1], self.cube_channels * edge, 1, bias=False), nn.ReLU(inplace=True)
        )
        self.cube = nn.Sequential(
            nn.Conv3d(self.cube_channels, self.cube_channels, 1, bias=False), nn.ReLU(inplace=True)
        )
        decoded = [max(FEWEST, round(base * factor)) for factor in DECODER_FACTORS]
        linked = [channels // LINK_DIVISOR for channels in reversed(encoded)]
        self.decoder = _Decoder(self.cube_channels, linked, decoded)
        self.output = nn.Conv3d(decoded[-1], 1, 1, bias=False)
        self.mix_slices = nn.Conv2d(output_size, output_size, 1, bias=False)
        self.segmentation = _SegmentationBranch(self.cube_channels, linked, decoded, classes)
        _initialise(self)

    def forward(self, images: Tensor, view_matrices: Tensor | None = None) -> Tensor:
        cube, linked = self._encode(images)
        return self._volume(self.decoder(cube, linked))

    def segment(self, images: Tensor) -> Segmented:
        """Return the volume, the segmentation and how uncertain its first guess was."""
        cube, linked = self._encode(images)
        segmentation, uncertainty = self.segmentation(cube, linked)
        return Segmented(self._volume(self.decoder(cube, linked)), segmentation, uncertainty)

    def _encode(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the cube and the lifted maps, coarsest first, all as (B, C, D, H, W)."""
        check_images(images, self.view_count, self.input_size)
        x = images
        linked: list[Tensor] = []
        for stage, link in zip(self.stages, self.links, strict=True):
            x = stage(x)
            linked.insert(0, link(x))
        # Depth is the quicker part of the channels; it becomes H: (B, C, H, D, W) to (B, C, D, H, W).
        folded = self.fold(x).unflatten(1, (self.cube_channels, -1)).transpose(2, 3)
        return self.cube(folded), linked

    def _volume(self, features: Tensor) -> Tensor:
        rough = self.output(features).relu()[:, 0]  # (B, D, H, W)
        # A matrix between the slices along the rays, and a "leaky ReLU" of slope -1: |x|.
        mixed: Tensor = self.mix_slices(rough.transpose(1, 2))
        return mixed.transpose(1, 2).abs()[:, None]


class _Stage(nn.Module):
    """4x4 convolution that halves, then a 3x3 one beside a shortcut. Only the first 4x4 one of the
    encoder has neither norm nor ReLU."""

    def __init__(self, inputs: int, outputs: int, first: bool) -> None:
        super().__init__()
        halve: list[nn.Module] = [nn.Conv2d(inputs, outputs, 4, 2, padding=1, bias=False)]
        if not first:
            halve += [nn.InstanceNorm2d(outputs), nn.ReLU(inplace=True)]
        self.halve = nn.Sequential(*halve)
        self.refine = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.InstanceNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.halve(x)
        refined: Tensor = halved + self.refine(halved)
        return refined.relu()


class _AttentionLink(nn.Module):
    """1x1 convolution, IN, ReLU, attention between channels, repetition along the frontal rays,
    3x3x3 convolution, IN, ReLU: (B, C, D, W) to (B, C', D, H, W)."""

    def __init__(self, inputs: int, outputs: int, attention: Attention) -> None:
        super().__init__()
        self.attention = attention
        self.reduce = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1), nn.InstanceNorm2d(outputs), nn.ReLU(inplace=True)
        )
        self.mix = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.finish = nn.Sequential(nn.InstanceNorm3d(outputs), nn.ReLU(inplace=True))

    def forward(self, image: Tensor) -> Tensor:
        attended = self._attended(self.reduce(image))
        mixed = convolve_lifted(attended, self.mix.weight, "frontal", image.shape[-1])
        bias = self.mix.bias
        lifted: Tensor = self.finish(mixed if bias is None else mixed + bias.view(1, -1, 1, 1, 1))
        return lifted

    def _attended(self, image: Tensor) -> Tensor:
        rows = image.flatten(2)  # (B, C, D * W)
        columns = rows.transpose(1, 2)
        if self.attention == "released":
            columns = rows.reshape(columns.shape)
        with in_float32(image):  # sums over a whole map, of which only differences count
            similarity = torch.softmax(rows.float() @ columns.float(), dim=2).to(image.dtype)
        return (similarity @ rows).view(image.shape)


class _Decoder(nn.Module):
    """Five doublings, each from the cube so far and the link of its size, all but the first
    followed by a 3x3x3 convolution."""

    def __init__(self, cube: int, linked: list[int], decoded: list[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        incoming = cube
        for level, (link, outgoing) in enumerate(zip(linked, decoded, strict=True)):
            layers = [
                nn.ConvTranspose3d(incoming + link, outgoing, 4, 2, padding=1, bias=False),
                nn.InstanceNorm3d(outgoing),
                nn.ReLU(inplace=True),
            ]
            if level > 0:
                layers += [
                    nn.Conv3d(outgoing, outgoing, 3, padding=1, bias=False),
                    nn.InstanceNorm3d(outgoing),
                    nn.ReLU(inplace=True),
                ]
            self.levels.append(nn.Sequential(*layers))
            incoming = outgoing

    def forward(self, cube: Tensor, linked: list[Tensor]) -> Tensor:
        for level, link in zip(self.levels, linked, strict=True):
            cube = level(torch.cat([cube, link], dim=1))
        return cube


class _SegmentationBranch(nn.Module):
    """Decoder, first guess, and a second one from features weighted by the first's certainty."""

    def __init__(self, cube: int, linked: list[int], decoded: list[int], classes: int) -> None:
        super().__init__()
        self.decoder = _Decoder(cube, linked, decoded)
        self.first_guess = nn.Conv3d(decoded[-1], classes, 1, bias=False)
        self.second_guess = nn.Conv3d(decoded[-1], classes, 1, bias=False)

    def forward(self, cube: Tensor, linked: list[Tensor]) -> tuple[Tensor, Tensor]:
        features = self.decoder(cube, linked)
        uncertainty = uncertainty_of(_probabilities(self.first_guess(features)))
        weighted = features * (1 - uncertainty).to(features.dtype)
        return _probabilities(self.second_guess(weighted)), uncertainty


def uncertainty_of(probabilities: Tensor) -> Tensor:
    """Return (B, 1, ...): exp(1 - p1 / p2) of the two largest of (B, classes, ...)."""
    largest, second = probabilities.topk(2, dim=1).values.chunk(2, dim=1)
    return torch.exp(1 - largest / (second + TINY))


def _probabilities(scores: Tensor) -> Tensor:
    return torch.softmax(scores.relu().float(), dim=1)


def _initialise(net: nn.Module) -> None:
    """Set weights to N(0, sqrt(2 / (taps * outputs))) and biases to 0, as published."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose3d):
            fan = math.prod(module.kernel_size) * module.out_channels
            nn.init.normal_(module.weight, 0.0, math.sqrt(2 / fan))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
