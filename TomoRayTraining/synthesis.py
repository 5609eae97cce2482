"""A head to a training example: DRRs as the network will see radiographs, and its target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.drr import project
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.network_io import InputSpec, OutputSpec, network_images, target_from_hu
from TomoRayCore.presets import from_preset
from TomoRayCore.volume import Volume
from TomoRayTraining.config import DataConfig


@dataclass(frozen=True)
class Example:
    """What one training step uses.

    Attributes:
        images: (V, S, S) float32, normalised, frontal first.
        target: (D, H, W) float32 in [0, 1], cranial slice first.
        mask: (D, H, W) float32, share of each voxel that was scanned.
    """

    images: NDArray[np.float32]
    target: NDArray[np.float32]
    mask: NDArray[np.float32]


def random_geometry(
    isocentre_lps: tuple[float, float, float], config: DataConfig, random: np.random.Generator
) -> AcquisitionGeometry:
    """Return frontal and lateral views with a random source distance."""
    sad_mm = float(random.uniform(*config.sad_mm))
    return from_preset(
        isocentre_lps=isocentre_lps,
        size=config.detector_size,
        sad_mm=sad_mm,
        sdd_mm=sad_mm * config.sdd_over_sad,
    )


def make_example(
    volume: Volume,
    mask: NDArray[np.bool_],
    geometry: AcquisitionGeometry,
    input_spec: InputSpec,
    output_spec: OutputSpec,
) -> Example:
    """Project a canonical volume and average it to the network's grid about the isocentre.

    The volume's grid must be the network's, finer by a whole factor.
    """
    images = network_images(project(volume, geometry), geometry, input_spec)
    factor = volume.shape[0] // output_spec.network_size
    return Example(
        images=images,
        target=target_from_hu(block_means(volume.array_hu, factor), output_spec),
        mask=np.ascontiguousarray(block_means(mask, factor)[::-1]),
    )


def block_means(array: NDArray[np.generic], factor: int) -> NDArray[np.float32]:
    """Average cubes of ``factor`` voxels: (D, H, W) to (D, H, W) / factor."""
    d, h, w = (n // factor for n in array.shape)
    blocks = array.reshape(d, factor, h, factor, w, factor)
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))
