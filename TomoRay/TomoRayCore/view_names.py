"""Views by name or by angle: ``ap``, ``lat``, ``30``, ``-45``, ``120:10``.

An angle says where the source stands: its turn about the superior axis (0 anterior, 90 on the
patient's left, 180 posterior) and, after a colon, its rise above the transverse plane through the
isocentre (positive: toward the head, so that the beam runs toward the feet).

A view by angle gets a label made of both, ``A30`` or ``A120T10``, which is a name for files too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from TomoRayCore.errors import InputError

ANGLE_OF_VIEW = {"AP": 0.0, "PA": 180.0, "LAT": 90.0}

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
SYNTAX = re.compile(rf"(?:(?P<name>AP|PA|LAT)|A?(?P<angle>{NUMBER}))(?:[:T](?P<tilt>{NUMBER}))?")
OBLIQUE_LABEL = re.compile(rf"A{NUMBER}(?:T{NUMBER})?|(?:AP|PA|LAT)T{NUMBER}")

STEEPEST_DEG = 90.0


@dataclass(frozen=True)
class ViewAngle:
    """Where the source of a view stands.

    Attributes:
        label: ``AP``, ``PA``, ``LAT``, or made of the angles.
        angle_deg: Turn about the superior axis.
        tilt_deg: Rise toward the head, -90 to 90.
        mirrored: Whether the image is shown from the other side than the source's. PA films are
            hung so; a view by angle never is, so that a sweep has no jump.
    """

    label: str
    angle_deg: float
    tilt_deg: float = 0.0
    mirrored: bool = False


def view_angle(text: str) -> ViewAngle:
    """Read a view: ``ap``, ``pa``, ``lat`` or degrees; after a colon, the tilt in degrees.

    Labels that this function made are read back to the same view.

    Raises:
        InputError: ``VIEW_UNKNOWN``.
    """
    word = "".join(str(text).upper().split())
    match = SYNTAX.fullmatch(word)
    if match is None:
        raise _unknown(text)
    name = match["name"]
    angle_deg = _degrees(match["angle"]) if name is None else ANGLE_OF_VIEW[name]
    tilt_deg = _degrees(match["tilt"] or "0")
    if abs(angle_deg) > 360 or abs(tilt_deg) > STEEPEST_DEG:
        raise _unknown(text)
    label = name or f"A{_plain(angle_deg)}"
    if tilt_deg:
        label += f"T{_plain(tilt_deg)}"
    return ViewAngle(label, angle_deg, tilt_deg, mirrored=name == "PA")


def refuse_same(views: Sequence[str]) -> None:
    """Refuse two views that are the same picture, such as 0 and 360, or AP and 0.

    Raises:
        InputError: ``BAD_GEOMETRY``, or ``VIEW_UNKNOWN``.
    """
    known: dict[tuple[float, float, bool], str] = {}
    for text in views:
        view = view_angle(text)
        pose = (round(view.angle_deg % 360, 6) % 360, view.tilt_deg, view.mirrored)
        if pose in known:
            raise InputError(
                "BAD_GEOMETRY",
                f"{known[pose]} and {view.label} are the same view.",
                "Leave one of them out.",
            )
        known[pose] = view.label


def is_oblique_label(label: object) -> bool:
    """Say whether a label is one that ``view_angle`` makes of angles."""
    return isinstance(label, str) and OBLIQUE_LABEL.fullmatch(label) is not None


def _degrees(text: str) -> float:
    """Return degrees as a label can hold them: to a millionth, without a minus before zero."""
    return round(float(text), 6) + 0.0


def _plain(degrees: float) -> str:
    return f"{degrees:.6f}".rstrip("0").rstrip(".")


def _unknown(text: object) -> InputError:
    return InputError(
        "VIEW_UNKNOWN",
        f"The view {text!r} is not known.",
        f"Use {', '.join(ANGLE_OF_VIEW)}, or degrees such as 30 or 120:10 (turn, at most 360, and "
        "rise toward the head, at most 90).",
    )
