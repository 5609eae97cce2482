"""A radiograph as the file that the worker reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from TomoRayCore.io.radiograph_io import write_drr
from TomoRayCore.radiograph import Radiograph


def writeRadiograph(path: Path, radiograph: Radiograph) -> None:
    """Write a two-dimensional NRRD file with all that the radiograph states.

    Args:
        path: Ends in ``.nrrd``.
        radiograph: A DRR with its acquisition, or an image whose pixel spacing is known.
    """
    if radiograph.acquisition is not None and radiograph.quantity == "line_integral":
        write_drr(path, np.array(radiograph.pixels), radiograph.acquisition, radiograph.view)
        return
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.array(radiograph.pixels))
    if radiograph.pixel_spacing_mm is not None:
        rowMm, columnMm = radiograph.pixel_spacing_mm
        image.SetSpacing((columnMm, rowMm))
    image.SetMetaData("tomoray_view", radiograph.view)
    image.SetMetaData("tomoray_quantity", radiograph.quantity)
    SimpleITK.WriteImage(image, str(path))


def radiographFile(radiograph: Radiograph) -> str:
    """Return the name of a radiograph's file in a job's folder."""
    return f"{radiograph.view.lower()}.nrrd"
