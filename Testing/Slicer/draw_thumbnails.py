"""Draw the thumbnails of the sample data from the samples themselves.

python Testing/Slicer/draw_thumbnails.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

from TomoRayCore.drr import project
from TomoRayCore.head import locate_head
from TomoRayCore.phantom import make_phantom
from TomoRayCore.presets import from_preset
from TomoRayCore.windows import FULL

ICONS = Path(__file__).resolve().parents[2] / "TomoRay" / "Resources" / "Icons"
SIZE = (260, 280)
SEED = 7


def main() -> None:
    """Write both thumbnails into the module's icons."""
    volume = make_phantom(seed=SEED, size=128, spacing_mm=2.0).ct
    acquisition = from_preset(isocentre_lps=locate_head(volume).isocentre_lps)
    frontal, lateral = (_grey(pixels) for pixels in project(volume, acquisition))
    middle = FULL.to_uint8(volume.array_hu[::-1, :, volume.shape[2] // 2])
    _thumbnail([middle]).save(ICONS / "TomoRayPhantomCT.png", optimize=True)
    pair = _thumbnail([frontal, lateral])
    pair.save(ICONS / "TomoRayPhantomRadiographs.png", optimize=True)


def _grey(pixels: np.ndarray) -> np.ndarray:
    low, high = np.percentile(pixels, [0.5, 99.8])
    return np.rint(np.clip((pixels - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _thumbnail(pictures: list[np.ndarray]) -> Image.Image:
    """Return the pictures below each other, as large as the thumbnail allows, on black."""
    thumbnail = Image.new("L", SIZE)
    height = SIZE[1] // len(pictures)
    for index, pixels in enumerate(pictures):
        picture = Image.fromarray(pixels)
        scale = min(SIZE[0] / picture.width, height / picture.height)
        picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
        thumbnail.paste(picture, ((SIZE[0] - picture.width) // 2, index * height))
    return thumbnail


if __name__ == "__main__":
    main()
