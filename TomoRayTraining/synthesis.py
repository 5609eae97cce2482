"""A head to a training example: DRRs as the network will see radiographs, and its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.drr import project
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.network_io import InputSpec, OutputSpec, normalised, rectify, target_from_hu
from TomoRayCore.presets import from_preset
from TomoRayCore.regions import SKULL_HU, head_regions
from TomoRayCore.volume import Volume
from TomoRayTraining.config import DataConfig

SOFT_TISSUE_HU = 40
"""Muscle and brain; what bone is replaced by in bone-suppressed images."""


@dataclass(frozen=True)
class Example:
    """What one training step uses.

    Attributes:
        images: (V, S, S) float32, normalised, frontal first.
        target: (D, H, W) float32 in [0, 1], cranial slice first.
        mask: (D, H, W) float32, share of each voxel that was scanned.
        soft_images: As ``images``, of the head with its bone replaced by soft tissue, on the same
            scale; None where not asked for.
        region: (D, H, W) float32, 1 in the region asked for; None where none was.
    """

    images: NDArray[np.float32]
    target: NDArray[np.float32]
    mask: NDArray[np.float32]
    soft_images: NDArray[np.float32] | None = None
    region: NDArray[np.float32] | None = None


def random_geometry(
    isocentre_lps: tuple[float, float, float], config: DataConfig, random: np.random.Generator
) -> AcquisitionGeometry:
    """Return the experiment's views with a random source distance."""
    sad_mm = float(random.uniform(*config.sad_mm))
    return from_preset(
        isocentre_lps=isocentre_lps,
        views=config.views,
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
    *,
    soft_images: bool = False,
    region: str = "",
    images: NDArray[np.float32] | None = None,
) -> Example:
    """Project a canonical volume and average it to the network's grid about the isocentre.

    The volume's grid must be the network's, finer by a whole factor.

    Args:
        volume: The head.
        mask: (D, H, W), what was scanned.
        geometry: The views.
        input_spec: What the network sees.
        output_spec: What it gives.
        soft_images: Make the bone-suppressed images too.
        region: A key of ``regions.head_regions``, or nothing.
        images: (V, S, S) to show instead of DRRs.
    """
    flat = []
    if images is None or soft_images:
        flat = rectified(project(volume, geometry), geometry, input_spec)
    factor = volume.shape[0] // output_spec.network_size
    coarse_hu = block_means(volume.array_hu, factor)
    soft = None
    if soft_images:
        without = rectified(project(bone_suppressed(volume), geometry), geometry, input_spec)
        soft = np.stack([normalised(a, like=b) for a, b in zip(without, flat, strict=True)])
    inside = None
    if region:
        found = head_regions(coarse_hu, output_spec.network_spacing_mm)[region]
        inside = np.ascontiguousarray(found[::-1], np.float32)
    return Example(
        images=np.stack([normalised(image) for image in flat]) if images is None else images,
        target=target_from_hu(coarse_hu, output_spec),
        mask=np.ascontiguousarray(block_means(mask, factor)[::-1]),
        soft_images=soft,
        region=inside,
    )


def bone_suppressed(volume: Volume) -> Volume:
    """Return the head with soft tissue in the place of bone.

    What dual-energy radiography leaves of a film: bone loses its contrast, not its thickness.
    """
    soft_hu = volume.array_hu.copy()
    soft_hu[soft_hu >= SKULL_HU] = SOFT_TISSUE_HU
    return Volume(soft_hu, volume.ijk_to_lps)


def rectified(
    images: Sequence[NDArray[np.float32]], geometry: AcquisitionGeometry, spec: InputSpec
) -> list[NDArray[np.float32]]:
    """Return every view as if its film stood in the isocentre's plane, in line integrals."""
    return [
        rectify(image, view, geometry.isocentre_lps, spec)
        for image, view in zip(images, geometry.views, strict=True)
    ]


def block_means(array: NDArray[np.generic], factor: int) -> NDArray[np.float32]:
    """Average cubes of ``factor`` voxels: (D, H, W) to (D, H, W) / factor."""
    d, h, w = (n // factor for n in array.shape)
    blocks = array.reshape(d, factor, h, factor, w, factor)
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))
