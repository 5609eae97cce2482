"""Draw the module's icon: two beams that cross in a head. Run it to write the files anew.

python Testing/Slicer/draw_icon.py
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

ROOT = Path(__file__).resolve().parents[2]
ICON = ROOT / "TomoRay" / "Resources" / "Icons" / "TomoRay.png"
CATALOGUE_ICON = ROOT / "Resources" / "TomoRay.png"
SIZE, SCALE = 128, 8

BACKGROUND_TOP, BACKGROUND_BOTTOM = (18, 38, 66), (9, 20, 38)
HEAD, BONE = (214, 226, 238), (120, 146, 172)
FRONTAL_BEAM, LATERAL_BEAM = (255, 184, 77), (77, 208, 225)

# Profile facing left, in units of the icon's edge.
PROFILE = [
    (0.560, 0.130), (0.680, 0.150), (0.775, 0.220), (0.820, 0.330), (0.815, 0.450),
    (0.775, 0.550), (0.735, 0.630), (0.728, 0.720), (0.745, 0.850), (0.470, 0.850),
    (0.468, 0.780), (0.440, 0.762), (0.360, 0.772), (0.318, 0.752), (0.312, 0.700),
    (0.300, 0.672), (0.308, 0.648), (0.292, 0.622), (0.300, 0.592), (0.262, 0.572),
    (0.258, 0.552), (0.300, 0.470), (0.300, 0.430), (0.288, 0.395), (0.305, 0.290),
    (0.365, 0.195), (0.450, 0.145),
]  # fmt: skip


def draw() -> Image.Image:
    """Return the icon as a SIZE x SIZE RGBA picture."""
    edge = SIZE * SCALE
    picture = _background(edge)
    head = _smooth_mask(edge, PROFILE)
    picture.paste(Image.new("RGBA", (edge, edge), (*HEAD, 255)), mask=head)
    vault = _ellipse_mask(edge, (0.345, 0.19, 0.775, 0.60), 0.030)
    picture.paste(Image.new("RGBA", (edge, edge), (*BONE, 255)), mask=vault)
    # The lateral beam enters in front, the frontal one from above: both meet inside the skull.
    for source, left, right, colour in (
        ((0.02, 0.395), (1.02, 0.215), (1.02, 0.575), LATERAL_BEAM),
        ((0.56, 0.01), (0.36, 1.02), (0.76, 1.02), FRONTAL_BEAM),
    ):
        _beam(picture, edge, (source, left, right), colour)
    for x, y, colour in ((0.055, 0.395, LATERAL_BEAM), (0.56, 0.055, FRONTAL_BEAM)):
        _dot(picture, edge, x, y, 0.038, colour)
    rounded = _rounded_mask(edge)
    picture.putalpha(rounded)
    return picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def _background(edge: int) -> Image.Image:
    picture = Image.new("RGBA", (edge, edge))
    pen = ImageDraw.Draw(picture)
    for row in range(edge):
        share = row / edge
        colour = (
            round(top + (bottom - top) * share)
            for top, bottom in zip(BACKGROUND_TOP, BACKGROUND_BOTTOM, strict=True)
        )
        pen.line([(0, row), (edge, row)], fill=(*colour, 255))
    return picture


def _smooth_mask(edge: int, points: list[tuple[float, float]]) -> Image.Image:
    mask = Image.new("L", (edge, edge))
    ImageDraw.Draw(mask).polygon([(x * edge, y * edge) for x, y in points], fill=255)
    # Blurring and cutting at one half rounds the polygon's corners.
    blurred = mask.filter(ImageFilter.GaussianBlur(edge * 0.014))
    return blurred.point(lambda value: max(0, min(255, (value - 112) * 8)))


def _ellipse_mask(edge: int, box: tuple[float, float, float, float], width: float) -> Image.Image:
    mask = Image.new("L", (edge, edge))
    corners = [value * edge for value in box]
    ImageDraw.Draw(mask).ellipse(corners, outline=255, width=round(width * edge))
    return mask


def _beam(picture: Image.Image, edge: int, corners, colour: tuple[int, int, int]) -> None:
    layer = Image.new("RGBA", (edge, edge))
    pen = ImageDraw.Draw(layer)
    pen.polygon([(x * edge, y * edge) for x, y in corners], fill=(*colour, 105))
    picture.alpha_composite(layer)
    layer = Image.new("RGBA", (edge, edge))
    pen = ImageDraw.Draw(layer)
    source = tuple(value * edge for value in corners[0])
    for corner in corners[1:]:
        end = tuple(value * edge for value in corner)
        pen.line([source, end], fill=(*colour, 220), width=round(edge * 0.010))
    picture.alpha_composite(layer)


def _dot(picture: Image.Image, edge: int, x: float, y: float, radius: float, colour) -> None:
    box = [(x - radius) * edge, (y - radius) * edge, (x + radius) * edge, (y + radius) * edge]
    ImageDraw.Draw(picture).ellipse(box, fill=(*colour, 255))


def _rounded_mask(edge: int) -> Image.Image:
    mask = Image.new("L", (edge, edge))
    ImageDraw.Draw(mask).rounded_rectangle([0, 0, edge - 1, edge - 1], edge * 0.17, fill=255)
    return mask


def main() -> None:
    """Write the module's and the catalogue's icon."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, nargs="*", default=[ICON, CATALOGUE_ICON])
    for path in parser.parse_args().out:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw().save(path, optimize=True)


if __name__ == "__main__":
    main()
