"""Convolutions and norms computed the cheap way; each equals the plain torch operation.

torch's CPU kernels are slow for two things that 3-D generators do at full resolution: instance
norms of channels-last tensors, and convolutions to one channel. Each has an equivalent of
operations that are fast. Other devices get torch's own operations.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

EPS = 1e-5
SLAB = 8192
"""Voxels that are added up at once, roughly."""


def instance_norm(x: Tensor) -> Tensor:
    """Return x normalised by sample and channel: (B, C, ...) to the same shape.

    With one sample that is a batch norm, which keeps a channels-last layout.
    """
    if x.shape[0] == 1 and x.device.type == "cpu":
        return functional.batch_norm(x, None, None, training=True, eps=EPS)
    return functional.instance_norm(x, eps=EPS)


def norm_relu(x: Tensor, slope: float = 0.0) -> Tensor:
    """Return (leaky) ReLU of ``instance_norm``. Without gradients, ``x`` itself is overwritten.

    Args:
        x: (B, C, ...), a tensor that nothing else needs.
        slope: Of the negative side.
    """
    if torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype != torch.float32:
        return functional.leaky_relu(instance_norm(x), slope, inplace=True)
    per_channel = (1, -1) + (1,) * (x.ndim - 2)
    for number in range(len(x)):
        sample = x.narrow(0, number, 1)
        mean, variance = _statistics(sample)
        scale = (variance + EPS).rsqrt()
        shift = -mean * scale
        torch.addcmul(shift.view(per_channel), sample, scale.view(per_channel), out=sample)
    return functional.relu_(x) if slope == 0 else functional.leaky_relu_(x, slope)


def conv3d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the convolution with full padding; on CPUs with channels last.

    There that layout is up to twice as fast; torch's kernels for small tensors lose it.
    """
    half = weight.shape[-1] // 2
    return _laid_out(functional.conv3d(_laid_out(x), weight, bias, padding=half))


def doubling_conv3d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the transposed 3x3x3 convolution that doubles each edge, laid out as ``conv3d``."""
    return _laid_out(functional.conv_transpose3d(_laid_out(x), weight, bias, 2, 1, 1))


def _laid_out(x: Tensor) -> Tensor:
    if x.device.type != "cpu":
        return x
    return x.contiguous(memory_format=torch.channels_last_3d)


def conv_to_few(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return a ``conv3d`` of odd kernel and full padding, for very few output channels.

    (B, C, D, H, W) with a weight (C', C, K, K, K) to (B, C', D, H, W).

    CPU kernels compute output channels by the vector, so one channel costs as much as sixteen.
    Here the K planes of the kernel are K output channels of a convolution within planes, which are
    then summed with one shift each.
    """
    outputs, channels, taps = weight.shape[:3]
    half = taps // 2
    if x.device.type != "cpu":
        return functional.conv3d(x, weight, bias, padding=half)
    flat = weight.transpose(1, 2).reshape(outputs * taps, channels, 1, *weight.shape[3:])
    by_tap = functional.conv3d(x, flat, padding=(0, half, half))
    by_tap = by_tap.view(len(x), outputs, taps, *x.shape[2:])
    depth = x.shape[2]
    total: Tensor = by_tap[:, :, half].contiguous()
    if bias is not None:
        total = total + bias.view(1, -1, 1, 1, 1)
    for tap in range(taps):
        shift = tap - half
        if shift == 0 or abs(shift) >= depth:
            continue
        kept = depth - abs(shift)
        target, source = max(0, -shift), max(0, shift)
        total.narrow(2, target, kept).add_(by_tap[:, :, tap].narrow(2, source, kept))
    return total


def _statistics(sample: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each channel of (1, C, ...).

    torch adds up a channels-last tensor in float32, one value after the other: over millions of
    voxels that loses half of the digits. So slabs are added up, and then their sums.
    """
    area = sample[0, 0, 0].numel()
    slabs = torch.split(sample, max(1, SLAB // area), dim=2)
    parts = [torch.batch_norm_update_stats(slab, None, None, 0.0) for slab in slabs]
    share = torch.tensor([slab.shape[2] / sample.shape[2] for slab in slabs]).unsqueeze(1)
    means, variances = (torch.stack(part) for part in zip(*parts, strict=True))
    mean = (means * share).sum(0)
    return mean, ((variances + (means - mean).square()) * share).sum(0)
