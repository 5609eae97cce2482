"""Which view a DICOM radiograph shows, and how it is turned to hang as radiographs do here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from TomoRayCore.errors import InputError
from TomoRayCore.io.dicom_dataset import is_drr, number, text, texts, value
from TomoRayCore.io.radiograph_facts import Spacing
from TomoRayCore.radiograph import View
from TomoRayCore.view_names import ANGLE_OF_VIEW, view_angle

VIEW_POSITIONS: dict[str, View] = {
    "AP": "AP",
    "PA": "PA",
    "LL": "LAT",
    "RL": "LAT",
    "LLAT": "LAT",
    "RLAT": "LAT",
    "LAT": "LAT",
    "LATERAL": "LAT",
}

VIEW_CODES: dict[str, str] = {
    "399348003": "AP",
    "R-10206": "AP",
    "272479007": "PA",
    "R-10214": "PA",
    "R-40888": "PA",
    "399198007": "LAT",
    "R-10232": "LAT",
    "399173006": "LAT",
    "R-10236": "LAT",
    "399067008": "LAT",
    "R-102CD": "LAT",
    "399033003": "frontal",
}
"""SNOMED codes, new and old, of the context group 4010 (DX View); obliques are left out."""

ANGLE_TOLERANCE_DEG = 10.0
SAME_ANGLE_DEG = 1e-4

PLANE_OF_LETTER = {"L": "frontal", "R": "frontal", "A": "LAT", "P": "LAT"}


def stated_views(dataset: Dataset, path: Path) -> dict[str, str]:
    """Return all that a data set says about its view, by attribute.

    Values are ``AP``, ``PA``, ``LAT`` or ``frontal``, for an oblique DRR the label of its angles;
    attributes that say nothing known are left out.

    Raises:
        InputError: ``VIEW_UNSUPPORTED`` for an axial projection or one from an oblique angle.
    """
    oblique = drr_view(dataset)
    if oblique is not None:
        return {"Positioner Angle": oblique}
    found: dict[str, str] = {}
    position = VIEW_POSITIONS.get(text(dataset, "ViewPosition"))
    if position is not None:
        found["View Position"] = position
    for item in value(dataset, "ViewCodeSequence") or ():
        code = VIEW_CODES.get(text(item, "CodeValue"))
        if code is not None:
            found["View Code"] = code
    angle_view = _view_by_angle(dataset, path)
    if angle_view is not None:
        found["Positioner Angle"] = angle_view
    letters = orientation_letters(dataset)
    if letters is not None:
        across = [letter for letter in letters if letter in PLANE_OF_LETTER]
        if len(across) == 2:
            raise _unsupported(path, "an axial projection")
        found["Patient Orientation"] = PLANE_OF_LETTER[across[0]]
    return found


def drr_view(dataset: Dataset) -> str | None:
    """Return the label of a DRR's oblique view by its angles, or None for any other image."""
    primary = number(dataset, "PositionerPrimaryAngle")
    if primary is None or not is_drr(dataset):
        return None
    # DICOM says where the detector stands, a label where the source does, opposite to it.
    angle = primary - 180 if primary > 0 else primary + 180
    rise = -(number(dataset, "PositionerSecondaryAngle") or 0.0)
    named = min(abs(angle - degrees) for degrees in ANGLE_OF_VIEW.values())
    if max(named, abs(rise)) < SAME_ANGLE_DEG:
        return None
    return view_angle(f"{angle:f}:{rise:f}").label


def orientation_letters(dataset: Dataset) -> tuple[str, str] | None:
    """Return where rows and columns run (``L``, ``R``, ``A``, ``P``, ``H``, ``F``), or None."""
    stated = texts(dataset, "PatientOrientation")
    if len(stated) != 2 or not all(word[:1] in set("LRAPHF") and word for word in stated):
        return None
    row, column = stated[0][0], stated[1][0]
    axes = {"L": 0, "R": 0, "A": 1, "P": 1, "H": 2, "F": 2}
    return None if axes[row] == axes[column] else (row, column)


def oriented(
    pixels: NDArray[Any], spacing: Spacing | None, letters: tuple[str, str] | None
) -> tuple[NDArray[Any], Spacing | None, str]:
    """Turn an image so that row 0 is superior and column 0 the patient's right or anterior.

    Args:
        pixels: (H, W).
        spacing: (row, column) spacing in mm, which a turn by 90 degrees swaps.
        letters: Where rows and columns run, as ``orientation_letters`` returns it.

    Returns:
        The turned image, its spacing, and what was done.
    """
    if letters is None:
        return pixels, spacing, "unstated: taken as hung, head up, patient right or anterior left"
    row, column = letters
    done = []
    if row in "HF":
        pixels, row, column = pixels.T, column, row
        spacing = None if spacing is None else (spacing[1], spacing[0])
        done.append("rows and columns exchanged")
    if column == "H":
        pixels = np.flipud(pixels)
        done.append("turned upside down")
    if row in "RA":
        pixels = np.fliplr(pixels)
        done.append("mirrored")
    return pixels, spacing, f"{letters[0]}\\{letters[1]}: {', '.join(done) or 'as stored'}"


def _view_by_angle(dataset: Dataset, path: Path) -> str | None:
    """Return the view of a C-arm.

    At 0 degrees the detector is in front of the patient, at +90 on the left. AP and PA are not
    told apart: patients may lie prone.
    """
    if text(dataset, "Modality") not in ("XA", "RF"):
        return None
    primary = number(dataset, "PositionerPrimaryAngle")
    if primary is None:
        return None
    secondary = number(dataset, "PositionerSecondaryAngle") or 0.0
    nearest = round(primary / 90) * 90
    if max(abs(primary - nearest), abs(secondary)) > ANGLE_TOLERANCE_DEG:
        raise _unsupported(path, f"a view from {primary:g} and {secondary:g} degrees")
    return "LAT" if nearest % 180 else "frontal"


def _unsupported(path: Path, what: str) -> InputError:
    return InputError(
        "VIEW_UNSUPPORTED",
        f"{path.name} is {what}, neither frontal nor lateral.",
        "Give a frontal (AP or PA) and a lateral radiograph.",
    )
