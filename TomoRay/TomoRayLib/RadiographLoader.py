"""Radiograph files into the scene, read by the engine and never by the application's readers.

Those drop what matters here: the view, the detector spacing, whether bone is bright.
"""

from __future__ import annotations

from pathlib import Path

from TomoRayCore.io.radiograph_io import read_radiograph
from TomoRayLib import MRMLBridge

FILE_FILTER = "Radiographs (*.dcm *.png *.tif *.tiff *.jpg *.jpeg *.nrrd *.mha);;All files (*)"


def loadRadiograph(
    path: str | Path, view: str, spacingMm: float | None = None, invert: bool = False
):
    """Read a PNG, TIFF, JPEG, DICOM, NRRD or MHA file and return the new volume node.

    Args:
        path: The file.
        view: ``AP``, ``PA`` or ``LAT``.
        spacingMm: Detector pixel spacing where the file does not state it.
        invert: Swap black and white; needed where bone is dark.

    Raises:
        InputError: For a file that is not a radiograph.
    """
    path = Path(path)
    radiograph = read_radiograph(path, view, spacing_mm=spacingMm or None, invert=invert)
    return MRMLBridge.nodeFromRadiograph(radiograph, f"{path.stem} {radiograph.view}")
