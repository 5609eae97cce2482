"""What a training example shows: DRRs, DRRs made realistic, or the head's own radiographs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.checks import kind_of_view
from TomoRayCore.errors import InputError
from TomoRayCore.film_geometry import geometry_of_films
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.harmonise import ViewReference, cleaned
from TomoRayCore.io.radiograph_io import read_radiograph
from TomoRayCore.network_io import InputSpec, network_images
from TomoRayCore.presets import from_preset
from TomoRayCore.provenance import read_geometry
from TomoRayCore.radiograph import Radiograph
from TomoRayTraining.cases import Case
from TomoRayTraining.config import DataConfig


def cases_with_films(cases: Sequence[Case], config: DataConfig) -> list[Case]:
    """Return the cases that have a radiograph of each of the experiment's views.

    Raises:
        InputError: ``BAD_CASES`` when there are none.
    """
    wanted = {kind_of_view(view) for view in config.views}
    found = [case for case in cases if wanted <= {kind_of_view(view) for view in case.films}]
    if not found:
        raise InputError(
            "BAD_CASES",
            f"No case names radiographs of the views {', '.join(config.views)}.",
            "Fill in the columns ap (or pa) and lat of the case table, or set data.images to drr.",
        )
    return found


def films_of(
    case: Case, config: DataConfig, centre_lps: tuple[float, float, float]
) -> tuple[list[Radiograph], AcquisitionGeometry]:
    """Return a case's radiographs, in the order of the views, and their geometry.

    The geometry is the case's file's; else what the radiographs state (a DRR's in full, a DICOM
    file's spacing and distances), completed by the experiment's arrangement about the CT's centre.

    Raises:
        InputError: For radiographs or a geometry that cannot be used, ``SPACING_UNKNOWN`` among
            them.
    """
    by_kind = {kind_of_view(view): (view, path) for view, path in case.films.items()}
    radiographs = [
        cached_radiograph(path, view)
        for view, path in (by_kind[kind_of_view(label)] for label in config.views)
    ]
    stated = None
    if case.film_geometry is not None:
        stated = read_geometry(case.film_geometry)
    elif all(radiograph.acquisition is not None for radiograph in radiographs):
        stated = radiographs[0].acquisition
    if stated is None:
        like = from_preset(
            isocentre_lps=centre_lps,
            views=config.views,
            sad_mm=sum(config.sad_mm) / 2,
            sdd_mm=sum(config.sad_mm) / 2 * config.sdd_over_sad,
        )
        return radiographs, geometry_of_films(radiographs, like)[0]
    views = tuple(stated.view(r.view).resized(r.shape) for r in radiographs)
    return radiographs, AcquisitionGeometry(stated.name, stated.isocentre_lps, views)


@lru_cache(maxsize=512)
def cached_radiograph(path: Path, view: str) -> Radiograph:
    """Read a radiograph once per process."""
    return read_radiograph(path, view)


def film_images(
    films: Sequence[NDArray[np.float32]],
    geometry: AcquisitionGeometry,
    spec: InputSpec,
    references: Sequence[ViewReference],
) -> NDArray[np.float32]:
    """Return (V, S, S) as reconstruction prepares films: harmonised where there are references."""
    if references:
        films = [cleaned(film).pixels for film in films]
    return network_images(list(films), geometry, spec, references)
