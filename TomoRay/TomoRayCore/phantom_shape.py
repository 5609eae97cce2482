"""What varies between procedural heads, and what stays: labels and CT numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LABELS: dict[str, int] = {
    "outside air": 0,
    "skin": 1,
    "fat": 2,
    "muscle": 3,
    "compact bone": 4,
    "spongy bone": 5,
    "tooth": 6,
    "cerebrospinal fluid": 7,
    "ventricle": 8,
    "white matter": 9,
    "grey matter": 10,
    "cerebellum and brain stem": 11,
    "dura": 12,
    "eye": 13,
    "air space": 14,
    "cartilage and disc": 15,
    "spinal cord": 16,
    "haemorrhage": 17,
    "shunt": 18,
}
"""Label map values of ``Phantom.labels``."""

HU: dict[str, float] = {
    "air": -1000.0,
    "skin": 30.0,
    "fat": -95.0,
    "muscle": 55.0,
    "compact": 1450.0,
    "diploe": 620.0,
    "spongy": 330.0,
    "petrous": 1650.0,
    "suture": 250.0,
    "enamel": 2300.0,
    "dentine": 1500.0,
    "csf": 8.0,
    "white": 28.0,
    "grey": 38.0,
    "cerebellum": 36.0,
    "dura": 58.0,
    "eye": 15.0,
    "lens": 75.0,
    "mucosa": 45.0,
    "cartilage": 110.0,
    "disc": 85.0,
    "cord": 34.0,
    "blood": 68.0,
    "oedema": 18.0,
    "shunt": 900.0,
}
"""Typical CT numbers near 120 kV, in HU; textbook values, rounded."""


@dataclass(frozen=True)
class Shape:
    """One head's numbers. Factors are relative to the template; lengths in mm.

    Attributes:
        width, length, height: Size factors along x, y, z.
        skull_mm: Thickness of the vault at the parietal eminence.
        density: Factor on the HU of bone.
        scalp_mm: Skin plus fat over the vault.
        cheeks: Factor on the breadth of the face's soft tissue.
        neck: Factor on the neck's radii.
        shoulder_top_mm: Template z that the shoulders reach; low values lie outside the grid.
        jaw_drop_mm: How much longer than the template's the lower face is.
        jaw_width: Factor on the breadth of the mandible.
        nose_mm: How much farther than the template's the tip of the nose stands out.
        frontal_sinus, maxillary_sinus, sphenoid_sinus, mastoid_cells: Factors on their size.
        septum_mm: Deviation of the nasal septum, signed.
        airway: Factor on the pharynx's radius.
        teeth: Share of the teeth that are present.
        ventricles: Factor on the width of the lateral ventricles.
        atrophy_mm: Width of the fluid between brain and skull.
        canting: Left-right difference in the size of paired sinuses, signed share.
        undulation_mm: Amplitude of the skull's random irregularity.
    """

    width: float
    length: float
    height: float
    skull_mm: float
    density: float
    scalp_mm: float
    cheeks: float
    neck: float
    shoulder_top_mm: float
    jaw_drop_mm: float
    jaw_width: float
    nose_mm: float
    frontal_sinus: float
    maxillary_sinus: float
    sphenoid_sinus: float
    mastoid_cells: float
    septum_mm: float
    airway: float
    teeth: float
    ventricles: float
    atrophy_mm: float
    canting: float
    undulation_mm: float


def draw_shape(rng: np.random.Generator) -> Shape:
    """Return a random adult head."""

    def around(middle: float, spread: float) -> float:
        return round(middle + spread * float(np.clip(rng.normal(), -2, 2)) / 2, 4)

    size = around(0.0, 0.04)
    return Shape(
        width=around(1.0, 0.05) + size,
        length=around(1.0, 0.04) + size,
        height=around(1.0, 0.03) + size,
        skull_mm=around(6.4, 1.8),
        density=around(1.0, 0.13),
        scalp_mm=around(5.5, 2.2),
        cheeks=around(1.0, 0.1),
        neck=around(1.0, 0.14),
        shoulder_top_mm=around(-122.0, 24.0),
        jaw_drop_mm=around(-1.0, 6.0),
        jaw_width=around(1.0, 0.08),
        nose_mm=around(0.0, 5.0),
        frontal_sinus=around(1.0, 0.4),
        maxillary_sinus=around(1.0, 0.14),
        sphenoid_sinus=around(1.0, 0.25),
        mastoid_cells=around(1.0, 0.3),
        septum_mm=around(0.0, 4.0),
        airway=around(1.0, 0.3),
        teeth=float(rng.choice([1.0, 1.0, 0.9, 0.75, 0.4])),
        ventricles=around(1.0, 0.35),
        atrophy_mm=around(2.6, 1.6),
        canting=around(0.0, 0.15),
        undulation_mm=around(0.7, 0.4),
    )
