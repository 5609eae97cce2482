"""The discriminator of DuoLift-GAN.

Zhang and Ying, arXiv 2411.07941: four stages of convolution (k4, s1, p2) and average pool (k3, s2,
p1) that end in a 5 x 5 x 5 map, trained with binary cross-entropy. No code was published.

From a cube of 128 four such stages leave 9 x 9 x 9, not 5. Two readings lead to 5: the volume is
halved first (``half-size``), or there is a fifth stage (``fifth-stage``). Norms, activations and
channel counts are those of X2CT-GAN's discriminator: 64, 128, 256, 512; LeakyReLU 0.2; instance
norm after all stages but the first. A 1x1x1 convolution makes one logit of the last map.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets.orthographic import lifted_pair

Reading = Literal["half-size", "fifth-stage"]

STAGE_CHANNELS = (64, 128, 256, 512)


class DuoLiftDiscriminator(nn.Module):
    """A volume to logits of being a CT: (B, 1, S, S, S) to (B, 1, M, M, M); M is 5 for S = 128.

    Args:
        width: Factor on all channel counts.
        reading: ``half-size`` or ``fifth-stage``, see above.
        conditional: Also show the lifted frontal and lateral images, as X2CT-GAN does; the paper
            does not say so.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for another reading or a width outside (0, 4].
    """

    def __init__(
        self, width: float = 1.0, reading: Reading = "half-size", conditional: bool = False
    ) -> None:
        super().__init__()
        if reading not in ("half-size", "fifth-stage") or not 0 < width <= 4:
            raise InputError(
                "ARCHITECTURE_ARGUMENTS",
                f"Got width {width!r}, reading {reading!r}.",
                "The DuoLift discriminator takes width in (0, 4] and the reading half-size or "
                "fifth-stage.",
            )
        self.reading, self.conditional = reading, conditional
        channels = [max(1, round(c * width)) for c in STAGE_CHANNELS]
        if reading == "fifth-stage":
            channels.append(channels[-1])
        inputs = 3 if conditional else 1
        steps = enumerate(zip([inputs, *channels[:-1]], channels, strict=True))
        self.stages = nn.Sequential(*(_stage(a, b, norm=n > 0) for n, (a, b) in steps))
        self.head = nn.Conv3d(channels[-1], 1, 1)

    def forward(self, volume: Tensor, images: Tensor | None = None) -> Tensor:
        """Return the logits.

        Args:
            volume: (B, 1, S, S, S), S at least 16.
            images: (B, 2, N, N), frontal and lateral; needed when conditional, else ignored.

        Raises:
            InputError: ``BAD_SHAPE`` when images are needed and are not a frontal and a lateral.
        """
        x = volume
        if self.conditional:
            x = torch.cat([volume, *lifted_pair(images, volume.shape[-1])], dim=1)
        if self.reading == "half-size":
            x = nn.functional.avg_pool3d(x, 2)
        logits: Tensor = self.head(self.stages(x))
        return logits


def _stage(inputs: int, outputs: int, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv3d(inputs, outputs, 4, padding=2)]
    if norm:
        layers.append(nn.InstanceNorm3d(outputs))
    layers += [nn.LeakyReLU(0.2, inplace=True), nn.AvgPool3d(3, 2, padding=1)]
    return nn.Sequential(*layers)
