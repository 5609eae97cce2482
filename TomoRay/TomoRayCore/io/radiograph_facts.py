"""What a file and its reader say about a radiograph, brought into agreement and put on record."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from TomoRayCore.errors import InputError
from TomoRayCore.radiograph import View
from TomoRayCore.view_names import view_angle

Spacing = tuple[float, float]
"""(row, column) spacing at the detector in mm."""

FRONTAL = ("AP", "PA")


def fingerprint(path: Path) -> str:
    """Return what identifies a source file on record: its content's hash.

    Not its name or path: radiographs are named after patients.
    """
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()[:16]


def asked_view(view: str | None) -> str | None:
    """Return the caller's view in its canonical spelling: ``AP``, ``PA``, ``LAT``, ``A30``, ...

    Raises:
        InputError: ``VIEW_UNKNOWN``.
    """
    return None if view is None else view_angle(view).label


def agreed_view(asked: str | None, stated: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return the view on which the caller and all of a file's statements agree, and why.

    Args:
        asked: The caller's view, or None.
        stated: What the file says, by source: ``AP``, ``PA``, ``LAT``, a DRR's label, or
            ``frontal`` where AP and PA cannot be told apart.
        name: The file's name for messages.

    Raises:
        InputError: ``VIEW_CONTRADICTION`` or ``VIEW_UNKNOWN``.
    """
    if asked not in (None, *get_args(View)) and not stated:
        raise InputError(
            "VIEW_UNKNOWN",
            f"{name} is no DRR, so it cannot be the view {asked}.",
            f"Use one of {', '.join(get_args(View))}.",
        )
    said = {
        f"{source} says {value}": set(FRONTAL) if value == "frontal" else {value}
        for source, value in stated.items()
    }
    if asked is not None:
        said[f"the caller says {asked}"] = {asked}
    possible = {*get_args(View), *stated.values()} - {"frontal"}
    for views in said.values():
        possible &= views
    if not possible:
        raise InputError(
            "VIEW_CONTRADICTION",
            f"The view of {name} is not clear: {', '.join(said)}.",
            "Check that frontal and lateral are not swapped; if the file is wrong, "
            "export the picture as PNG and name its view.",
        )
    if len(possible) > 1:
        known = " It is frontal." if said else ""
        raise InputError(
            "VIEW_UNKNOWN",
            f"{name} does not say which view it shows.{known}",
            "Say which view it is: AP, PA or LAT.",
        )
    return possible.pop(), "; ".join(said)


def asked_spacing(spacing_mm: float | Spacing | None) -> Spacing | None:
    """Return the caller's spacing as (row, column).

    Raises:
        InputError: ``BAD_SPACING`` for anything but one or two positive numbers.
    """
    if spacing_mm is None:
        return None
    try:
        pair = (
            (float(spacing_mm), float(spacing_mm))
            if isinstance(spacing_mm, int | float)
            else (float(spacing_mm[0]), float(spacing_mm[1]))
        )
    except (TypeError, ValueError, IndexError):
        pair = (math.nan, math.nan)
    if not all(math.isfinite(mm) and mm > 0 for mm in pair):
        raise InputError(
            "BAD_SPACING",
            f"The pixel spacing {spacing_mm!r} is not one or two positive numbers.",
            "Give mm per pixel at the detector, one number or (row, column).",
        )
    return pair


def agreed_spacing(
    asked: Spacing | None, stated: Spacing | None, origin: str
) -> tuple[Spacing | None, str]:
    """Return the spacing to use and why; the caller's wins over the file's.

    Args:
        asked: The caller's.
        stated: The file's.
        origin: Where the file's comes from, or why there is none.
    """
    if asked is None:
        return stated, origin if stated is None else f"{origin}: {in_mm(stated)}"
    aside = "" if stated is None else f" instead of {origin}: {in_mm(stated)}"
    return asked, f"given by the caller: {in_mm(asked)}{aside}"


def in_mm(spacing: Spacing) -> str:
    """Return a spacing as text."""
    return f"{spacing[0]:.6g} x {spacing[1]:.6g} mm"
