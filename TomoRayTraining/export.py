"""A trained run to a model file that users load."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from TomoRayCore.bundle import Bundle, read_bundle, write_bundle
from TomoRayCore.errors import InputError
from TomoRayCore.harmonise import references_to_dict
from TomoRayCore.nets import TRANSLATORS
from TomoRayCore.presets import from_preset
from TomoRayCore.stages import Stage
from TomoRayTraining.cases import Case
from TomoRayTraining.checkpoint import read_average
from TomoRayTraining.config import Config
from TomoRayTraining.config_file import config_from
from TomoRayTraining.dataset import training_references
from TomoRayTraining.specs import specs_of

HALF_MAX = float(np.finfo(np.float16).max)

MAX_MODEL_BYTES = 20_000_000


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
    *,
    stages: Sequence[TrainedStage] = (),
    large: bool = False,
) -> Bundle:
    """Write the averaged weights in half precision as a model file and read it back, checked.

    Args:
        path: The file.
        config: The experiment; with ``model.harmonise`` the reference is computed from ``cases``.
        weights: Of the generator, or of a translator: then the file is a stage for others.
        card: What people must know.
        cases: All of them.
        metrics: On held-out heads.
        state: The checkpoint's: steps taken, and the model it started from, if any.
        stages: Translators that run before the generator, in order.
        large: Allow more than ``MAX_MODEL_BYTES``.

    Raises:
        InputError: ``MODEL_WEIGHTS`` for a weight that half precision cannot hold,
            ``MODEL_TOO_LARGE``, or ``BAD_STAGE`` for a stage that does not fit.
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
    references = training_references(training, config)
    if references:
        by_label = dict(zip(config.data.views, references, strict=True))
        description["harmonise"] = references_to_dict(by_label)
    if stages:
        entries = [_stage_entry(stage, number, config) for number, stage in enumerate(stages, 1)]
        description["stages"] = [entry.to_dict() for entry in entries]
        for stage, entry in zip(stages, entries, strict=True):
            halves |= {entry.prefix + n: _half(n, t) for n, t in stage.weights.items()}
    _check_size(halves, large)
    write_bundle(path, description, halves)
    return read_bundle(path)


@dataclass(frozen=True, eq=False)
class TrainedStage:
    """A translator to be run before a generator.

    Attributes:
        config: Its experiment.
        weights: Its averaged weights.
    """

    config: Config
    weights: Mapping[str, Tensor]

    @staticmethod
    def read(path: Path) -> TrainedStage:
        """Read a run's folder, or the file that was exported from one.

        Raises:
            InputError: ``BAD_CHECKPOINT``, ``BAD_STAGE``, or what reading a model file raises.
        """
        if path.is_dir():
            weights, state = read_average(path / "checkpoint.safetensors")
            settings = state.get("configuration")
        else:
            bundle = read_bundle(path)
            weights = {n: torch.from_numpy(t.copy()) for n, t in bundle.tensors.items()}
            settings = bundle.description["training"].get("configuration")
        if not isinstance(settings, dict):
            raise _bad_stage(path.name, "it does not say how it was trained")
        config = config_from(settings)
        if config.model.architecture not in TRANSLATORS:
            raise _bad_stage(path.name, f"{config.model.architecture!r} is no translator")
        return TrainedStage(config, weights)


def _stage_entry(stage: TrainedStage, number: int, config: Config) -> Stage:
    """Return a stage's entry in the description, if it sees the images that the generator sees."""
    own, model = stage.config, stage.config.model
    ours, theirs = specs_of(config)[0], specs_of(own)[0]
    if theirs != ours:
        raise _bad_stage(
            own.name,
            f"it sees {theirs.size} pixels of {theirs.field_mm:g} mm, the generator {ours.size} of "
            f"{ours.field_mm:g} mm",
        )
    if own.data.views != config.data.views:
        raise _bad_stage(own.name, f"its views are {', '.join(own.data.views)}")
    if model.harmonise != config.model.harmonise:
        raise _bad_stage(own.name, "only one of both was trained with harmonised films")
    architecture = {"name": model.architecture, "arguments": dict(model.arguments)}
    return Stage(own.name, architecture, "films", f"stage{number}.")


def _check_size(tensors: Mapping[str, NDArray[np.float16]], large: bool) -> None:
    size = sum(tensor.nbytes for tensor in tensors.values())
    if size > MAX_MODEL_BYTES and not large:
        raise InputError(
            "MODEL_TOO_LARGE",
            f"The model file would hold {size / 1e6:.0f} MB of weights; {MAX_MODEL_BYTES / 1e6:.0f} "
            "MB is the limit for files that are shipped.",
            "Train with a smaller model.arguments.width, or allow it with --large.",
        )


def _bad_stage(name: str, why: str) -> InputError:
    return InputError(
        "BAD_STAGE",
        f"{name} cannot be a stage of this model: {why}.",
        "Give the run or the exported file of a translator trained for the same images.",
    )


def _half(name: str, tensor: Tensor) -> NDArray[np.float16]:
    largest = float(tensor.abs().max())
    if not largest <= HALF_MAX:
        raise InputError(
            "MODEL_WEIGHTS",
            f"A weight of {name} is {largest:g}, which half precision cannot hold.",
            "Train with a lower learning rate: weights so large mean that the run diverged.",
        )
    return tensor.numpy().astype(np.float16)
