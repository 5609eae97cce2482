"""Experiments from YAML files: every setting known, every value of its kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from TomoRayTraining.config import Config, bad_config

OPEN_LISTS = ("optimisation.milestones", "data.views")
"""Lists of any length."""


def read_config(path: Path) -> Config:
    """Read an experiment's YAML file.

    Raises:
        InputError: ``BAD_CONFIG`` for unknown or missing keys and for wrong types.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise bad_config(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise bad_config(f"{path} holds no mapping.")
    return config_from(data)


def config_from(data: Mapping[str, Any]) -> Config:
    """Build an experiment from the plain types of ``to_dict`` or of a YAML file.

    Raises:
        InputError: ``BAD_CONFIG``.
    """
    config: Config = _build(Config, data, "")
    return config


def _build(kind: Any, data: Any, where: str) -> Any:
    """Build a dataclass from a mapping, recursively, refusing what it does not know."""
    fields = {f.name: f for f in dataclasses.fields(kind)}
    if not isinstance(data, dict):
        raise bad_config(f"{where or 'The file'} must be a mapping; got {data!r}.")
    unknown = [key for key in data if key not in fields]
    if unknown:
        raise bad_config(f"{where}{unknown[0]} is not a setting; there are {', '.join(fields)}.")
    values = {}
    for name, value in data.items():
        default = fields[name].default_factory
        nested = default() if default is not dataclasses.MISSING else None
        if dataclasses.is_dataclass(nested):
            values[name] = _build(type(nested), value, f"{where}{name}.")
        else:
            default = fields[name].default if nested is None else nested
            values[name] = _checked(value, default, f"{where}{name}")
    try:
        return kind(**values)
    except TypeError as error:
        raise bad_config(f"{where or 'The file'}: {error}.") from error


def _checked(value: Any, default: Any, where: str) -> Any:
    """Give numbers and pairs the type of their default; refuse others."""
    if where.endswith(OPEN_LISTS) and isinstance(value, list):
        return tuple(_checked(v, default[0], where) for v in value)
    if isinstance(default, tuple) and isinstance(value, list) and len(value) == len(default):
        return tuple(_checked(v, d, where) for v, d in zip(value, default, strict=True))
    if isinstance(default, float) and type(value) in (int, float):
        return float(value)
    if isinstance(default, dict) and isinstance(value, dict):
        return value
    if default is dataclasses.MISSING:  # settings without a default are texts
        default = ""
    if type(value) is type(default):
        return value
    raise bad_config(f"{where} must be like {default!r}; got {value!r}.")
