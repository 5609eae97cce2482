"""Sets of output files that appear whole or not at all, and never on top of an input."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from TomoRayCore.errors import InputError
from TomoRayCore.io.sniff import looks_like_dicom

PARTIAL_PREFIX = ".tomoray-partial-"
"""Starts the name of every folder of unfinished outputs; safe to delete when nothing runs."""


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Collect output files in a private folder and move them into ``folder`` at the end.

    Missing folders are created. When the block raises, nothing of it remains, and folders that
    were created for it are removed again.

    Args:
        folder: Where the finished files belong.

    Yields:
        The private folder to write into; it lies inside ``folder``, so moving is a rename.
    """
    created = _create(folder)
    stage = folder / f"{PARTIAL_PREFIX}{os.urandom(6).hex()}"
    stage.mkdir(mode=0o700)
    try:
        yield stage
        for file in sorted(stage.iterdir()):
            file.replace(folder / file.name)
        created = []
    finally:
        _remove(stage)
        for empty in created:
            _remove_if_empty(empty)


def refuse_overwriting(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise when an output would replace an input or land inside an input folder.

    Raises:
        InputError: ``OVERWRITES_INPUT``.
    """
    sources = [path.resolve() for path in inputs]
    for output in outputs:
        target = output.resolve()
        for source in sources:
            inside = source.is_dir() and source in target.parents
            # Other files in a DICOM folder are outputs of an earlier run, not its input.
            if target == source or (inside and target.is_file() and looks_like_dicom(target)):
                raise InputError(
                    "OVERWRITES_INPUT",
                    f"The output {output} would overwrite an input.",
                    "Choose another output name or folder.",
                )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's file names and contents, in hexadecimal."""
    digest = hashlib.sha256()
    if not path.is_dir():
        _add(digest, path)
        return digest.hexdigest()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        _add(digest, file)
    return digest.hexdigest()


def texts(outputs: Mapping[str, Path]) -> dict[str, str]:
    """Return the paths as text, as results state them."""
    return {name: str(path) for name, path in outputs.items()}


def plain(value: Any) -> Any:
    """Return a value made of JSON's types only: arrays become lists, paths text, NaN null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_json(data: Any) -> str:
    """Return indented ASCII JSON text of ``plain`` data, ending in a newline."""
    return json.dumps(plain(data), indent=2, allow_nan=False) + "\n"


def _add(digest: hashlib._Hash, file: Path) -> None:
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)


def _create(folder: Path) -> list[Path]:
    """Make a folder with its parents and return the new ones, innermost first."""
    missing: list[Path] = []
    probe = folder
    while not probe.exists():
        missing.append(probe)
        probe = probe.parent
    if not probe.is_dir():
        raise InputError(
            "NOT_A_FOLDER", f"{probe} is a file, not a folder.", "Choose another output folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _remove(folder: Path) -> None:
    """Remove a folder, usually an empty one, with whatever is left in it."""
    try:
        folder.rmdir()
    except OSError:
        import shutil  # here: it loads every compression library

        shutil.rmtree(folder, ignore_errors=True)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
