"""Networks that run on the images before the generator: translators in the same model file.

A model file's optional ``stages`` lists them in their order, each with a name, its architecture
(a key of ``nets.TRANSLATORS``), the prefix of its tensors' names, and whether it applies to films
alone or to every image. Torch is imported only to run them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from TomoRayCore.bundle import Bundle

AppliesTo = Literal["films", "always"]


@dataclass(frozen=True)
class Stage:
    """One translator of a model file.

    Attributes:
        name: For people and provenance.
        architecture: ``name`` and ``arguments``, as of the generator.
        applies_to: ``films``: only images that are no DRRs; ``always``: every image.
        prefix: Of its tensors' names; ends with a dot.

    Raises:
        ValueError: For anything else.
    """

    name: str
    architecture: Mapping[str, Any]
    applies_to: AppliesTo
    prefix: str

    def __post_init__(self) -> None:
        texts = (self.name, self.prefix, self.architecture["name"])
        if not all(isinstance(text, str) and text for text in texts):
            raise ValueError("a stage lacks a text")
        if self.applies_to not in get_args(AppliesTo):
            raise ValueError(f"a stage applies to {self.applies_to!r}")
        if not self.prefix.endswith("."):
            raise ValueError(f"the prefix {self.prefix!r} ends without a dot")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "name": self.name,
            "architecture": dict(self.architecture),
            "applies_to": self.applies_to,
            "prefix": self.prefix,
        }


def read_stages(entries: Any, tensor_names: Collection[str]) -> tuple[Stage, ...]:
    """Return a description's stages, checked against the names of the file's tensors.

    Raises:
        KeyError, TypeError, ValueError: For a garbled list, two stages of one name, a prefix that
            begins another, or one that no tensor has.
    """
    if not isinstance(entries, list):
        raise TypeError("stages are no list")
    stages = tuple(
        Stage(e["name"], dict(e["architecture"]), e["applies_to"], e["prefix"]) for e in entries
    )
    if len({stage.name for stage in stages}) < len(stages):
        raise ValueError("two stages have one name")
    for stage in stages:
        if not any(name.startswith(stage.prefix) for name in tensor_names):
            raise ValueError(f"the stage {stage.name!r} has no tensors")
        if sum(stage.prefix.startswith(other.prefix) for other in stages) > 1:
            raise ValueError(f"the prefix {stage.prefix!r} is another's too")
    return stages


def part_of(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def generator_tensors(bundle: Bundle) -> dict[str, NDArray[Any]]:
    """Return the tensors that belong to no stage."""
    prefixes = tuple(stage.prefix for stage in bundle.stages)
    return {name: t for name, t in bundle.tensors.items() if not name.startswith(prefixes)}


def run_stages(
    bundle: Bundle,
    images: NDArray[np.float32],
    films: Sequence[bool],
    device: torch.device,
    seed: int = 0,
) -> tuple[NDArray[np.float32], list[dict[str, Any]]]:
    """Return the images after all stages that apply, and what was done.

    Args:
        bundle: With its stages.
        images: (V, S, S), normalised, in the order of the model's views.
        films: (V,), which of them are no DRRs.
        device: Where the networks run.
        seed: For networks that draw random numbers.

    Raises:
        InputError: ``ARCHITECTURE_UNKNOWN``, ``ARCHITECTURE_ARGUMENTS`` or ``MODEL_MISMATCH`` for
            a stage that cannot be built from its tensors or gives other images than it should.
    """
    record = []
    for stage in bundle.stages:
        chosen = np.array([stage.applies_to == "always" or film for film in films])
        if not chosen.any():
            continue
        result = _translated(load_stage(bundle, stage), images, device, seed)
        if result.shape != images.shape or not np.isfinite(result).all():
            raise InputError(
                "MODEL_MISMATCH",
                f"The stage {stage.name!r} of {bundle.name} gives no images that a network can "
                f"use, but an array of shape {result.shape}.",
                "Get the model file again, or export it without this stage.",
            )
        images = np.where(chosen[:, None, None], result, images)
        views = [label for label, c in zip(bundle.geometry.labels, chosen, strict=True) if c]
        record.append(
            {"name": stage.name, "architecture": dict(stage.architecture), "views": views}
        )
    return images, record


def load_stage(bundle: Bundle, stage: Stage) -> nn.Module:
    """Return a stage's network in evaluation mode, float32, on the CPU.

    Raises:
        InputError: As ``run_stages``.
    """
    from TomoRayCore.nets import TRANSLATORS
    from TomoRayCore.nets.loading import network_from

    tensors = part_of(bundle.tensors, stage.prefix)
    what = f"the stage {stage.name!r} of {bundle.path.name}"
    return network_from(stage.architecture, tensors, what, TRANSLATORS)


def _translated(
    net: nn.Module, images: NDArray[np.float32], device: torch.device, seed: int
) -> NDArray[np.float32]:
    import torch

    torch.manual_seed(seed)
    with torch.inference_mode():
        output = net.to(device)(torch.from_numpy(np.ascontiguousarray(images))[None].to(device))
    return np.asarray(output[0].float().cpu().numpy())
