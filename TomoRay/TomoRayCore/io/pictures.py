"""PNG, TIFF and JPEG pictures as grey values that grow with brightness.

The picture's resolution (dpi) is never looked at: it describes paper, not a detector.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from TomoRayCore.errors import InputError
from TomoRayCore.io.guard import MAX_PIXELS, too_large, unreadable_as_input_error
from TomoRayCore.io.stored_image import OWN_KEY_PREFIX

FORMATS = ("PNG", "TIFF", "JPEG")

COLOUR_TOLERANCE = 4
"""Largest difference of 8-bit channels that JPEG's rounding leaves in a grey picture."""

TIFF_BITS, TIFF_PHOTOMETRIC, TIFF_DESCRIPTION, TIFF_SAMPLE_FORMAT = 258, 262, 270, 339
MIN_IS_WHITE = 0
SIGNED, UNSIGNED = 2, 1


@dataclass(frozen=True, eq=False)
class Picture:
    """A grey picture.

    Attributes:
        pixels: (H, W) float32, larger = brighter.
        text: The file's ``tomoray_`` keys.
        notes: What was read and done, for the record.
    """

    pixels: NDArray[np.float32]
    text: Mapping[str, str]
    notes: Mapping[str, str]


def read_picture(path: Path) -> Picture:
    """Read a grey picture of 8 or 16 bits or of floating-point numbers.

    Raises:
        InputError: ``COLOUR_IMAGE``, ``TRANSPARENT_IMAGE``, ``SEVERAL_IMAGES``,
            ``UNSUPPORTED_FORMAT``, ``TOO_LARGE`` or ``UNREADABLE_FILE``.
    """
    with unreadable_as_input_error(path):
        try:
            _verify(path)
            with Image.open(path, formats=FORMATS) as image:
                _check_size(path, image)
                return _picture(path, image)
        except Image.DecompressionBombError as error:
            raise too_large(path, "a picture of more pixels than any film has") from error
        except UnidentifiedImageError as error:
            raise _unsupported(path, "is of a kind that is not supported") from error


def _verify(path: Path) -> None:
    """Compare a PNG's checksums, which plain loading does not."""
    with Image.open(path, formats=FORMATS) as image:
        if image.format == "PNG":
            image.verify()


def _check_size(path: Path, image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise too_large(path, f"a picture of {image.width} x {image.height} pixels")
    # A phone's JPEG may hold a preview as second image; several pages are a real question.
    if image.format in ("PNG", "TIFF") and getattr(image, "n_frames", 1) > 1:
        raise InputError(
            "SEVERAL_IMAGES",
            f"{path.name} holds {getattr(image, 'n_frames', 0)} pictures.",
            "Save the one that shows the radiograph as a file of its own.",
        )


def _picture(path: Path, image: Image.Image) -> Picture:
    text = _own_text(image)
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    # Read the tags first: turning the picture by its orientation mark drops them.
    kind = _tiff_kind(path, tags) if tags else ""
    min_is_white = bool(tags) and tags.get(TIFF_PHOTOMETRIC) == MIN_IS_WHITE
    notes = {"format": f"{image.format}, {kind or image.mode}"}
    turned = ImageOps.exif_transpose(image)
    if turned.size != image.size or image.getexif().get(274, 1) != 1:
        notes["orientation"] = "turned as the file's orientation mark demands"
    pixels = _grey(path, turned)
    if kind == "32-bit unsigned":
        pixels = np.where(pixels < 0, pixels + 2.0**32, pixels)
    if min_is_white:
        notes["photometric"] = "MINISWHITE, inverted"
        # Pillow itself inverts 1-bit and 8-bit pictures, and no others.
        if turned.mode not in ("1", "L"):
            pixels = (65535.0 if turned.mode.startswith("I;16") else pixels.max()) - pixels
    return Picture(pixels.astype(np.float32), text, notes)


def _own_text(image: Image.Image) -> dict[str, str]:
    """Return our keys: a PNG's texts, or a TIFF's description, which is one JSON text."""
    found: Any = getattr(image, "text", {})
    if image.format == "TIFF":
        description = getattr(image, "tag_v2", {}).get(TIFF_DESCRIPTION, "")
        try:
            found = json.loads(description)
        except (TypeError, ValueError, RecursionError):
            found = {}
    if not isinstance(found, Mapping):
        return {}
    return {
        str(key): str(value) for key, value in found.items() if str(key).startswith(OWN_KEY_PREFIX)
    }


def _tiff_kind(path: Path, tags: Mapping[int, Any]) -> str:
    bits = _first(tags.get(TIFF_BITS, 1))
    sample = _first(tags.get(TIFF_SAMPLE_FORMAT, UNSIGNED))
    if sample == SIGNED and bits == 8:  # Pillow would take -1 for 255
        raise _unsupported(path, "holds signed 8-bit numbers")
    return f"{bits}-bit {({UNSIGNED: 'unsigned', SIGNED: 'signed'}).get(sample, 'float')}"


def _first(value: Any) -> int:
    return int(value[0]) if isinstance(value, tuple) else int(value)


def _grey(path: Path, image: Image.Image) -> NDArray[np.float64]:
    """Return (H, W) float64 brightness."""
    if "transparency" in image.info:
        if image.mode not in ("1", "L", "P", "RGB"):
            raise _transparent(path)
        image = image.convert("RGBA")
    elif image.mode == "P":
        image = image.convert("RGB")
    elif image.mode == "1":
        image = image.convert("L")
    values = np.asarray(image)
    if image.mode in ("LA", "RGBA"):
        if values[..., -1].min() < 255:
            raise _transparent(path)
        values = values[..., :-1]
    if values.ndim == 2:
        return values.astype(np.float64)
    if image.mode not in ("LA", "RGB", "RGBA", "YCbCr"):
        raise _colour(path)
    if image.mode == "YCbCr":
        values = np.asarray(image.convert("RGB"))
    channels = values.astype(np.float64)
    if np.ptp(channels, axis=-1).max() > COLOUR_TOLERANCE:
        raise _colour(path)
    return np.asarray(channels.mean(axis=-1))


def _colour(path: Path) -> InputError:
    return InputError(
        "COLOUR_IMAGE",
        f"{path.name} is a colour picture, not a radiograph.",
        "If it is a photograph of a film, convert it to greyscale first.",
    )


def _transparent(path: Path) -> InputError:
    return InputError(
        "TRANSPARENT_IMAGE",
        f"{path.name} has transparent parts, whose grey value is anyone's guess.",
        "Flatten the picture onto a black background first.",
    )


def _unsupported(path: Path, what: str) -> InputError:
    return InputError(
        "UNSUPPORTED_FORMAT",
        f"{path.name} {what}.",
        "Save it as a 16-bit greyscale PNG.",
    )
