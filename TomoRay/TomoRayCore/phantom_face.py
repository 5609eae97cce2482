"""Face of the procedural phantom: facial bones, orbits, sinuses, airway."""

from __future__ import annotations

import numpy as np

from TomoRayCore.phantom_bone import AIR, COMPACT, SIDES, SPONGY, paint_bone
from TomoRayCore.phantom_canvas import (
    Canvas,
    Field,
    Point,
    Region,
    blend_cut,
    blend_union,
    bump,
    capsule,
    chain,
    ellipsoid,
    mirrored,
    random_waves,
)
from TomoRayCore.phantom_shape import HU, LABELS, Shape

# The left side's landmarks, in template mm.
BROW: list[Point] = [(50.0, -58.0, 0.0), (44.0, -69.0, 8.0), (28.0, -79.0, 12.0), (8.0, -83.0, 5.0)]
LATERAL_RIM: list[Point] = [(50.0, -58.0, 0.0), (49.0, -57.0, -14.0), (44.0, -60.0, -27.0)]
LOWER_RIM: list[Point] = [(44.0, -60.0, -28.0), (30.0, -70.0, -29.0), (15.0, -75.0, -22.0)]
ZYGOMATIC_ARCH: list[Point] = [
    (48.0, -50.0, -30.0),
    (60.0, -34.0, -27.0),
    (64.0, -18.0, -24.0),
    (62.0, -2.0, -20.0),
]


def paint_face(canvas: Canvas, shape: Shape) -> None:
    """Paint the brow, zygomas, maxilla, nasal bones and hard palate."""
    drop = -shape.jaw_drop_mm / 2
    at = canvas.around([(0.0, -84.0, 10.0)], 62.0)
    brow = chain(
        at,
        [*(mirrored(p, -1) for p in BROW), *reversed(BROW)],
        [4.5, 5.0, 5.0, 6.0, 6.0, 5.0, 5.0, 4.5],
    )
    paint_bone(canvas, at, brow, shape, cortex_mm=2.5, core_hu=HU["diploe"])
    for side in SIDES:
        at = canvas.around([mirrored((40.0, -40.0, -25.0), side)], 48.0)
        lateral_rim = chain(
            at,
            [mirrored(p, side) for p in LATERAL_RIM],
            [4.0, 3.6, 5.0],
        )
        lower_rim = chain(
            at,
            [mirrored(p, side) for p in LOWER_RIM],
            [5.5, 3.6, 3.0],
        )
        frontal_process = chain(
            at, [mirrored(p, side) for p in ((15.0, -74.0, -24.0), (9.0, -80.0, -4.0))], [3.0, 3.2]
        )
        zygoma = ellipsoid(at, mirrored((44.0, -55.0, -33.0), side), (10.0, 8.0, 9.0))
        arch = chain(
            at,
            [mirrored(p, side) for p in ZYGOMATIC_ARCH],
            [3.2, 2.3, 2.2, 3.2],
            (1.0, 1.0, 1.7),
        )
        bones = np.minimum(np.minimum(lateral_rim, lower_rim), np.minimum(frontal_process, arch))
        paint_bone(canvas, at, blend_union(bones, zygoma, 3), shape, cortex_mm=2.2)
    at = canvas.around([(0.0, -74.0, -10.0), (0.0, -84.0, -16.0)], 22.0)
    for side in SIDES:
        nasal = capsule(
            at, mirrored((3.5, -84.0, 2.0), side), mirrored((5.0, -91.0, -19.0), side), 1.8, 1.3
        )
        canvas.fill(at, nasal, HU["compact"] * 0.8 * shape.density, COMPACT)
    at = canvas.around([(0.0, -50.0, -56.0 + drop)], 48.0)
    alveolus = _dental_arch(at, 23.0, 36.0, -36.0)
    ridge = blend_cut(np.abs(alveolus) - 5.5, np.abs(at.z - (-57.0 + drop)) - 8.0, 7)
    paint_bone(canvas, at, blend_cut(ridge, at.y + 32.0, 7), shape, cortex_mm=1.6)
    palate = np.maximum(np.maximum(alveolus, np.abs(at.z - (-51.0 + drop)) - 2.0), at.y + 26.0)
    canvas.fill(at, palate, HU["compact"] * 0.85 * shape.density, COMPACT)


