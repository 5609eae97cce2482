"""A radiograph as the file that the worker reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from TomoRayCore.io.drr_file import QUANTITY_KEY, VIEW_KEY, DrrHeader
from TomoRayCore.radiograph import Radiograph


def writeRadiograph(path: Path, radiograph: Radiograph) -> None:
    """Write a two-dimensional float32 NRRD file with all that the radiograph states.

    Args:
        path: Ends in ``.nrrd``.
        radiograph: A DRR, or an image whose pixel spacing is known.
    """
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.array(radiograph.pixels))
    if radiograph.pixel_spacing_mm is not None:
        rowMm, columnMm = radiograph.pixel_spacing_mm
        image.SetSpacing((columnMm, rowMm))
    for key, text in _header(radiograph).items():
        image.SetMetaData(key, text)
    SimpleITK.WriteImage(image, str(path))


def radiographFile(radiograph: Radiograph) -> str:
    """Return the name of a radiograph's file in a job's folder."""
    return f"{radiograph.view.lower()}.nrrd"


def _header(radiograph: Radiograph) -> dict[str, str]:
    if radiograph.acquisition is None:
        return {VIEW_KEY: radiograph.view, QUANTITY_KEY: radiograph.quantity}
    header = DrrHeader(radiograph.view, radiograph.quantity, radiograph.acquisition)
    return header.to_keys()
