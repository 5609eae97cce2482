"""Distances between images as a fixed network sees them.

The backbone is VGG-16 (Simonyan and Zisserman, ICLR 2015, configuration D) without its
classifier. Its weights come from a local safetensors file with the usual names
(``features.0.weight`` ...), never from a download; ``random`` builds an untrained one, which is
good for trying a recipe out and nothing else.
"""

from __future__ import annotations

from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError

LAYERS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)
"""Channels of VGG-16's convolutions; 0 halves the image."""

RELU_AFTER = (1, 4, 8, 12, 16)
"""Places in ``LAYERS`` whose rectified output is compared: the last of each resolution."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Statistics of the images that published weights were trained on."""

RANDOM = "random"


class PerceptualDistance:
    """Squared distance of a fixed backbone's features, summed over its five depths.

    Normalised, the squares are summed over channels and averaged over places: LPIPS (Zhang et al.,
    CVPR 2018, equation 1) with all its learned channel weights 1. Otherwise they are averaged over
    channels and places: the perceptual loss of Johnson et al., ECCV 2016, and DCT-Net's.

    Not a module: it has nothing to train and belongs in no checkpoint.

    Args:
        backbone: A safetensors file with VGG-16's weights, or ``random``.
        normalise: Divide features by their length over channels first, as LPIPS does.
        width: Factor on the channels; below 1 only ``random`` fits.

    Raises:
        InputError: ``BAD_BACKBONE`` for a file that holds no such weights.
    """

    def __init__(self, backbone: str, *, normalise: bool = True, width: float = 1.0) -> None:
        self._features = _vgg16(width)
        self._normalise = normalise
        if backbone != RANDOM:
            _load(self._features, Path(backbone))
        self._features.requires_grad_(False).eval()

    def __call__(self, one: Tensor, other: Tensor) -> Tensor:
        """Compare two batches of images (N, 1 or 3, H, W) in [0, 1]; a scalar.

        Gradients flow into both.
        """
        terms = []
        for a, b in zip(self.features(one), self.features(other), strict=True):
            squares = (a - b).square()
            terms.append((squares.sum(dim=1) if self._normalise else squares).mean())
        return torch.stack(terms).sum()

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the rectified features at the five depths, (N, C, H', W') each."""
        self._features.to(images.device)
        mean, std = (images.new_tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
        x = (images.expand(-1, 3, -1, -1) - mean) / std
        found = []
        for place, layer in enumerate(self._features.values()):
            x = layer(x)
            if place in RELU_AFTER:
                found.append(nn.functional.normalize(x, dim=1) if self._normalise else x)
        return found


def axial_slices(volume: Tensor) -> Tensor:
    """Return (B, C, D, H, W) as images (B * D, C, H, W)."""
    return volume.transpose(1, 2).flatten(0, 1)


def _vgg16(width: float) -> nn.ModuleDict:
    """Return VGG-16's layers, each convolution with its ReLU, by their usual number."""
    layers, channels, number = nn.ModuleDict(), 3, 0
    for outputs in LAYERS:
        if outputs == 0:
            layers[f"{number}"], number = nn.MaxPool2d(2, ceil_mode=True), number + 1
            continue
        outputs = max(1, round(outputs * width))
        convolution = nn.Conv2d(channels, outputs, 3, padding=1)
        layers[f"{number}"], number = nn.Sequential(convolution, nn.ReLU()), number + 2
        channels = outputs
    return layers


def _load(features: nn.ModuleDict, path: Path) -> None:
    try:
        tensors = safetensors.torch.load_file(path)
        state = {
            f"{number}.0.{kind}": tensors[f"features.{number}.{kind}"]
            for number, layer in features.items()
            if isinstance(layer, nn.Sequential)
            for kind in ("weight", "bias")
        }
        features.load_state_dict(state)
    except (safetensors.SafetensorError, OSError, KeyError, RuntimeError, ValueError) as error:
        raise InputError(
            "BAD_BACKBONE",
            f"{path} does not hold VGG-16's weights: {error}.",
            "Name a safetensors file with features.0.weight ... features.28.bias, or 'random' to "
            "try a recipe out.",
        ) from error
