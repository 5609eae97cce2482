"""The job file that the Slicer module hands to the worker: what it may say, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from TomoRayCore.errors import InputError
from TomoRayCore.structure_names import structure_wish

SCHEMA = 1
MAX_BYTES = 1_000_000
"""A job file names files; it holds no data."""


@dataclass(frozen=True)
class Task:
    """One step of a job: ``drr``, ``reconstruct`` or ``compare`` with its checked arguments.

    Attributes:
        kind: Key of ``FIELDS``.
        arguments: By the field's name; paths are absolute, missing optional fields are left out.
    """

    kind: str
    arguments: Mapping[str, Any]


Reader = Callable[[Any, Path], Any]


@dataclass(frozen=True)
class Field:
    """How one field of a task is read: ``read`` raises ValueError or TypeError for a bad value."""

    read: Reader
    required: bool = False


def read_job(path: Path) -> list[Task]:
    """Read a job file; relative paths in it are relative to its folder.

    Raises:
        InputError: ``BAD_JOB`` for anything that is not a job of this schema.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _bad(f"{path.name} is too large for a job file.")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _bad(f"{path.name} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _bad(f"{path.name} is not JSON: {error}.") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise _bad(f"{path.name} is not a job of schema {SCHEMA}.")
    tasks = data.get("tasks")
    if not isinstance(tasks, list) or not tasks:
        raise _bad(f"{path.name} has no list of tasks.")
    folder = path.resolve().parent
    return [_task(task, folder, f"Task {n}") for n, task in enumerate(tasks, start=1)]


def _task(data: Any, folder: Path, name: str) -> Task:
    kind = data.get("task") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in FIELDS:
        raise _bad(f"{name} is none of {', '.join(FIELDS)}.")
    fields = FIELDS[kind]
    unknown = sorted(set(data) - set(fields) - {"task"})
    if unknown:
        raise _bad(f"{name} ({kind}) has an unknown field {unknown[0]!r}.")
    arguments: dict[str, Any] = {}
    for key, field in fields.items():
        value = data.get(key)
        if value is None:
            if field.required:
                raise _bad(f"{name} ({kind}) lacks {key!r}.")
            continue
        try:
            arguments[key] = field.read(value, folder)
        except (TypeError, ValueError) as error:
            raise _bad(f"{name} ({kind}): {key} must not be {value!r}.") from error
    return Task(kind, arguments)


def _bad(message: str) -> InputError:
    return InputError("BAD_JOB", message, "Write the job file anew; see docs/scripting.md.")


def _path(value: Any, folder: Path) -> Path:
    return folder / _text(value, folder)


def _text(value: Any, folder: Path) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    return value


def _number(value: Any, folder: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _whole(value: Any, folder: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


def _flag(value: Any, folder: Path) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _texts(value: Any, folder: Path) -> list[str]:
    if not isinstance(value, list):
        raise TypeError
    return [_text(item, folder) for item in value]


def _size(value: Any, folder: Path) -> int | list[int]:
    if isinstance(value, list) and len(value) == 2:
        return [_whole(item, folder) for item in value]
    return _whole(value, folder)


def _one_or_two(value: Any, folder: Path) -> float | list[float]:
    return _two(value, folder) if isinstance(value, list) else _number(value, folder)


def _two(value: Any, folder: Path) -> list[float]:
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError
    return [_number(item, folder) for item in value]


def _structures(value: Any, folder: Path) -> list[str]:
    """Masks are files: they are relative to the job's folder as well."""
    wishes = _texts(value, folder)
    for number, text in enumerate(wishes):
        try:
            wish = structure_wish(text, folder)
        except InputError as error:
            raise ValueError from error
        if wish.mask is not None:
            wishes[number] = f"{wish.name}={wish.mask}"
    return wishes


def _physics(value: Any, folder: Path) -> str | dict[str, Any]:
    """A preset's name, or the fields of physics.options.DrrOptions."""
    if isinstance(value, dict):
        return {str(name): option for name, option in value.items()}
    return _text(value, folder)


def _isocentre(value: Any, folder: Path) -> str | list[float]:
    if value in ("head", "centre"):
        return str(value)
    if not isinstance(value, list) or len(value) != 3:
        raise TypeError
    return [_number(item, folder) for item in value]


def _paths(value: Any, folder: Path) -> dict[str, Path]:
    if not isinstance(value, dict) or not value:
        raise TypeError
    return {str(key): _path(item, folder) for key, item in value.items()}


def _model(value: Any, folder: Path) -> str | Path:
    """A name stays a name; anything that looks like a file becomes a path."""
    text = _text(value, folder)
    looks_like_file = text.endswith(".safetensors") or "/" in text or "\\" in text
    return folder / text if looks_like_file else text


FIELDS: dict[str, dict[str, Field]] = {
    "drr": {
        "ct": Field(_path, required=True),
        "output_dir": Field(_path, required=True),
        "preset": Field(_text),
        "size": Field(_size),
        "views": Field(_texts),
        "sad_mm": Field(_number),
        "sdd_mm": Field(_number),
        "isocentre": Field(_isocentre),
        "parallel": Field(_flag),
        "spacing_mm": Field(_one_or_two),
        "detector_mm": Field(_one_or_two),
        "rotate_deg": Field(_number),
        "detector_offset_mm": Field(_two),
        "formats": Field(_texts),
        "structures": Field(_structures),
        "physics": Field(_physics),
        "seed": Field(_whole),
        "window": Field(_two),
    },
    "reconstruct": {
        "radiographs": Field(_paths, required=True),
        "output": Field(_path, required=True),
        "geometry": Field(_path),
        "model": Field(_model),
        "device": Field(_text),
        "spacing_mm": Field(_number),
        "invert": Field(_flag),
    },
    "compare": {
        "sct": Field(_path, required=True),
        "ct": Field(_path, required=True),
        "output_dir": Field(_path, required=True),
        "window": Field(_text),
        "radiographs": Field(_paths),
    },
}
"""What each task may say; null counts as left out."""
