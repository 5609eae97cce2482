"""Which models the panel offers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from TomoRayCore.errors import InputError


@dataclass(frozen=True)
class ModelEntry:
    """One line of the model list.

    Attributes:
        name: What a job calls it.
        summary: One or two sentences for people.
    """

    name: str
    summary: str


def shippedModels() -> list[ModelEntry]:
    """Return the models that come with TomoRay, the default one first."""
    from TomoRayCore.bundle import DEFAULT_MODEL, available_models

    entries = [ModelEntry(path.stem, summaryOf(path)) for path in available_models()]
    return sorted(entries, key=lambda entry: (entry.name != DEFAULT_MODEL, entry.name))


def summaryOf(path: Path) -> str:
    """Return what a model file says about itself, or why it cannot be used."""
    from TomoRayCore.bundle import read_description

    try:
        return str(read_description(path)["summary"])
    except (InputError, OSError) as error:
        return str(error)


def modelFile(nameOrPath: str | None) -> Path:
    """Return a model's file after checking that it describes itself properly.

    Raises:
        InputError: ``MODEL_NOT_FOUND`` or what the engine finds wrong with the file.
    """
    from TomoRayCore.bundle import find_model, read_description

    path = find_model(nameOrPath)
    read_description(path)
    return path
