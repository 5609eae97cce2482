"""The networks, by the names that bundles and configurations use.

A generator maps projections and their ``view_matrices`` to a volume:
``forward(images (B, V, H, W), view_matrices (B, V, 3, 4) | None) -> (B, 1, D, H, W)``. A
discriminator maps a volume and those projections to patch logits; a translator maps images to
images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets.bone_suppression import BoneSuppression
from TomoRayCore.nets.cnn2d import CNN2D
from TomoRayCore.nets.cnn_inr import CNNINR
from TomoRayCore.nets.cyclegan import CycleGANTranslator
from TomoRayCore.nets.dctnet import DCTNet
from TomoRayCore.nets.dctnet_discriminator import TriplanarDiscriminator
from TomoRayCore.nets.duolift import DuoLift
from TomoRayCore.nets.duolift_discriminator import DuoLiftDiscriminator
from TomoRayCore.nets.patch_discriminator import PatchDiscriminator3d
from TomoRayCore.nets.perx2ct import PerX2CT
from TomoRayCore.nets.rt_srts import RTSRTS
from TomoRayCore.nets.sdct_discriminator import SdCTDiscriminator
from TomoRayCore.nets.sdct_generator import SdCTGenerator
from TomoRayCore.nets.x2ct_generator import X2CTGenerator
from TomoRayCore.nets.x2ct_single import X2CTSingleGenerator
from TomoRayCore.nets.xrecon_generator import XReconGenerator

GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "x2ct-biplanar": X2CTGenerator,
    "x2ct-single": X2CTSingleGenerator,
    "cnn2d": CNN2D,
    "sdct": SdCTGenerator,
    "x-recon": XReconGenerator,
    "duolift-biplanar": DuoLift,
    "duolift-single": partial(DuoLift, views=("frontal",)),
    "dct-net": DCTNet,
    "cnn-inr": CNNINR,
    "perx2ct": PerX2CT,
    "perx2ct-global": partial(PerX2CT, context=True),
    "rt-srts": RTSRTS,
}

DISCRIMINATORS: dict[str, Callable[..., nn.Module]] = {
    "patch3d": PatchDiscriminator3d,
    "patch3d-coordinates": partial(PatchDiscriminator3d, coordinates=True),
    "sdct": SdCTDiscriminator,
    "duolift": DuoLiftDiscriminator,
    "dct-net": TriplanarDiscriminator,
}

TRANSLATORS: dict[str, Callable[..., nn.Module]] = {
    "cyclegan": CycleGANTranslator,
    "bone-suppression": BoneSuppression,
}


def build(
    name: str,
    arguments: Mapping[str, Any] | None = None,
    registry: Mapping[str, Callable[..., nn.Module]] = GENERATORS,
) -> nn.Module:
    """Return a freshly initialised network.

    Args:
        name: A key of ``registry``.
        arguments: Keyword arguments of its constructor.
        registry: ``GENERATORS``, ``DISCRIMINATORS`` or ``TRANSLATORS``.

    Raises:
        InputError: ``ARCHITECTURE_UNKNOWN`` or ``ARCHITECTURE_ARGUMENTS``.
    """
    if name not in registry:
        raise InputError(
            "ARCHITECTURE_UNKNOWN",
            f"There is no architecture {name!r}.",
            f"This version knows {', '.join(registry)}; a newer TomoRay may know more.",
        )
    try:
        return registry[name](**dict(arguments or {}))
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(
            "ARCHITECTURE_ARGUMENTS",
            f"The architecture {name!r} does not take these arguments: {error}.",
            "Check the names against the class's docstring.",
        ) from error


def parameter_count(net: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(p.numel() for p in net.parameters())
