"""A procedural head phantom: a CT of nobody, with its labels, drawn from a seed.

It is made of signed-distance shapes (``phantom_canvas``) placed like the anatomy of an adult
(``phantom_bone``, ``phantom_soft``), varied in shape, size, asymmetry, pose and pathology
(``phantom_shape``). No patient's data is in it. It is for testing, for trying the software and
as training data of a first model; it is not a model of any population.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.coordinates import Affine, transform_points
from TomoRayCore.errors import InputError
from TomoRayCore.phantom_bone import (
    paint_base,
    paint_mandible,
    paint_spine,
    paint_teeth,
    paint_vault,
)
from TomoRayCore.phantom_canvas import Canvas, Field, Point
from TomoRayCore.phantom_face import paint_airway, paint_face, paint_orbits, paint_sinuses
from TomoRayCore.phantom_shape import LABELS, Shape, draw_shape
from TomoRayCore.phantom_soft import (
    endocranium,
    paint_body,
    paint_brain,
    paint_haemorrhage,
    paint_shunt,
    vault_thickness,
)
from TomoRayCore.volume import AIR_HU, Volume, canonical_grid

__all__ = ["LABELS", "PATHOLOGIES", "Phantom", "make_phantom"]

PATHOLOGIES = ("ventriculomegaly", "haemorrhage", "shunt")

TEMPLATE_VERTEX: Point = (0.0, 9.0, 102.0)
"""Highest point of the template's cranial cavity; skull and scalp lie over it."""

GAP_OVER_VERTEX_MM = 10.0
"""Air between the vertex and the grid's top."""

NOISE_HU = 4.0
"""Standard deviation of the white noise inside the body, as in a smooth reconstruction."""


@dataclass(frozen=True, eq=False)
class Phantom:
    """A procedural head.

    Attributes:
        ct: int16 HU on a canonical grid centred at world (0, 0, 0).
        labels: (D, H, W) uint8, values of ``LABELS``.
        parameters: Seed, shape, pose and pathology that it was made from, as plain JSON types.
    """

    ct: Volume
    labels: NDArray[np.uint8]
    parameters: Mapping[str, Any]


def make_phantom(
    seed: int = 0,
    size: int = 128,
    spacing_mm: float = 2.0,
    pathology: str | None = None,
    *,
    pose_deg: tuple[float, float, float] | None = None,
    noise_hu: float = NOISE_HU,
) -> Phantom:
    """Return the head that belongs to a seed.

    The same seed gives the same head at every voxel size and with every pathology, and the same
    bytes when called again. The vertex lies about 10 mm under the grid's top; at the usual 256 mm
    the neck runs through the grid's bottom.

    Args:
        seed: Any integer from 0.
        size: Voxels per edge of the cubic grid, 16 to 512.
        spacing_mm: Voxel size in mm, 0.25 to 16.
        pathology: None, one of ``PATHOLOGIES``, or ``random`` (a fifth of the heads is normal).
        pose_deg: (pitch, yaw, roll) in degrees about x, z, y; None draws a few degrees.
        noise_hu: Standard deviation of the noise inside the body in HU.

    Raises:
        InputError: ``BAD_PHANTOM`` for numbers out of range or an unknown pathology.
    """
    if not (seed >= 0 and 16 <= size <= 512 and 0.25 <= spacing_mm <= 16 and noise_hu >= 0):
        raise InputError(
            "BAD_PHANTOM",
            f"Seed {seed}, size {size}, spacing {spacing_mm:g} mm, noise {noise_hu:g} HU are not "
            "all in range.",
            "Use a seed from 0, a size from 16 to 512, a spacing from 0.25 to 16 mm.",
        )
    # One stream per question, so that no answer shifts the others.
    streams = [np.random.default_rng([seed, n]) for n in range(6)]
    shape = draw_shape(streams[0])
    pathology = _pathology(pathology, streams[1])
    grid = canonical_grid((0.0, 0.0, 0.0), size, spacing_mm)
    pose = _pose(pose_deg, streams[2])
    to_world = _template_to_world(shape, pose, grid.extent_ijk_mm[2] / 2 - GAP_OVER_VERTEX_MM)
    canvas = Canvas(grid, to_world, _asymmetry(streams[2]))
    notes = _paint(canvas, shape, pathology, streams[3], streams[4])
    hu = _finished(canvas, noise_hu, streams[5])
    parameters: dict[str, Any] = {
        "seed": int(seed),
        "pathology": pathology,
        "pose": pose,
        "shape": asdict(shape),
        **notes,
    }
    ct = Volume(hu, grid.ijk_to_lps, {"tomoray_phantom": f"seed {seed}"})
    canvas.labels.setflags(write=False)
    return Phantom(ct, canvas.labels, MappingProxyType(parameters))


