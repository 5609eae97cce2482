"""TomoRay's CNN-INR: 2-D features of each radiograph, and an implicit network of space.

The network that the TomoRay comparison of a GAN with a CNN-INR describes; its learning rate, loss
and batch are those of Sun et al., "CT Reconstruction from Few Planar X-Rays with Application
Towards Low-Resource Radiotherapy", 2023, whose published layer sizes are taken here.

A U-Net, shared by the views, turns each radiograph into a map. A point in space takes each view's
feature from where that view sees it. Features and a Fourier code of the point go through one
residual SIREN per view, in which both layers of a block have the same weights; the views' results
are averaged and four SIREN layers and a linear one give the value. SIREN: Sitzmann et al.,
"Implicit Neural Representations with Periodic Activation Functions", NeurIPS 2020.

Readings and departures:

- Points are voxel centres, as faces of the cube are at -1 and 1; the published code puts the
  outermost voxel centres there.
- The code's 3 x 3 matrix is drawn from N(0, 10) with a fixed seed and saved with the weights; the
  published one is hard-coded, with entries of that size.
- ``encoder="resnet34"`` has the four maps that Yu et al., "pixelNeRF", CVPR 2021, concatenate,
  with instance norms, since batches are single examinations. ``lift="perspective"`` samples where
  each ray really falls. ``activation="relu"`` is the same network without sines.
- The first layer is linear, as is interpolation: its part that sees features is applied to the
  maps once, and the result is sampled. This gives the same numbers as sampling first.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from TomoRayCore.errors import InputError
from TomoRayCore.nets.common import check_images
from TomoRayCore.nets.lifting import (
    cube_points,
    film_places,
    in_float32,
    known_matrices,
    sample_maps,
)
from TomoRayCore.nets.resnet import ResNetFeatures
from TomoRayCore.nets.sun_unet import SunUNet

Encoder = Literal["sun_unet", "resnet34"]
Lift = Literal["orthographic", "perspective"]
Activation = Literal["siren", "relu"]

HIDDEN = 128
VIEW_BLOCKS = 3
FUSION_LAYERS = 4
OMEGA = 50.0
"""Factor on what enters a sine."""

FOURIER_SEED = 20230817
FOURIER_SCALE = 10.0
CODE_SIZE = 9
CPU_CHUNK, DEVICE_CHUNK = 2**13, 2**18


class CNNINR(nn.Module):
    """Radiographs to a volume at any resolution: (B, V, S, S) to (B, 1, D, H, W).

    Images are in [0, 1], frontal before lateral; values of the volume are not bounded, 0 and 1
    being the ends of the HU window. 20,484,801 weights at width 1 with two views.

    Args:
        width: Factor on all channel counts.
        input_size: Edge of the images, a multiple of 8 (resnet34: of 16).
        output_size: Edge of the cube that ``forward`` returns.
        encoder: ``sun_unet`` as published, or ``resnet34``.
        lift: ``orthographic`` as published, or ``perspective`` with the view matrices.
        activation: ``siren`` as published, or ``relu``.
        views: Images of an examination; at most two when lifted orthographically.
        chunk: Points that are evaluated at once; memory grows with it, results do not change. None:
            few on a CPU, whose cache they then fit, more on other devices.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for any other value.
    """

    def __init__(
        self,
        width: float = 1.0,
        input_size: int = 128,
        output_size: int = 128,
        encoder: Encoder = "sun_unet",
        lift: Lift = "orthographic",
        activation: Activation = "siren",
        views: int = 2,
        chunk: int | None = None,
    ) -> None:
        super().__init__()
        if (
            encoder not in ("sun_unet", "resnet34")
            or lift not in ("orthographic", "perspective")
            or activation not in ("siren", "relu")
            or not 0 < width <= 4
            or input_size < 16
            or input_size % (8 if encoder == "sun_unet" else 16)
            or min(output_size, views, 1 if chunk is None else chunk) < 1
            or (lift == "orthographic" and views > 2)
        ):
            raise InputError(
                "ARCHITECTURE_ARGUMENTS",
                f"Got width {width!r}, input_size {input_size!r}, output_size {output_size!r}, "
                f"encoder {encoder!r}, lift {lift!r}, activation {activation!r}, views {views!r}, "
                f"chunk {chunk!r}.",
                "See the docstring of CNNINR for the values that there are.",
            )
        self.input_size, self.output_size = input_size, output_size
        self.view_count, self.lift, self.chunk = views, lift, chunk
        self.siren = activation == "siren"
        self.encoder = SunUNet(width) if encoder == "sun_unet" else _ResNet34Map(width)
        hidden = max(1, round(HIDDEN * width))
        self.views = nn.ModuleList(
            _ViewNetwork(self.encoder.channels, hidden, activation) for _ in range(views)
        )
        self.fusion = nn.ModuleList(
            _SineLayer(hidden, hidden, activation) for _ in range(FUSION_LAYERS)
        )
        self.output = nn.Linear(hidden, 1)
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.empty(3, 3))
        self.frequencies.copy_(_frequencies())

    def forward(self, images: Tensor, view_matrices: Tensor | None = None) -> Tensor:
        return self.at_resolution(images, view_matrices, self.output_size)

    def at_resolution(self, images: Tensor, view_matrices: Tensor | None, size: int) -> Tensor:
        """Return the same cube of space in size^3 voxels: (B, 1, size, size, size).

        Evaluated a chunk of points at a time. With gradients, a chunk's activations are computed
        again when its gradient is needed rather than kept.
        """
        maps, matrices = self._encode(images), self._matrices(view_matrices, images)
        chunk = self.chunk or (CPU_CHUNK if images.device.type == "cpu" else DEVICE_CHUNK)
        pieces = []
        for first in range(0, size**3, chunk):
            points = cube_points(size, first, min(first + chunk, size**3), images.device)
            if torch.is_grad_enabled() and size**3 > chunk:
                piece = checkpoint(
                    self._values,
                    maps,
                    matrices,
                    points[None],
                    use_reentrant=False,
                    preserve_rng_state=False,
                )
            else:
                piece = self._values(maps, matrices, points[None])
            pieces.append(piece)
        return torch.cat(pieces, dim=1).view(len(images), 1, size, size, size)

    def sample(self, images: Tensor, view_matrices: Tensor | None, points: Tensor) -> Tensor:
        """Return (B, 1, N): values at points (B, N, 3), each (x, y, z) in -1 to 1.

        All at once: for training on random points.
        """
        maps, matrices = self._encode(images), self._matrices(view_matrices, images)
        return self._values(maps, matrices, points)[:, None]

    def _encode(self, images: Tensor) -> Tensor:
        """Return (B, V, hidden, h, w): maps that the first layers' feature part has seen."""
        check_images(images, self.view_count, self.input_size)
        with self._precision(images):
            maps = self.encoder(images.flatten(0, 1)[:, None])
            maps = maps.view(*images.shape[:2], *maps.shape[1:])
            views = [cast(_ViewNetwork, view) for view in self.views]
            return torch.stack([view.see(maps[:, v]) for v, view in enumerate(views)], dim=1)

    def _matrices(self, view_matrices: Tensor | None, images: Tensor) -> Tensor:
        return known_matrices(view_matrices if self.lift == "perspective" else None, images)

    def _values(self, maps: Tensor, matrices: Tensor, points: Tensor) -> Tensor:
        """Return (B, N) values at points (B or 1, N, 3)."""
        code = self._code(points)
        with self._precision(points):
            total: Tensor | None = None
            for v, view in enumerate(self.views):
                places = film_places(points, matrices[:, v : v + 1])
                features = sample_maps(maps[:, v : v + 1], places)[:, 0].transpose(1, 2)
                seen = view(features, code)
                total = seen if total is None else total + seen
            x = cast(Tensor, total) / self.view_count
            for layer in self.fusion:
                x = layer(x)
            values: Tensor = self.output(x)
            return values[..., 0]

    def _precision(self, tensor: Tensor) -> AbstractContextManager[object]:
        """Return the context to compute in.

        Sines magnify the rounding of what enters them, so a SIREN stays in float32, its features
        included, also under autocast; the ReLU network follows autocast.
        """
        return in_float32(tensor) if self.siren else nullcontext()

    def _code(self, points: Tensor) -> Tensor:
        """Return (B or 1, N, 9): the point, cosines and sines of its turned coordinates."""
        # In float32: half precision would lose the phase, which goes to a hundred radians.
        with in_float32(points):
            phase = 2 * math.pi * points.float() @ self.frequencies.float().T
            code = torch.cat([points.float(), phase.cos(), phase.sin()], dim=-1)
        return code.to(self.output.weight.dtype)


