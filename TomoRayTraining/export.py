"""A trained run to a model file that users load."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from TomoRayCore.bundle import Bundle, read_bundle, write_bundle
from TomoRayCore.errors import InputError
from TomoRayCore.presets import from_preset
from TomoRayTraining.cases import Case
from TomoRayTraining.config import Config
from TomoRayTraining.specs import specs_of

HALF_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class ModelCard:
    """What people must know before they use a model; read from a JSON file.

    Attributes:
        summary: One sentence.
        data: What it was trained on, with sources.
        licence: Of the data.
        attribution: Whom to name.
        intended_use: What for.
        known_failures: What goes wrong, one sentence each.
    """

    summary: str
    data: str
    licence: str
    attribution: str
    intended_use: str
    known_failures: tuple[str, ...]

    @staticmethod
    def read(path: Path) -> ModelCard:
        """Read a card.

        Raises:
            InputError: ``BAD_CARD``.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            texts = [v for k, v in data.items() if k != "known_failures"] + data["known_failures"]
            if not all(isinstance(text, str) for text in texts):
                raise TypeError("a field is no text, or known_failures is no list of texts")
            return ModelCard(**(data | {"known_failures": tuple(data["known_failures"])}))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                "BAD_CARD",
                f"The model card {path} cannot be used: {error}.",
                f"It needs the JSON fields {', '.join(ModelCard.__dataclass_fields__)}.",
            ) from error


def export(
    path: Path,
    config: Config,
    weights: Mapping[str, Tensor],
    card: ModelCard,
    cases: Sequence[Case],
    metrics: Mapping[str, Any],
    state: Mapping[str, Any],
) -> Bundle:
    """Write the averaged weights in half precision as a model file and read it back, checked.

    ``state`` is the checkpoint's: steps taken, and the model it started from, if any.

    Raises:
        InputError: ``MODEL_WEIGHTS`` for a weight that half precision cannot hold.
    """
    input_spec, output_spec = specs_of(config)
    low_mm, high_mm = config.data.sad_mm
    training = [case for case in cases if case.split == "train"]
    description = {
        "name": config.name,
        "summary": card.summary,
        "architecture": {
            "name": config.model.architecture,
            "arguments": dict(config.model.arguments),
        },
        "input": input_spec.to_dict(),
        "output": output_spec.to_dict(),
        "geometry": from_preset(views=config.data.views).to_dict(),
        "tolerance": {"sad_mm": [low_mm, high_mm], "angle_deg": 10.0},
        "training": {
            "data": card.data,
            "licence": card.licence,
            "attribution": card.attribution,
            "patients": len({c.patient for c in training if c.kind != "phantom"}),
            "phantoms": sum(c.kind == "phantom" for c in training),
            "steps": state["step"],
            "started_from_sha256": state.get("started_from"),
            "configuration": config.to_dict(),
        },
        "intended_use": card.intended_use,
        "known_failures": list(card.known_failures),
        "metrics": dict(metrics),
        "seed": config.seed,
    }
    halves = {name: _half(name, tensor) for name, tensor in weights.items()}
    write_bundle(path, description, halves)
    return read_bundle(path)


def _half(name: str, tensor: Tensor) -> NDArray[np.float16]:
    largest = float(tensor.abs().max())
    if not largest <= HALF_MAX:
        raise InputError(
            "MODEL_WEIGHTS",
            f"A weight of {name} is {largest:g}, which half precision cannot hold.",
            "Train with a lower learning rate: weights so large mean that the run diverged.",
        )
    return tensor.numpy().astype(np.float16)
