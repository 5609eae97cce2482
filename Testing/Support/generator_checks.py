"""Every generator of the registry at a size for tests, and volumes whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from TomoRayCore.nets import build
from TomoRayCore.network_io import orthographic_matrices


@dataclass(frozen=True)
class Small:
    """One generator at a size for tests.

    Attributes:
        arguments: Of the constructor.
        views: Images of an examination.
        outputs: All that training uses, for nets where ``forward`` is not all.
        learning_rate: At which it learns a ball.
        steps: After which it has.
    """

    arguments: Mapping[str, Any]
    views: int = 2
    outputs: Callable[[nn.Module, Tensor, Tensor], list[Tensor]] | None = None
    learning_rate: float = 2e-3
    steps: int = 60

    def net(self, name: str, seed: int = 0) -> nn.Module:
        """Return the network with the weights of a seed."""
        torch.manual_seed(seed)
        return build(name, self.arguments)

    @property
    def input_size(self) -> int:
        """Edge of its images."""
        return int(self.arguments.get("input_size", 128))

    @property
    def output_size(self) -> int:
        """Edge of its cube."""
        return int(self.arguments["output_size"])

    def images(self, batch: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Return random images and orthographic matrices."""
        random = torch.Generator().manual_seed(seed)
        shape = (batch, self.views, self.input_size, self.input_size)
        return torch.rand(shape, generator=random), self.matrices(batch)

    def everything(self, net: nn.Module, images: Tensor, matrices: Tensor) -> list[Tensor]:
        """Return all that the network can give."""
        if self.outputs is None:
            return [net(images, matrices)]
        return self.outputs(net, images, matrices)

    def matrices(self, batch: int = 1) -> Tensor:
        """Return (B, V, 3, 4) of parallel beams."""
        return torch.from_numpy(orthographic_matrices(self.views)).expand(batch, -1, -1, -1)

    def balls(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return images and volumes of a bright ball at each place.

        Args:
            places: (B, 3) in -1 to 1: x (right to left), y (anterior to posterior), z (superior
                to inferior).

        Returns:
            (B, V, S, S) images of parallel rays in [0, 1] and (B, 1, D, H, W) volumes.
        """
        size = self.output_size
        centres = (torch.arange(size) + 0.5) * 2 / size - 1
        z, y, x = torch.meshgrid(centres, centres, centres, indexing="ij")
        squares = [
            (grid - place.view(-1, 1, 1, 1)) ** 2
            for grid, place in zip((x, y, z), places.unbind(dim=1), strict=True)
        ]
        volume = torch.exp(-sum(squares[1:], start=squares[0]) / (2 * 0.2**2))
        views = torch.stack([volume.sum(dim=2), volume.sum(dim=3)][: self.views], dim=1)
        images = views / views.amax(dim=(2, 3), keepdim=True)
        scaled = nn.functional.interpolate(images, self.input_size, mode="bilinear")
        return scaled, volume[:, None]


def centroid(volume: Tensor) -> Tensor:
    """Return (B, 3): x, y and z of the brightest part's centre, -1 to 1."""
    size = volume.shape[-1]
    centres = (torch.arange(size) + 0.5) * 2 / size - 1
    bright = (volume[:, 0] - volume[:, 0].amax(dim=(1, 2, 3), keepdim=True) / 2).clamp(min=0)
    total = bright.sum(dim=(1, 2, 3)).clamp(min=1e-9)
    sums = [(bright.sum(dim=dims) * centres).sum(dim=1) for dims in ((1, 2), (1, 3), (2, 3))]
    return torch.stack([s / total for s in sums], dim=1)


X2CT = {"input_size": 64, "output_size": 32, "unused_layers": False}
"""Arguments of X2CT-GAN's family, without what was published and leads nowhere."""

SMALL: dict[str, Small] = {
    "x2ct-biplanar": Small({"width": 0.0625, **X2CT}),
    "x2ct-single": Small({"width": 0.0625, **X2CT}, views=1),
    "cnn2d": Small({"width": 0.0625, "input_size": 64, "output_size": 32}, views=1),
    "sdct": Small({"width": 0.0625, **X2CT, "output_size": 64}),
    "x-recon": Small({"width": 0.0625, **X2CT}),
    "duolift-biplanar": Small(
        {"width": 0.0625, "input_size": 32, "output_size": 32},
        outputs=lambda net, images, _: net.forward_all(images),
        learning_rate=5e-3,
        steps=120,
    ),
    "duolift-single": Small(
        {"width": 0.0625, "input_size": 32, "output_size": 32},
        views=1,
        outputs=lambda net, images, _: net.forward_all(images),
    ),
    "dct-net": Small(
        {"width": 0.0625, "input_size": 64, "output_size": 32},
        outputs=lambda net, images, _: list(net.forward_pair(images, images.flip(1))),
    ),
    # Sines need more steps than a test has; the published activation has tests of its own.
    "cnn-inr": Small({"width": 0.125, "input_size": 32, "output_size": 16, "activation": "relu"}),
    "perx2ct": Small(
        {"width": 0.0625, "input_size": 64, "output_size": 16, "chunk": 16}, steps=100
    ),
    "perx2ct-global": Small(
        {"width": 0.0625, "input_size": 64, "output_size": 16, "chunk": 16}, steps=100
    ),
    "rt-srts": Small(
        {"width": 0.02, "input_size": 64, "output_size": 64},
        views=1,
        outputs=lambda net, images, _: list(net.segment(images)),
    ),
}
"""A test holds that every generator of the registry is here."""
