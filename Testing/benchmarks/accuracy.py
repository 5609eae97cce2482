"""Errors against a finely sampled trilinear reference in float64."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from Testing.benchmarks.scene import Scene
from Testing.Support.projector_reference import sampled_line_integrals
from TomoRayCore.geometry import ViewGeometry, as_triple

COMPARED = 128
"""Pixels compared along each edge: of larger images every n-th, because the reference is slow."""

STEP_MM = 0.1
INSIDE = 0.05
"""Line integrals above this belong to the head."""


def rmse_percent(scene: Scene, view: ViewGeometry, image: np.ndarray) -> float:
    """Return the root mean square error as a share of the mean line integral inside the head."""
    every = max(view.size[0] // COMPARED, 1)
    exact = _reference(scene, _thinned(view, every))
    error = image[::every, ::every].astype(np.float64) - exact
    return float(100 * np.sqrt(np.mean(error**2)) / exact[exact > INSIDE].mean())


def mean_rmse_percent(
    scene: Scene,
    views: tuple[ViewGeometry, ...],
    project: Callable[[ViewGeometry], np.ndarray],
) -> float:
    """Return the mean of ``rmse_percent`` over views."""
    return float(np.mean([rmse_percent(scene, view, project(view)) for view in views]))


def _thinned(view: ViewGeometry, every: int) -> ViewGeometry:
    """Return the view whose pixels are the first, the (1 + n)-th, ... of each edge."""
    rows, columns = (len(range(0, n, every)) for n in view.size)
    (row_mm, column_mm), (all_rows, all_columns) = view.pixel_spacing_mm, view.size
    down = ((rows - 1) * every - (all_rows - 1)) / 2 * row_mm
    along = ((columns - 1) * every - (all_columns - 1)) / 2 * column_mm
    centre = np.array(view.detector_centre_lps) + down * np.array(view.v) + along * np.array(view.u)
    return replace(
        view,
        size=(rows, columns),
        pixel_spacing_mm=(row_mm * every, column_mm * every),
        detector_centre_lps=as_triple(centre),
    )


def _reference(scene: Scene, view: ViewGeometry) -> np.ndarray:
    """Return the reference of a view, from the cache if it was calculated before."""
    what = f"{view.to_dict()} {STEP_MM}".encode() + scene.volume.array_hu.tobytes()
    path = scene.folder / f"reference_{hashlib.sha256(what).hexdigest()[:16]}.npy"
    if not path.exists():
        np.save(path, sampled_line_integrals(scene.mu_per_mm, scene.grid, view, STEP_MM))
    return np.load(path, allow_pickle=False)
