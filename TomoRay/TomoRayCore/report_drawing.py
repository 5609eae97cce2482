"""Colours, type and small marks of the report pictures; Pillow only.

Slicer ships no matplotlib, and Pillow's built-in font knows little beyond ASCII, so that text is
folded to what it can show.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]

BACKGROUND: Colour = (18, 20, 24)
TEXT: Colour = (236, 238, 240)
FAINT: Colour = (158, 164, 172)
AMBER: Colour = (255, 190, 60)
NOT_COVERED: Colour = (36, 44, 62)
"""Where an image has no data: outside the scanned field."""

BIG, MIDDLE, SMALL = 22, 16, 13
"""Type sizes in pixels."""

GAP = 10
PANEL = 340
"""Pixels of a panel's longer side."""

BAR = 96
"""Pixels of the column with the colour bars."""

_DIVERGING = np.array(
    [(120, 225, 255), (20, 110, 235), (0, 0, 0), (225, 90, 0), (255, 225, 120)], float
)
"""Light blue, blue, black, orange, light orange: readable with colour-blind eyes."""


def blank(width: int, height: int) -> Image.Image:
    """Return an empty sheet."""
    return Image.new("RGB", (width, height), BACKGROUND)


def plain(text: str) -> str:
    """Return text with only the characters that the built-in font has."""
    folded = unicodedata.normalize("NFKD", text.replace("°", " deg"))
    return "".join(
        c if " " <= c <= "~" or c == "±" else "?" for c in folded if not unicodedata.combining(c)
    )


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's built-in font at a pixel size."""
    return ImageFont.load_default(size)


def text_width(text: str, size: int) -> int:
    """Return how many pixels wide a line is."""
    return int(np.ceil(font(size).getlength(plain(text))))


def shortened(text: str, size: int, width: int) -> str:
    """Return text cut, with an ellipsis, to fit a width in pixels."""
    text = plain(text)
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "...", size) > width:
        text = text[:-1]
    return text.rstrip() + "..."


def write(
    image: Image.Image,
    at: tuple[float, float],
    text: str,
    *,
    size: int = MIDDLE,
    colour: Colour = TEXT,
    anchor: str = "la",
    outlined: bool = False,
) -> None:
    """Write one line; ``outlined`` keeps it legible on an image."""
    ImageDraw.Draw(image).text(
        at,
        plain(text),
        fill=colour,
        font=font(size),
        anchor=anchor,
        stroke_width=2 if outlined else 0,
        stroke_fill=(0, 0, 0),
    )


def diverging(values: NDArray[np.floating], limit: float) -> NDArray[np.uint8]:
    """Return colours, shape (..., 3), of values from ``-limit`` (blue) to ``limit`` (orange)."""
    place = np.clip((np.asarray(values, float) / limit + 1) * 2, 0, 4)
    channels = [np.interp(place, np.arange(5), _DIVERGING[:, c]) for c in range(3)]
    colours: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colours


def colour_bar(
    colours: NDArray[np.uint8], ticks: Sequence[str], height: int, width: int, unit: str
) -> Image.Image:
    """Return an upright bar, lowest value at the bottom, with evenly spaced ticks and a unit.

    Args:
        colours: (N, 3), from lowest to highest.
        ticks: Texts from lowest to highest.
        height: Pixels.
        width: Pixels; texts are cut to fit.
        unit: Written above the bar.
    """
    image = blank(width, height)
    top, bottom, bar_width = 26, height - 12, 16
    strip = Image.fromarray(np.ascontiguousarray(colours[::-1, None]))
    image.paste(strip.resize((bar_width, bottom - top), Image.Resampling.BILINEAR), (0, top))
    write(image, (0, 4), shortened(unit, SMALL, width), size=SMALL, colour=FAINT)
    for n, tick in enumerate(ticks):
        y = bottom - (bottom - top) * n / (len(ticks) - 1)
        label = shortened(tick, SMALL, width - bar_width - 8)
        write(image, (bar_width + 6, y), label, size=SMALL, anchor="lm")
    return image


def letter_borders(image: Image.Image, letters: str) -> None:
    """Write four direction letters at left, right, top and bottom of a panel."""
    w, h = image.size
    places = ((5, h / 2, "lm"), (w - 5, h / 2, "rm"), (w / 2, 5, "ma"), (w / 2, h - 5, "md"))
    for letter, (x, y, anchor) in zip(letters, places, strict=True):
        write(image, (x, y), letter, size=MIDDLE, colour=AMBER, anchor=anchor, outlined=True)


def scale_bar(image: Image.Image, pixels_per_mm: float) -> None:
    """Draw a bar of a round length at the lower right of a panel."""
    w, h = image.size
    fitting = [mm for mm in (100, 50, 20, 10, 5, 2, 1) if mm * pixels_per_mm <= w / 3]
    if not fitting:
        return
    length_mm = fitting[0]
    text = f"{length_mm // 10} cm" if length_mm >= 10 else f"{length_mm} mm"
    length = length_mm * pixels_per_mm
    x1, y = w - 12, h - 12
    draw = ImageDraw.Draw(image)
    draw.line([(x1 - length, y), (x1, y)], fill=(0, 0, 0), width=5)
    draw.line([(x1 - length, y), (x1, y)], fill=TEXT, width=3)
    write(image, (x1 - length / 2, y - 5), text, size=SMALL, anchor="md", outlined=True)


def row_of(panels: Sequence[Image.Image], height: int | None = None) -> Image.Image:
    """Return panels side by side, each in the middle of the row's height."""
    height = max(p.height for p in panels) if height is None else height
    image = blank(sum(p.width for p in panels) + GAP * (len(panels) - 1), height)
    x = 0
    for panel in panels:
        image.paste(panel, (x, (height - panel.height) // 2))
        x += panel.width + GAP
    return image


def stack(images: Sequence[Image.Image]) -> Image.Image:
    """Return pictures one below the other, aligned at the left."""
    if not images:
        return blank(1, 1)
    sheet = blank(max(i.width for i in images), sum(i.height for i in images))
    y = 0
    for image in images:
        sheet.paste(image, (0, y))
        y += image.height
    return sheet


def framed(image: Image.Image) -> Image.Image:
    """Return a picture with a margin all around."""
    sheet = blank(image.width + 2 * GAP, image.height + 2 * GAP)
    sheet.paste(image, (GAP, GAP))
    return sheet
