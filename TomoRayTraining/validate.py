"""Scores during training: fast, on the validation patients, never on the test patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from TomoRayCore.drr import project
from TomoRayCore.errors import InputError
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
from TomoRayTraining.specs import specs_of


def validation(cases: Sequence[Case], config: Config) -> Callable[[nn.Module], dict[str, float]]:
    """Return a scorer of networks: masked MAE in HU and PSNR on the network's own grid."""
    input_spec, output_spec = specs_of(config)
    prepared = []
    for case in cases:
        ct = read_volume(case.ct)
        geometry = from_preset(isocentre_lps=ct.grid.centre_lps, views=config.data.views)
        images = network_images(project(ct, geometry), geometry, input_spec)
        inputs = (images, view_matrices(geometry, input_spec, output_spec))
        fine = about_centre(ct, output_spec)
        prepared.append((inputs, ct.grid.centre_lps, fine, scanned_slices(fine)))
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


def about_centre(ct: Volume, spec: OutputSpec) -> Volume:
    """Return a head on the sCT's grid about its volume's centre."""
    return resample(ct, canonical_grid(ct.grid.centre_lps, spec.size, spec.spacing_mm))
