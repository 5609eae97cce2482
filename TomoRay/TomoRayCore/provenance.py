"""The JSON beside a synthetic CT: which files went in, and what became of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.io.atomic import full_suffix
from TomoRayCore.io.radiograph_io import read_radiograph
from TomoRayCore.io.volume_io import WRITABLE
from TomoRayCore.outputs import sha256_of
from TomoRayCore.radiograph import Radiograph, View


def provenance_path(sct: Path) -> Path:
    """Return where the provenance of this synthetic CT lies: the same name with ``.json``.

    Raises:
        InputError: ``BAD_OUTPUT_SUFFIX`` when no volume can be written under this name.
    """
    suffix = full_suffix(sct)
    if suffix.lower() not in WRITABLE or sct.name == suffix:
        raise InputError(
            "BAD_OUTPUT_SUFFIX",
            f"A synthetic CT cannot be written as {sct.name!r}.",
            f"End the name with one of {', '.join(WRITABLE)}.",
        )
    return sct.with_name(sct.name[: -len(suffix)] + ".json")


def read_geometry(path: Path) -> AcquisitionGeometry:
    """Read a ``geometry.json``.

    Raises:
        InputError: ``BAD_GEOMETRY`` for anything else.
    """
    try:
        return AcquisitionGeometry.from_json(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(
            "BAD_GEOMETRY", f"{path} is not text.", "Give a geometry.json as 'tomoray drr' writes."
        ) from error


def views_in_order(radiographs: Mapping[str, Path]) -> dict[View, Path]:
    """Return the files by view, frontal first.

    Raises:
        InputError: ``VIEW_UNKNOWN`` for other views, or none at all.
    """
    by_label = {str(label).strip().upper(): Path(path) for label, path in radiographs.items()}
    known = get_args(View)
    unknown = [label for label in by_label if label not in known]
    if unknown or not by_label:
        raise InputError(
            "VIEW_UNKNOWN",
            f"The view {unknown[0]!r} is not known." if unknown else "No radiograph was given.",
            f"Give files for views out of {', '.join(known)}.",
        )
    return {view: by_label[view] for view in known if view in by_label}


def describe_inputs(
    sources: Mapping[View, Path], sct: Path, spacing_mm: float | None, invert: bool
) -> dict[str, Any]:
    """Say which radiographs went in, and how they were read, for ``radiographs_of``.

    Paths are relative to the synthetic CT, so that a folder with both can move.
    """
    return {
        view: {
            "file": path.name,
            "path": _relative(path, sct.parent),
            "sha256": sha256_of(path),
            "spacing_mm": spacing_mm,
            "invert": invert,
        }
        for view, path in sources.items()
    }


def provenance_of(sct: Path) -> dict[str, Any] | None:
    """Return what lies beside a synthetic CT, or None where there is nothing usable."""
    try:
        data = json.loads(provenance_path(sct).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def geometry_of(provenance: Mapping[str, Any]) -> AcquisitionGeometry | None:
    """Return the geometry that a synthetic CT was computed with, if its provenance states one."""
    geometry = provenance.get("geometry")
    return AcquisitionGeometry.from_dict(geometry) if isinstance(geometry, Mapping) else None


def radiographs_of(sct: Path, provenance: Mapping[str, Any]) -> list[Radiograph]:
    """Read the radiographs that a synthetic CT came from.

    Raises:
        InputError: ``PROVENANCE_STALE`` when the provenance names none, or when a file is gone,
            has changed, or cannot be read.
    """
    try:
        return [
            _read_again(sct.parent / entry["path"], view, entry)
            for view, entry in provenance["inputs"].items()
        ]
    except (KeyError, TypeError, AttributeError, OSError) as error:
        raise _stale(
            "the radiographs that it came from are not where its provenance says"
        ) from error


def _read_again(path: Path, view: View, entry: Mapping[str, Any]) -> Radiograph:
    if sha256_of(path) != entry["sha256"]:
        raise _stale(f"{path.name} has changed since")
    return read_radiograph(path, view, spacing_mm=entry["spacing_mm"], invert=entry["invert"])


def _stale(why: str) -> InputError:
    return InputError(
        "PROVENANCE_STALE",
        f"The synthetic CT cannot be shown beside its radiographs: {why}.",
        "Name them (--ap, --lat).",
    )


def _relative(path: Path, base: Path) -> str:
    try:
        return Path(os.path.relpath(path.resolve(), base.resolve())).as_posix()
    except ValueError:  # on another drive
        return str(path.resolve())
