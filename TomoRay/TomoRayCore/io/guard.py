"""What every reader checks first, and how failures of other people's parsers are reported."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from TomoRayCore.errors import InputError, TomoRayError
from TomoRayCore.volume import Grid

MAX_VOXELS = 2**29
"""512 x 512 x 2048: more than any scanner's head; a header that claims more is a bomb or garbage."""

MAX_PIXELS = 8192 * 8192
"""Twice the finest film digitiser along each side."""

SPACING_LIMITS_MM = (0.05, 10.0)
FAR_AWAY_MM = 5000.0
"""Scanner coordinates stay within a few metres; beyond, the header is damaged."""


def existing_file(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file that exists and is not empty.

    Raises:
        InputError: ``FILE_NOT_FOUND``, ``NOT_A_FILE``, ``EMPTY_FILE`` or ``UNREADABLE_FILE``.
    """
    file = Path(path)
    with unreadable_as_input_error(file):
        if not file.exists():
            raise InputError(
                "FILE_NOT_FOUND",
                f"{file} does not exist.",
                "Check the path, and that the drive is connected.",
            )
        if not file.is_file():
            raise InputError("NOT_A_FILE", f"{file} is not a file.", "Name one image file.")
        if file.stat().st_size == 0:
            raise InputError(
                "EMPTY_FILE", f"{file.name} has no content.", "Copy or export it again."
            )
    return file


@contextmanager
def unreadable_as_input_error(path: Path, code: str = "UNREADABLE_FILE") -> Iterator[None]:
    """Turn whatever a parser throws at damaged bytes into an ``InputError``.

    Parsers raise some twenty kinds of exception on hostile input (measured by fuzzing), hence the
    wide net: it belongs around a parser's call and nothing else.
    """
    try:
        with warnings.catch_warnings():
            # A file is right or refused; a parser's remarks on stderr help nobody.
            warnings.simplefilter("ignore")
            yield
    except TomoRayError:
        raise
    except MemoryError as error:
        raise too_large(path, "more than fits in memory") from error
    except Exception as error:
        kind = type(error).__name__
        raise InputError(
            code,
            f"{path.name} is damaged or not what its name says ({kind}).",
            "Open it in another viewer to check it, then export or copy it again.",
        ) from error


def too_large(path: Path, what: str) -> InputError:
    """Return the refusal of a file that asks for absurdly much."""
    return InputError(
        "TOO_LARGE",
        f"{path.name} claims {what}.",
        "Crop or downsample the image to the head; if it is small, its header is damaged.",
    )


def truncated(path: Path, expected: int, found: int) -> InputError:
    """Return the refusal of a file that ends early."""
    return InputError(
        "TRUNCATED_FILE",
        f"{path.name} holds {found} of the {expected} bytes of image data that its header declares.",
        "Copy or download it again; the missing part must not be guessed.",
    )


def bad_header(path: Path, what: str) -> InputError:
    """Return the refusal of a header that is malformed or of another format."""
    return InputError(
        "BAD_HEADER",
        f"{path.name}: {what}.",
        "Check that the suffix fits the content, or export the image again.",
    )


def check_plausible(grid: Grid, name: str) -> None:
    """Refuse a voxel grid that no CT scanner makes.

    Raises:
        InputError: ``BAD_SPACING`` or ``BAD_AFFINE``.
    """
    low, high = SPACING_LIMITS_MM
    spacing = grid.spacing_ijk_mm
    if not all(low <= mm <= high for mm in spacing):
        raise InputError(
            "BAD_SPACING",
            f"{name} has voxels of {' x '.join(f'{mm:.4g}' for mm in spacing)} mm.",
            f"A CT's voxels measure {low:g} to {high:g} mm; correct the spacing in the file.",
        )
    if np.abs(grid.centre_lps).max() > FAR_AWAY_MM:
        x, y, z = grid.centre_lps
        raise InputError(
            "BAD_AFFINE",
            f"{name} lies at ({x:.4g}, {y:.4g}, {z:.4g}) mm, metres away from any scanner.",
            "Correct the origin in the file, or export it again.",
        )
