"""Between images in the world and the arrays that a network sees.

A network sees every radiograph as if its film stood in the isocentre's plane: a square of
``field_mm`` about the isocentre in ``size`` pixels. Films of any distance, spacing and size are
brought to that, so a pixel column and the voxel column at the isocentre have the same place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry
from TomoRayCore.harmonise import ViewReference, matched
from TomoRayCore.volume import Volume, canonical_grid

LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5
MAX_SIZE = 512
"""Pixels or voxels along an edge; more is a damaged description, not a network for heads."""

MAX_FIELD_MM = 2000.0
TOP = 1.25
"""Largest normalised value: dental metal and burnt-in letters do not squeeze the rest."""


@dataclass(frozen=True)
class InputSpec:
    """What a network expects of its images.

    Attributes:
        size: Pixels along an edge.
        field_mm: Edge of the square seen in the isocentre's plane.
    """

    size: int = 128
    field_mm: float = 256.0

    def __post_init__(self) -> None:
        if not (16 <= self.size <= MAX_SIZE and 1 <= self.field_mm <= MAX_FIELD_MM):
            raise _bad_spec(f"an input of {self.size} pixels and {self.field_mm:g} mm")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, with the normalisation spelt out."""
        return {
            "size": self.size,
            "field_mm": self.field_mm,
            "normalisation": f"(x - p{LOW_PERCENTILE}) / (p{HIGH_PERCENTILE} - p{LOW_PERCENTILE})"
            f", clipped to [0, {TOP}]",
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> InputSpec:
        """Read what ``to_dict`` wrote."""
        return InputSpec(int(data["size"]), float(data["field_mm"]))


@dataclass(frozen=True)
class OutputSpec:
    """What a network's output means, and what users get of it.

    Attributes:
        network_size: Voxels along an edge of the network's cube.
        network_spacing_mm: Their size.
        size: Voxels along an edge of the sCT.
        spacing_mm: Their size.
        hu_window: HU of output 0 and of output 1.
    """

    network_size: int
    network_spacing_mm: float
    size: int
    spacing_mm: float
    hu_window: tuple[float, float] = (-1000.0, 1500.0)

    def __post_init__(self) -> None:
        cubes = ((self.network_size, self.network_spacing_mm), (self.size, self.spacing_mm))
        for size, spacing_mm in cubes:
            if not (1 <= size <= MAX_SIZE and 0.01 <= spacing_mm <= MAX_FIELD_MM / size):
                raise _bad_spec(f"a cube of {size} voxels of {spacing_mm:g} mm")
        low, high = self.hu_window
        if not -32768 <= low < high <= 32767:
            raise _bad_spec(f"a window from {low:g} to {high:g} HU")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "network_size": self.network_size,
            "network_spacing_mm": self.network_spacing_mm,
            "size": self.size,
            "spacing_mm": self.spacing_mm,
            "hu_window": list(self.hu_window),
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> OutputSpec:
        """Read what ``to_dict`` wrote."""
        low, high = data["hu_window"]
        return OutputSpec(
            int(data["network_size"]),
            float(data["network_spacing_mm"]),
            int(data["size"]),
            float(data["spacing_mm"]),
            (float(low), float(high)),
        )


def rectify(
    pixels: NDArray[np.float32],
    view: ViewGeometry,
    isocentre_lps: tuple[float, float, float],
    spec: InputSpec,
) -> NDArray[np.float32]:
    """Return what the film shows, (size, size), as if it stood in the isocentre's plane.

    Finer films are smoothed before sampling, so that nothing aliases. Where the square reaches
    beyond the film, the film's low percentile (air) is filled in.
    """
    step_mm = spec.field_mm / spec.size
    offsets = (np.arange(spec.size) - (spec.size - 1) / 2) * step_mm
    points = (
        np.array(isocentre_lps)
        + offsets[:, None, None] * np.array(view.v)
        + offsets[None, :, None] * np.array(view.u)
    )
    positions = view.project_points(points)  # (size, size, 2): row, column on the film
    per_pixel = np.abs(positions[-1, -1] - positions[0, 0]) / (spec.size - 1)
    sigma = np.maximum(0.0, (per_pixel - 1) / 2)
    smooth = ndimage.gaussian_filter(pixels, sigma) if sigma.any() else pixels
    air = float(np.percentile(pixels, LOW_PERCENTILE))
    sampled = ndimage.map_coordinates(
        smooth, positions.transpose(2, 0, 1), order=1, mode="constant", cval=air
    )
    return np.asarray(sampled, np.float32)


def normalised(
    image: NDArray[np.float32], like: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Map the low percentile to 0 and the high one to 1.

    Films have no calibrated scale, so none is used for DRRs either. ``like``: another image of
    the same view whose percentiles are taken, so that both keep one scale.

    Raises:
        InputError: ``CONSTANT_IMAGE`` when both percentiles coincide.
    """
    reference = image if like is None else like
    low, high = np.percentile(reference, [LOW_PERCENTILE, HIGH_PERCENTILE])
    if high <= low:
        raise InputError(
            "CONSTANT_IMAGE",
            f"Nearly every pixel in the field of view has the value {low:g}.",
            "Check that the head lies in the film and around the isocentre.",
        )
    scaled = (image - np.float32(low)) / np.float32(high - low)
    return np.asarray(np.clip(scaled, 0, TOP), np.float32)


def network_images(
    images: list[NDArray[np.float32]],
    geometry: AcquisitionGeometry,
    spec: InputSpec,
    references: Sequence[ViewReference | None] = (),
) -> NDArray[np.float32]:
    """Return (V, size, size): every view rectified and normalised, in the geometry's order.

    ``references``: where not None, the view is a cleaned film, and its values are matched to
    these line integrals first.
    """
    ready = []
    for place, (image, view) in enumerate(zip(images, geometry.views, strict=True)):
        flat = rectify(image, view, geometry.isocentre_lps, spec)
        reference = references[place] if references else None
        ready.append(normalised(flat if reference is None else matched(flat, reference)))
    return np.stack(ready)


def view_matrices(
    geometry: AcquisitionGeometry, input_spec: InputSpec, output_spec: OutputSpec
) -> NDArray[np.float32]:
    """Return (V, 3, 4): from places in the network's cube to places on the rectified images.

    A place in the cube is (x, y, z, 1): x from the patient's right to left, y from anterior to
    posterior, z from superior to inferior, each -1 to 1 between the cube's faces about the
    isocentre. Its image is (column * w, row * w, w) with column and row from -1 to 1 between the
    edges of the square of ``rectify``; w is 1 in the isocentre's plane and less nearer to the
    source, so features can be sampled along the true rays of any acquisition.
    """
    half_cube_mm = output_spec.network_size * output_spec.network_spacing_mm / 2
    to_world_mm = np.diag([half_cube_mm, half_cube_mm, -half_cube_mm])  # about the isocentre
    matrices = []
    for view in geometry.views:
        source = np.array(view.source_lps) - geometry.isocentre_lps
        along, down, sad_mm = np.array(view.u), np.array(view.v), view.normal @ source
        if view.beam == "parallel":
            depth = np.array([0.0, 0.0, 0.0, 1.0])
            column, row = np.append(along, 0.0), np.append(down, 0.0)
        else:
            depth = np.append(-view.normal / sad_mm, 1.0)
            column = np.append(along, -along @ source) + (along @ source) * depth
            row = np.append(down, -down @ source) + (down @ source) * depth
        in_world = np.stack(
            [2 * column / input_spec.field_mm, 2 * row / input_spec.field_mm, depth]
        )
        matrices.append(np.hstack([in_world[:, :3] @ to_world_mm, in_world[:, 3:]]))
    return np.stack(matrices).astype(np.float32)


def orthographic_matrices(views: int = 2) -> NDArray[np.float32]:
    """Return (V, 3, 4) for a frontal and a lateral parallel beam that fill the images."""
    frontal = [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    lateral = [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    return np.array([frontal, lateral][:views], np.float32)


def target_from_hu(volume_hu: NDArray[np.generic], spec: OutputSpec) -> NDArray[np.float32]:
    """Return a canonical (D, H, W) volume as the network should give it: cranial first, [0, 1]."""
    low, high = spec.hu_window
    scaled = (np.asarray(volume_hu, np.float32) - np.float32(low)) / np.float32(high - low)
    return np.ascontiguousarray(np.clip(scaled, 0, 1)[::-1])


def volume_from_output(
    output: NDArray[np.float32], spec: OutputSpec, isocentre_lps: tuple[float, float, float]
) -> Volume:
    """Return the network's (S, S, S) output in HU, on its own grid about the isocentre.

    Raises:
        InputError: ``MODEL_MISMATCH`` when S is not ``spec.network_size``.
    """
    if output.shape != (spec.network_size,) * 3:
        raise InputError(
            "MODEL_MISMATCH",
            f"The network gives {output.shape} voxels, its description says {spec.network_size}^3.",
            "Get the model file again, or correct its description.",
        )
    low, high = spec.hu_window
    volume_hu = np.clip(output[::-1], 0, 1) * np.float32(high - low) + np.float32(low)
    grid = canonical_grid(isocentre_lps, spec.network_size, spec.network_spacing_mm)
    return Volume(volume_hu, grid.ijk_to_lps)


def _bad_spec(what: str) -> InputError:
    return InputError(
        "BAD_SPEC", f"No network for heads has {what}.", "Correct the model's description."
    )