def _dental_arch(at: Region, half_width: float, reach: float, back_y: float) -> Field:
    """Signed distance of the region inside a U that opens to posterior."""
    forward = np.minimum(at.y - back_y, 0)
    level = np.sqrt((at.x / half_width) ** 2 + (forward / reach) ** 2)
    distance: Field = (level - 1) * half_width
    return distance


def paint_orbits(canvas: Canvas, shape: Shape) -> None:
    """Paint the bony orbits, their fat, the eyes with lenses, muscles and optic nerves."""
    for side in SIDES:
        apex, front = mirrored((13.0, -32.0, -6.0), side), mirrored((32.0, -72.0, -9.0), side)
        at = canvas.around([apex, front], 34.0)
        cone = capsule(at, apex, front, 3.0, 18.5)
        # The opening faces forward and sideways: the lateral rim stands back.
        open_y = -79.0 + 0.52 * np.maximum(side * at.x - 12.0, 0)
        behind_rim = open_y - at.y
        canvas.fill(at, np.maximum(cone - 2.2, behind_rim), HU["compact"] * shape.density, COMPACT)
        canvas.fill(at, np.maximum(cone, behind_rim - 4), HU["fat"], LABELS["fat"])
        eye = mirrored((32.0, -65.5, -9.0), side)
        for x, z in ((9.0, 0.0), (-9.0, 0.0), (0.0, 9.0), (0.0, -9.0)):
            bulb = (eye[0] + x, eye[1] + 6.0, eye[2] + z)
            muscle = capsule(at, apex, bulb, 1.6, 2.2)
            canvas.fill(at, np.maximum(muscle, cone + 1), HU["muscle"], LABELS["muscle"])
        nerve = capsule(at, apex, (eye[0], eye[1] + 11.0, eye[2]), 2.2)
        canvas.fill(at, nerve, HU["grey"], LABELS["muscle"])
        canvas.fill(at, ellipsoid(at, eye, (12.6, 12.6, 12.6)), HU["muscle"], LABELS["eye"])
        canvas.fill(at, ellipsoid(at, eye, (11.4, 11.4, 11.4)), HU["eye"], LABELS["eye"])
        lens = ellipsoid(at, (eye[0], eye[1] - 9.0, eye[2]), (4.6, 2.2, 4.6))
        canvas.fill(at, lens, HU["lens"], LABELS["eye"])


def _paint_sinus(
    canvas: Canvas, at: Region, distance: Field, shape: Shape, wall_mm: float = 1.6
) -> None:
    canvas.fill(at, distance - wall_mm, HU["compact"] * 0.9 * shape.density, COMPACT)
    canvas.fill(at, distance, HU["air"], AIR)


def paint_sinuses(canvas: Canvas, shape: Shape, rng: np.random.Generator) -> None:
    """Paint frontal, maxillary, sphenoid and ethmoid sinuses."""
    drop = -shape.jaw_drop_mm / 2
    for side in SIDES:
        size = shape.maxillary_sinus * (1 + 0.5 * side * shape.canting)
        centre = mirrored((27.0, -49.0, -39.0 + drop / 2), side)
        at = canvas.around([centre], 34.0)
        antrum = ellipsoid(at, centre, (13.0 * size, 18.5 * size, 19.0 * size))
        antrum = np.maximum(antrum, at.z + 29.5 - 0.12 * (side * at.x - 15))
        antrum = np.maximum(antrum, 15.5 - side * at.x)
        _paint_sinus(canvas, at, antrum, shape)
        size = shape.frontal_sinus * (1 + 2 * side * shape.canting)
        centre = mirrored((9.0, -80.5, 9.0), side)
        at = canvas.around([centre], 28.0)
        leaning = Region(at.where, at.x, at.y - 0.25 * (at.z - centre[2]), at.z)
        frontal = ellipsoid(leaning, centre, (13.0 * size, 3.6, 12.0 * size))
        _paint_sinus(canvas, at, np.maximum(frontal, 0.6 - side * at.x), shape, 2.2)
        size = shape.sphenoid_sinus * (1 + side * shape.canting)
        centre = mirrored((7.5, -26.0, -11.0), side)
        at = canvas.around([centre], 26.0)
        sphenoid = ellipsoid(at, centre, (8.5 * size, 13.0 * size, 10.0 * size))
        _paint_sinus(canvas, at, np.maximum(sphenoid, 0.7 - side * at.x), shape)
    at = canvas.around([(0.0, -53.0, -9.0)], 36.0)
    sideways = np.abs(at.x) - 12.0 - 0.08 * (at.y + 55.0)
    labyrinth = blend_cut(sideways, np.abs(at.y + 54.0) - 20.0 - 0.2 * (at.z + 9.0), 8)
    labyrinth = blend_cut(labyrinth, np.abs(at.z + 9.0 - 0.05 * at.y) - 9.5, 8)
    canvas.fill(at, labyrinth - 1.0, HU["compact"] * 0.7 * shape.density, COMPACT)
    walls = random_waves(at, rng, (13.0, 19.0), 7)
    canvas.fill(at, labyrinth, HU["mucosa"], AIR)
    cells = np.maximum(np.maximum(labyrinth, 0.8 - np.abs(at.x)), (0.2 - np.abs(walls)) * 4)
    canvas.fill(at, cells, HU["air"], AIR)