class _ViewNetwork(nn.Module):
    """One view's residual network: features and code to (B, N, hidden)."""

    def __init__(self, features: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.features = features
        self.first = _SineLayer(features + CODE_SIZE, hidden, activation, first=True)
        self.blocks = nn.ModuleList(
            _SineLayer(hidden, hidden, activation) for _ in range(VIEW_BLOCKS)
        )

    def see(self, image: Tensor) -> Tensor:
        """Apply the first layer's feature part to a map: (B, C, h, w) to (B, hidden, h, w)."""
        weight = self.first.linear.weight[:, : self.features, None, None]
        return functional.conv2d(image, self.first.omega * weight)

    def forward(self, seen: Tensor, code: Tensor) -> Tensor:
        """Return (B, N, hidden) of what ``see`` gave at each point and the point's code."""
        x = self.first.activate(seen + self.first.linear_part(code, self.features))
        for layer in self.blocks:
            block = cast(_SineLayer, layer)
            x = block.activate(block.linear_part(block(x)) + x)
        return x


class _SineLayer(nn.Module):
    """Linear layer and sine, sin(omega * (W x + b)), or linear layer and ReLU."""

    def __init__(
        self, inputs: int, outputs: int, activation: Activation, first: bool = False
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.siren = activation == "siren"
        self.omega = OMEGA if self.siren else 1.0
        if self.siren:
            bound = 1 / inputs if first else math.sqrt(6 / inputs) / OMEGA
            nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(self.linear_part(x))

    def linear_part(self, x: Tensor, skip: int = 0) -> Tensor:
        """Return omega * (W x + b), W without its first ``skip`` inputs."""
        # On the weights, which are few, rather than on the results.
        weight, bias = self.omega * self.linear.weight[:, skip:], self.omega * self.linear.bias
        return functional.linear(x, weight, bias)

    def activate(self, x: Tensor) -> Tensor:
        return x.sin() if self.siren else x.relu()


class _ResNet34Map(nn.Module):
    """The first four maps of a ResNet-34 at the finest one's size: (B, 1, S, S) to S/2."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.features = ResNetFeatures(34, width=width, norm="instance", stages=4)
        self.channels = sum(self.features.channels)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.features(image)
        edges = maps[0].shape[-2:]
        return torch.cat(
            [functional.interpolate(m, size=edges, mode="bilinear") for m in maps], dim=1
        )


def _frequencies() -> Tensor:
    """Return the fixed 3 x 3 matrix of the Fourier code."""
    generator = torch.Generator(device="cpu").manual_seed(FOURIER_SEED)
    return FOURIER_SCALE * torch.randn(3, 3, generator=generator, device="cpu")