def _pathology(name: str | None, rng: np.random.Generator) -> str | None:
    if name == "random":
        return None if rng.random() < 0.2 else str(rng.choice(PATHOLOGIES))
    if name is not None and name not in PATHOLOGIES:
        raise InputError(
            "BAD_PHANTOM",
            f"The pathology {name!r} is not known.",
            f"Use none, 'random', or one of {', '.join(PATHOLOGIES)}.",
        )
    return name


def _pose(
    pose_deg: tuple[float, float, float] | None, rng: np.random.Generator
) -> dict[str, float]:
    drawn = np.clip(rng.normal(size=5), -2, 2) * [2.5, 2.0, 1.5, 2.0, 2.0]
    if pose_deg is not None:
        drawn[:3] = pose_deg
    names = ("pitch_deg", "yaw_deg", "roll_deg", "shift_x_mm", "shift_y_mm")
    return {name: round(float(value), 4) for name, value in zip(names, drawn, strict=True)}


def _template_to_world(shape: Shape, pose: Mapping[str, float], top_mm: float) -> Affine:
    pitch, yaw, roll = (np.deg2rad(pose[k]) for k in ("pitch_deg", "yaw_deg", "roll_deg"))
    cx, sx, cz, sz, cy, sy = *_cs(pitch), *_cs(yaw), *_cs(roll)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    affine = np.eye(4)
    size = np.diag([shape.width, shape.length, shape.height])
    affine[:3, :3] = about_z @ about_y @ about_x @ size
    affine[:2, 3] = pose["shift_x_mm"], pose["shift_y_mm"]
    over_mm = shape.height * (shape.skull_mm + shape.scalp_mm)
    affine[2, 3] = top_mm - transform_points(affine, TEMPLATE_VERTEX)[2] - over_mm
    return affine


def _cs(angle: float) -> tuple[float, float]:
    return float(np.cos(angle)), float(np.sin(angle))


def _asymmetry(rng: np.random.Generator) -> list[tuple[Point, float, Point]]:
    """Slow plane waves that bend the head by a few millimetres."""
    waves = []
    for _ in range(4):
        heading = rng.normal(size=3)
        heading *= 2 * np.pi / rng.uniform(130, 260) / np.linalg.norm(heading)
        amplitude = rng.normal(size=3) * 0.6
        waves.append((_triple(heading), float(rng.uniform(0, 2 * np.pi)), _triple(amplitude)))
    return waves


def _triple(array: NDArray[np.float64]) -> Point:
    x, y, z = (float(c) for c in array)
    return x, y, z


def _paint(
    canvas: Canvas,
    shape: Shape,
    pathology: str | None,
    rng: np.random.Generator,
    disease: np.random.Generator,
) -> dict[str, Any]:
    """Paint everything, outside in; later tissue replaces earlier. Return what was drawn."""
    notes: dict[str, Any] = {}
    widening = float(disease.uniform(1.8, 2.6))
    ventricles = shape.ventricles
    if pathology == "ventriculomegaly":
        ventricles = widening
    elif pathology == "shunt":
        ventricles = 0.5 * (1 + widening)
    notes["ventricle_width"] = round(ventricles, 4)
    cavity = endocranium(canvas.whole, shape, canvas.voxel_mm, rng)
    thickness = vault_thickness(canvas.whole, shape)
    outline = paint_body(canvas, cavity - thickness, shape, rng)
    paint_vault(canvas, cavity, thickness, shape, rng)
    paint_brain(canvas, cavity, shape, rng, ventricles)
    paint_base(canvas, shape, rng)
    paint_face(canvas, shape)
    paint_sinuses(canvas, shape, rng)
    paint_orbits(canvas, shape)
    paint_mandible(canvas, shape)
    paint_airway(canvas, shape)
    notes["teeth"] = paint_teeth(canvas, shape, rng)
    paint_spine(canvas, shape)
    if pathology == "haemorrhage":
        notes["haemorrhage"] = paint_haemorrhage(canvas, cavity, disease)
    elif pathology == "shunt":
        notes["shunt_side"] = paint_shunt(canvas, outline, disease)
    return notes


def _finished(canvas: Canvas, noise_hu: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """Add noise inside the body and round; the air around stays exactly -1000."""
    noise = rng.standard_normal(canvas.hu.shape, dtype=np.float32) * noise_hu
    hu: Field = np.where(canvas.hu > AIR_HU, canvas.hu + noise, canvas.hu)
    return np.clip(np.rint(hu), AIR_HU - 24, 3071).astype(np.int16)
