"""Scores during training: fast, on the validation patients, never on the test patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from TomoRayCore.drr import project
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.harmonise import ViewReference
from TomoRayCore.inference import run_network
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.network_io import (
    OutputSpec,
    network_images,
    view_matrices,
    volume_from_output,
)
from TomoRayCore.presets import from_preset
from TomoRayCore.resample import resample
from TomoRayCore.volume import Volume, canonical_grid
from TomoRayTraining.augmentation import scanned_slices
from TomoRayTraining.cases import Case
from TomoRayTraining.config import Config
from TomoRayTraining.films import cases_with_films, film_images, films_of
from TomoRayTraining.realism import realistic
from TomoRayTraining.specs import specs_of


def validation(
    cases: Sequence[Case], config: Config, references: Sequence[ViewReference] = ()
) -> Callable[[nn.Module], dict[str, float]]:
    """Return a scorer of networks: masked MAE in HU and PSNR on the network's own grid.

    Args:
        cases: Of the validation split.
        config: The experiment, whose ``data.images`` decides what is looked at.
        references: What films are matched to, from the training cases.
    """
    input_spec, output_spec = specs_of(config)
    if config.data.images == "films" and cases:
        cases = cases_with_films(cases, config.data)
    prepared = []
    for number, case in enumerate(cases):
        ct = read_volume(case.ct)
        images, geometry = shown_images(case, ct, config, references, number)
        inputs = (images, view_matrices(geometry, input_spec, output_spec))
        fine = about(ct, geometry.isocentre_lps, output_spec)
        prepared.append((inputs, geometry.isocentre_lps, fine, scanned_slices(fine)))
    if not prepared:
        raise InputError("BAD_CASES", "The validation split is empty.", "Add val cases.")

    def score(net: nn.Module) -> dict[str, float]:
        errors, psnrs = [], []
        for inputs, centre, truth, scanned in prepared:
            output = run_network(net, *inputs, torch.device("cpu"))
            sct = resample(volume_from_output(output, output_spec, centre), truth.grid)
            ours = np.clip(sct.array_hu[scanned], -1000, 1000).astype(np.float32)
            theirs = np.clip(truth.array_hu[scanned], -1000, 1000).astype(np.float32)
            errors.append(float(np.abs(ours - theirs).mean()))
            psnrs.append(float(-10 * np.log10((((ours - theirs) / 2000) ** 2).mean())))
        return {"mae_hu": float(np.mean(errors)), "psnr_db": float(np.mean(psnrs))}

    return score


def shown_images(
    case: Case, ct: Volume, config: Config, references: Sequence[ViewReference], number: int
) -> tuple[NDArray[np.float32], AcquisitionGeometry]:
    """Return what the experiment's network sees of a head that is not varied, and its geometry."""
    spec, _ = specs_of(config)
    if config.data.images == "films":
        films, geometry = films_of(case, config.data, ct.grid.centre_lps)
        return film_images([film.pixels for film in films], geometry, spec, references), geometry
    geometry = from_preset(isocentre_lps=ct.grid.centre_lps, views=config.data.views)
    drrs = project(ct, geometry)
    if config.data.images == "drr":
        return network_images(drrs, geometry, spec), geometry
    random = np.random.default_rng([config.seed, number])
    return film_images(realistic(drrs, geometry, random), geometry, spec, references), geometry


def about_centre(ct: Volume, spec: OutputSpec) -> Volume:
    """Return a head on the sCT's grid about its volume's centre."""
    return about(ct, ct.grid.centre_lps, spec)


def about(ct: Volume, centre_lps: tuple[float, float, float], spec: OutputSpec) -> Volume:
    """Return a head on the sCT's grid about a point."""
    return resample(ct, canonical_grid(centre_lps, spec.size, spec.spacing_mm))
