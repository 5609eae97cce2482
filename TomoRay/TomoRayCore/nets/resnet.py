"""Residual networks as 2-D feature extractors: the maps of every stage, no classifier.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1, with the stride of a
bottleneck in its 3x3 convolution, as the weights in circulation have it.

Tensors carry the names that these weights use (``conv1``, ``bn1``, ``layer2.0.downsample.0``, ...),
so a file with ImageNet weights can be read by ``load_backbone``. Nothing is ever downloaded:
without a file the weights are random.

Departures: ``inputs`` other than 3, ``width``, instance norms in place of batch norms, and fewer
``stages`` than five.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError

Norm = Literal["batch", "instance"]

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Blocks of the four stages after the stem, by depth."""

CHANNELS = (64, 128, 256, 512)
BOTTLENECK_DEPTHS = (50, 101)
EXPANSION = 4
"""Channels that leave a bottleneck, as a multiple of those inside."""


class ResNetFeatures(nn.Module):
    """The stage maps of a ResNet: (B, inputs, H, W) to a list of (B, C, H/2, W/2) and so on.

    Maps, finest first: the stem (64 at H/2), then the four stages at H/4, H/8, H/16 and H/32 with
    64, 128, 256, 512 channels (four times as many at depths 50 and 101). Instance norms need
    images of at least 64 pixels, since the coarsest map may not be a single pixel.

    Args:
        depth: 18, 34, 50 or 101.
        inputs: Channels of the image.
        width: Factor on all channel counts.
        norm: ``batch``, or ``instance`` (with learned scale and offset) for batches of one.
        stages: How many of the five maps to compute; the layers of the others do not exist.

    Attributes:
        channels: Channels of each map.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for any other value.
    """

    def __init__(
        self,
        depth: int = 34,
        inputs: int = 1,
        width: float = 1.0,
        norm: Norm = "batch",
        stages: int = 5,
    ) -> None:
        super().__init__()
        if (
            depth not in BLOCKS
            or inputs < 1
            or not 0 < width <= 4
            or norm not in ("batch", "instance")
            or not 1 <= stages <= 5
        ):
            raise InputError(
                "ARCHITECTURE_ARGUMENTS",
                f"Got depth {depth!r}, inputs {inputs!r}, width {width!r}, norm {norm!r}, "
                f"stages {stages!r}.",
                "A ResNet has depth 18, 34, 50 or 101, at least one input, width in (0, 4], "
                "norm batch or instance, and 1 to 5 stages.",
            )
        make_norm = nn.BatchNorm2d if norm == "batch" else _affine_instance_norm
        stem = max(1, round(CHANNELS[0] * width))
        self.conv1 = nn.Conv2d(inputs, stem, 7, 2, padding=3, bias=False)
        self.bn1 = make_norm(stem)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.stage_names = [f"layer{n}" for n in range(1, stages)]
        self.channels = [stem]
        for number, name in enumerate(self.stage_names):
            inside = max(1, round(CHANNELS[number] * width))
            stride = 1 if number == 0 else 2
            blocks: list[nn.Module] = []
            incoming = self.channels[-1]
            for index in range(BLOCKS[depth][number]):
                step = stride if index == 0 else 1
                block = (
                    _Bottleneck(incoming, inside, step, make_norm)
                    if depth in BOTTLENECK_DEPTHS
                    else _BasicBlock(incoming, inside, step, make_norm)
                )
                blocks.append(block)
                incoming = block.outputs
            self.add_module(name, nn.Sequential(*blocks))
            self.channels.append(incoming)
        self._initialise()

    def forward(self, image: Tensor) -> list[Tensor]:
        x = torch.relu(self.bn1(self.conv1(image)))
        maps = [x]
        for name in self.stage_names:
            x = self.get_submodule(name)(self.pool(x) if name == "layer1" else x)
            maps.append(x)
        return maps

    def _initialise(self) -> None:
        """He et al.'s normal weights by the number of outputs; norms start as the identity."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions and the shortcut (depths 18 and 34)."""

    def __init__(
        self, inputs: int, channels: int, stride: int, make_norm: Callable[[int], nn.Module]
    ) -> None:
        super().__init__()
        self.outputs = channels
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False)
        self.bn1 = make_norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = make_norm(channels)
        self.downsample = _shortcut(inputs, channels, stride, make_norm)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class _Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and the shortcut (depths 50 and 101)."""

    def __init__(
        self, inputs: int, channels: int, stride: int, make_norm: Callable[[int], nn.Module]
    ) -> None:
        super().__init__()
        self.outputs = EXPANSION * channels
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn1 = make_norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = make_norm(channels)
        self.conv3 = nn.Conv2d(channels, self.outputs, 1, bias=False)
        self.bn3 = make_norm(self.outputs)
        self.downsample = _shortcut(inputs, self.outputs, stride, make_norm)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _shortcut(
    inputs: int, outputs: int, stride: int, make_norm: Callable[[int], nn.Module]
) -> nn.Module:
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), make_norm(outputs))


def _affine_instance_norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True)


def load_backbone(net: ResNetFeatures, path: str | Path) -> None:
    """Fill a ResNet from a safetensors file in which tensors have the usual names.

    A network of one input takes the sum of a three-channel file's first kernels, which is what a
    grey image repeated three times would give. Tensors of stages that the network lacks, and a
    classifier, are left out; instance norms leave out running statistics.

    Raises:
        InputError: ``BACKBONE_UNREADABLE`` when the file cannot be read, ``MODEL_MISMATCH`` when a
            tensor is missing or has another shape.
    """
    stored = _read_tensors(Path(path))
    first = stored.get("conv1.weight")
    if first is not None and first.ndim == 4 and first.shape[1] == 3 and net.conv1.in_channels == 1:
        stored["conv1.weight"] = first.sum(dim=1, keepdim=True)
    wanted = {
        name: tensor
        for name, tensor in net.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    wrong = [n for n, t in wanted.items() if n not in stored or stored[n].shape != t.shape]
    if wrong:
        raise InputError(
            "MODEL_MISMATCH",
            f"{Path(path).name} has no tensor {wrong[0]!r} of shape "
            f"{tuple(wanted[wrong[0]].shape)}.",
            "Give the weights of a ResNet of the same depth, at width 1.",
        )
    net.load_state_dict({name: stored[name].float() for name in wanted}, strict=False)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            "BACKBONE_UNREADABLE",
            f"{path} is no safetensors file: {error}.",
            "Name a local file that safetensors wrote.",
        ) from error
