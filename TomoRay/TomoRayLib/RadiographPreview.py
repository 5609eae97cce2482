"""Small pictures of the chosen radiographs: a swapped or mirrored view is seen before running."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import qt

from TomoRayCore.errors import InputError
from TomoRayLib.MRMLBridge import arrayOf

HEIGHT_PIXELS = 150
DARK_PERCENTILE, BRIGHT_PERCENTILE = 0.5, 99.8


class RadiographPreview:
    """Draws one node into one label."""

    def __init__(self, label, text: str) -> None:
        self._label, self._text = label, text
        self._shown: tuple[str, int] | None = None

    def show(self, node) -> None:
        """Show a node's only slice; any other node, or None, gives the text."""
        key = (node.GetID(), node.GetMTime()) if node is not None else None
        if key is not None and key == self._shown:
            return
        self._shown = key
        pixels = _onlySlice(node)
        if pixels is None:
            self._label.clear()
            self._label.text = self._text
            return
        self._label.setPixmap(_pixmap(pixels))


def _onlySlice(node) -> np.ndarray | None:
    if node is None:
        return None
    try:
        array = arrayOf(node)
    except InputError:
        return None
    return array[0] if array.ndim == 3 and array.shape[0] == 1 else None


def _pixmap(pixels: np.ndarray):
    """Go through a file: it is the one way from numpy to Qt that all bindings share."""
    from PIL import Image

    low, high = np.nanpercentile(pixels, [DARK_PERCENTILE, BRIGHT_PERCENTILE])
    grey = np.nan_to_num((pixels - low) / max(high - low, 1e-6)).clip(0, 1) * 255
    picture = Image.fromarray(grey.astype(np.uint8))
    width = max(1, round(HEIGHT_PIXELS * picture.width / picture.height))
    with tempfile.TemporaryDirectory(prefix="TomoRay-") as folder:
        path = Path(folder) / "preview.png"
        picture.resize((width, HEIGHT_PIXELS)).save(path)
        return qt.QPixmap(str(path))