def paint_airway(canvas: Canvas, shape: Shape) -> None:
    """Paint nasal cavity with septum and turbinates, nostrils, pharynx, mouth and larynx."""
    drop = -shape.jaw_drop_mm / 2
    at = canvas.around([(0.0, -95.0, -40.0), (0.0, -12.0, -34.0)], 26.0)
    floor, roof = -48.0 + drop, -20.0
    half_width = 12.5 - 0.16 * np.clip(at.z + 40.0, 0, 30)
    box = blend_cut(np.abs(at.x) - half_width, np.maximum(floor - at.z, at.z - roof), 7)
    nasal = blend_cut(box, np.maximum(at.y + 16.0, -78.0 - at.y - 0.35 * (at.z + 35.0)), 7)
    walls = np.maximum(nasal - 1.0, -76.0 - at.y)
    canvas.fill(at, walls, HU["compact"] * 0.75 * shape.density, COMPACT)
    canvas.fill(at, nasal, HU["air"], AIR)
    bend = shape.septum_mm * bump(at, (0.0, -58.0, -34.0), (200.0, 14.0, 10.0))
    septum = np.maximum(np.abs(at.x - bend) - 1.2, np.maximum(nasal, at.y + 24.0))
    canvas.fill(at, septum, 260.0, COMPACT)
    for side in SIDES:
        for centre, radii in (
            ((10.0, -50.0, -41.0 + drop), (4.2, 21.0, 5.0)),
            ((8.6, -47.0, -28.0), (3.4, 17.0, 4.5)),
        ):
            turbinate = ellipsoid(at, mirrored(centre, side), radii)
            canvas.fill(at, turbinate, HU["mucosa"], LABELS["muscle"])
            canvas.fill(at, turbinate + 2.2, 320.0, SPONGY)
        nostril = chain(
            at,
            [mirrored((6.0, -76.0, -42.0), side), mirrored((7.0, -92.0, -46.0), side)],
            [4.5, 3.4],
        )
        canvas.fill(at, nostril, HU["air"], AIR)
    open_mm = shape.airway
    path: list[Point] = [(0.0, -18.0, -34.0), (0.0, -12.0, -48.0), (0.0, -6.0, -68.0)]
    path += [(0.0, -4.0, -92.0), (0.0, 0.0, -112.0), (0.0, 6.0, -150.0), (0.0, 12.0, -200.0)]
    at = canvas.around(path, 20.0)
    bore = [8.5, 6.0 * open_mm, 5.5 * open_mm, 7.0 * open_mm, 6.5, 8.0, 8.0]
    pharynx = chain(at, path, bore, (1.45, 1.0, 1.0))
    larynx = np.maximum(pharynx - 2.5, at.z + 106.0)
    canvas.fill(at, larynx, HU["cartilage"], LABELS["cartilage and disc"])
    canvas.fill(at, pharynx, HU["air"], AIR)
    velum = capsule(
        at, (0.0, -27.0, -50.0 + drop), (0.0, -14.0, -66.0 + drop), 3.4, 2.4, (3.0, 1.0, 1.0)
    )
    canvas.fill(at, velum, HU["muscle"], LABELS["muscle"])
    epiglottis = capsule(at, (0.0, -9.0, -98.0), (0.0, -5.0, -84.0), 1.3, None, (5.0, 1.0, 1.0))
    canvas.fill(at, epiglottis, HU["cartilage"], LABELS["cartilage and disc"])
    at = canvas.around([(0.0, -45.0, -62.0 + drop)], 36.0)
    mouth = ellipsoid(at, (0.0, -44.0, -57.5 + drop), (17.0, 20.0, 2.6))
    canvas.fill(at, mouth, HU["air"], AIR)
