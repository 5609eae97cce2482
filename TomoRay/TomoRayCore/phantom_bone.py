"""Braincase, skull base, jaw, teeth and spine of the procedural phantom."""

from __future__ import annotations

import numpy as np

from TomoRayCore.phantom_canvas import (
    Canvas,
    Field,
    Point,
    Region,
    blend_cut,
    blend_union,
    capsule,
    chain,
    ellipsoid,
    mirrored,
    random_waves,
)
from TomoRayCore.phantom_shape import HU, LABELS, Shape

SIDES = (-1, 1)
"""Sign of x: right, left."""

HYOID: list[Point] = [(19.0, -8.0, -102.0), (12.0, -26.0, -104.0)]
"""The left half."""

COMPACT, SPONGY, AIR = LABELS["compact bone"], LABELS["spongy bone"], LABELS["air space"]


def paint_bone(
    canvas: Canvas,
    at: Region,
    distance: Field,
    shape: Shape,
    *,
    cortex_mm: float = 2.0,
    core_hu: float = HU["spongy"],
    cortex_hu: float = HU["compact"],
) -> None:
    """Paint a bone: compact outside, spongy inside."""
    canvas.fill(at, distance, cortex_hu * shape.density, COMPACT)
    canvas.fill(at, distance + cortex_mm, core_hu * shape.density, SPONGY)


def paint_vault(
    canvas: Canvas, cavity: Field, thickness: Field, shape: Shape, rng: np.random.Generator
) -> None:
    """Paint the braincase: inner and outer table, diploe between, sutures."""
    at = canvas.box((-85.0, -105.0, -50.0), (85.0, 110.0, 120.0))
    depth, thick = cavity[at.where], thickness[at.where]
    table_mm = 1.5 + 0.04 * thick
    compact = HU["compact"] * shape.density
    canvas.fill(at, depth - thick, compact, COMPACT)
    marrow = np.maximum(depth - thick + table_mm, table_mm - depth)
    grain = 90 * random_waves(at, rng, (7.0, 14.0), 4)
    share = canvas.cover(marrow) * np.clip((thick - 3.6) / 1.5, 0, 1)
    canvas.paint(at, share, HU["diploe"] * shape.density + grain, SPONGY)
    zigzag = 1.8 * np.sin(at.x * 0.9) + 1.2 * np.sin(at.x * 0.37 + at.z * 0.5)
    coronal = np.abs(at.y + 18.0 - 0.28 * (at.z - 60.0) + 0.12 * np.abs(at.x) + zigzag)
    lambdoid = np.abs(at.y - 74.0 + 0.55 * np.abs(at.x) + 0.35 * (at.z - 50.0) + zigzag)
    sagittal = np.abs(at.x + 1.5 * np.sin(at.y * 0.8))
    between = (at.y > -22.0) & (at.y < 66.0) & (at.z > 60.0)
    sutures = np.minimum(coronal, lambdoid)
    np.minimum(sutures, np.where(between, sagittal, 99.0).astype(np.float32), out=sutures)
    shell = np.maximum(depth - thick, -depth)
    line = np.maximum(np.maximum(sutures - 0.8, shell), 22.0 - at.z)
    canvas.paint(at, 0.8 * canvas.cover(line), HU["suture"], SPONGY)


def paint_base(canvas: Canvas, shape: Shape, rng: np.random.Generator) -> None:
    """Paint the sphenoid, clivus, petrous bones, mastoids, occipital condyles."""
    at = canvas.around([(0.0, -38.0, -10.0), (0.0, 14.0, -36.0)], 30.0)
    body = ellipsoid(at, (0.0, -20.0, -11.0), (18.0, 21.0, 13.0))
    clivus = capsule(at, (0.0, -8.0, -10.0), (0.0, 10.0, -33.0), 7.0, 4.0, (1.7, 1.0, 1.0))
    dorsum = capsule(at, (-7.0, -7.0, 1.0), (7.0, -7.0, 1.0), 2.2, None, (1.0, 1.0, 1.8))
    paint_bone(canvas, at, blend_union(blend_union(body, clivus, 6), dorsum, 4), shape)
    sella = ellipsoid(at, (0.0, -15.0, 3.0), (7.0, 6.0, 5.0))
    canvas.fill(at, sella, HU["muscle"], LABELS["dura"])
    for side in SIDES:
        _paint_temporal(canvas, shape, side, rng)
        at = canvas.around([mirrored((16.0, -26.0, -36.0), side)], 30.0)
        for x in (11.0, 17.0):
            plate = capsule(
                at,
                mirrored((x, -24.0, -22.0), side),
                mirrored((x + 3.0, -22.0, -48.0), side),
                1.3,
                None,
                (1.0, 3.5, 1.0),
            )
            canvas.fill(at, plate, HU["compact"] * 0.8 * shape.density, COMPACT)
        wing = capsule(
            at, mirrored((14.0, -28.0, -18.0), side), mirrored((36.0, -20.0, -26.0), side), 4.0
        )
        paint_bone(canvas, at, wing, shape)
        at = canvas.around([mirrored((17.0, 18.0, -36.0), side)], 22.0)
        condyle = ellipsoid(at, mirrored((17.0, 18.0, -36.0), side), (7.0, 12.0, 6.0))
        paint_bone(canvas, at, condyle, shape)


def _paint_temporal(canvas: Canvas, shape: Shape, side: int, rng: np.random.Generator) -> None:
    at = canvas.around(
        [mirrored((12.0, -2.0, -12.0), side), mirrored((64.0, 30.0, -25.0), side)], 26
    )
    apex, root = mirrored((13.0, -1.0, -13.0), side), mirrored((56.0, 22.0, -10.0), side)
    pyramid = capsule(at, apex, root, 5.5, 11.0)
    mastoid = capsule(
        at, mirrored((55.0, 27.0, -12.0), side), mirrored((52.0, 25.0, -36.0), side), 12.0, 6.5
    )
    temporal = blend_union(pyramid, mastoid, 6)
    paint_bone(canvas, at, temporal, shape, core_hu=900.0, cortex_hu=HU["petrous"])
    labyrinth = capsule(
        at, mirrored((25.0, 5.0, -11.0), side), mirrored((42.0, 14.0, -9.0), side), 4.5
    )
    canvas.fill(at, labyrinth, HU["petrous"] * shape.density, COMPACT)
    size = shape.mastoid_cells * (1 + side * shape.canting)
    cells = ellipsoid(
        at, mirrored((55.0, 28.0, -20.0), side), (9.0 * size, 12.0 * size, 16.0 * size)
    )
    walls = random_waves(at, rng, (8.0, 12.0), 8)
    bubbles = np.maximum(np.maximum(cells, temporal + 2.0), (0.25 - np.abs(walls)) * 3.5)
    canvas.fill(at, bubbles, HU["air"] * 0.95, AIR)
    middle_ear = ellipsoid(at, mirrored((47.0, 11.0, -11.0), side), (4.0, 4.5, 6.5))
    canvas.fill(at, middle_ear, HU["air"], AIR)
    canal = capsule(
        at, mirrored((48.0, 11.0, -15.0), side), mirrored((84.0, 14.0, -17.0), side), 3.2, 4.2
    )
    paint_bone(canvas, at, np.maximum(canal - 2.5, side * at.x - 64.0), shape)
    canvas.fill(at, canal, HU["air"], AIR)
    inner = capsule(at, mirrored((15.0, 9.0, -9.0), side), mirrored((26.0, 9.0, -9.0), side), 2.4)
    canvas.fill(at, inner, HU["csf"], LABELS["cerebrospinal fluid"])


def paint_mandible(canvas: Canvas, shape: Shape) -> None:
    """Paint the lower jaw with body, angle, ramus, condyle and coronoid, and the hyoid."""
    drop, wide = -shape.jaw_drop_mm, shape.jaw_width
    at = canvas.box((-75.0, -90.0, -130.0), (75.0, 20.0, -10.0))

    def left(x: float, y: float, z: float, lower: float = 1.0) -> Point:
        return x * wide, y, z + drop * lower

    body = [left(0, -68, -99), left(14, -65, -98), left(25, -54, -96), left(35, -35, -92)]
    body += [left(43, -14, -84)]
    ramus = [left(43, -14, -82), left(46, -8, -64, 0.8), left(49, -3, -42, 0.3)]
    neck = [left(49, -3, -42, 0.3), (50.0 * (1 + wide) / 2, 1.0, -26.0)]
    coronoid = [left(46, -14, -62, 0.7), left(46, -26, -38, 0.3)]
    jaw = np.full_like(at.x, 99.0)
    for side in SIDES:
        for points, radii, stretch in (
            (body, [6.5, 6.0, 5.6, 5.4, 5.0], (1.0, 1.0, 2.2)),
            (ramus, [4.2, 3.8, 3.4], (1.0, 3.0, 1.0)),
            (neck, [4.0, 4.6], (1.3, 1.0, 1.0)),
            (coronoid, [3.4, 2.0], (1.0, 2.0, 1.0)),
        ):
            part = chain(at, [mirrored(p, side) for p in points], radii, stretch)
            jaw = blend_union(jaw, part, 3)
    chin = ellipsoid(at, (0.0, -70.0, -108.0 + drop), (14.0, 6.0, 7.0))
    paint_bone(canvas, at, blend_union(jaw, chin, 5), shape, cortex_mm=2.4, cortex_hu=1550.0)
    hyoid = chain(
        at,
        [*(mirrored(p, -1) for p in HYOID), *reversed(HYOID)],
        [1.5, 3.0, 3.0, 1.5],
    )
    paint_bone(canvas, at, hyoid, shape, cortex_mm=1.0)


def paint_teeth(canvas: Canvas, shape: Shape, rng: np.random.Generator) -> int:
    """Paint both rows of teeth; return how many are present."""
    drop, present = -shape.jaw_drop_mm, 0
    for upper in (True, False):
        crown_z = -70.0 + drop / 2 if upper else -80.0 + drop * 0.8
        to_root = 1 if upper else -1
        for side in SIDES:
            for n in range(7):
                keep = rng.random() < shape.teeth
                if not keep:
                    continue
                present += 1
                angle = np.pi / 2 * (n + 0.5) / 7.6
                reach = 35.0 if upper else 33.0
                half = (23.5 if upper else 22.5) * (1 if upper else shape.jaw_width)
                x = side * half * float(np.sin(angle) ** 0.85)
                y = -36.0 - reach * float(np.cos(angle) ** 0.9)
                _paint_tooth(canvas, (x, y, crown_z), to_root, molar=n >= 4)
    return present


def _paint_tooth(canvas: Canvas, crown: Point, to_root: int, *, molar: bool) -> None:
    x, y, z = crown
    wide = 5.0 if molar else 3.5
    at = canvas.around([crown, (x, y, z + to_root * 18.0)], 8.0)
    root = capsule(
        at, (x, y, z + to_root * 3), (x * 0.96, y + 1.5, z + to_root * 16), wide - 1, 1.4
    )
    canvas.fill(at, root, HU["dentine"], LABELS["tooth"])
    enamel = ellipsoid(at, crown, (wide, wide, 5.0))
    canvas.fill(at, enamel, HU["enamel"], LABELS["tooth"])
    dentine = ellipsoid(at, (x, y, z + to_root * 1.5), (wide - 1.6, wide - 1.6, 4.0))
    canvas.fill(at, dentine, HU["dentine"], LABELS["tooth"])


def paint_spine(canvas: Canvas, shape: Shape) -> None:
    """Paint the cervical vertebrae with their canal, discs and the spinal cord."""
    canal: list[Point] = [(0.0, 25.0, -34.0), (0.0, 29.0, -48.0), (0.0, 33.0, -78.0)]
    canal += [(0.0, 39.0, -110.0), (0.0, 48.0, -145.0), (0.0, 58.0, -190.0)]
    at = canvas.around([(0.0, 5.0, -30.0), (0.0, 50.0, -60.0)], 36.0)
    _paint_atlas_and_dens(canvas, at, shape)
    for n in range(7):
        z = -62.0 - 15.5 * n
        y = float(np.interp(-z, [48, 62, 78, 110, 145, 190], [12, 15, 17.5, 23, 32, 42]))
        _paint_vertebra(canvas, (0.0, y, z), shape, long_spine=n == 0 or n >= 4)
    at = canvas.around(canal, 20.0)
    tube = chain(at, canal, [12.0, 10.0, 7.5, 7.5, 7.5, 7.5], (1.2, 1.0, 1.0))
    canvas.fill(at, tube, HU["csf"] + 4, LABELS["cerebrospinal fluid"])
    cord = chain(at, canal, [6.0, 5.0, 4.2, 4.2, 4.2, 4.2], (1.3, 1.0, 1.0))
    canvas.fill(at, cord, HU["cord"], LABELS["spinal cord"])


def _paint_atlas_and_dens(canvas: Canvas, at: Region, shape: Shape) -> None:
    ring = np.sqrt(at.x**2 + ((at.y - 27.0) * 1.12) ** 2)
    atlas: Field = np.sqrt((ring - 19.5) ** 2 + ((at.z + 47.0) * 0.75) ** 2) - 4.0
    for side in SIDES:
        mass = ellipsoid(at, mirrored((20.0, 20.0, -47.0), side), (9.0, 9.0, 8.0))
        wing = capsule(
            at, mirrored((24.0, 22.0, -48.0), side), mirrored((38.0, 24.0, -49.0), side), 4.5, 3.5
        )
        atlas = blend_union(atlas, np.minimum(mass, wing), 3)
    paint_bone(canvas, at, atlas, shape, cortex_mm=1.6)
    dens = capsule(at, (0.0, 13.0, -42.0), (0.0, 14.0, -62.0), 4.8, 6.5)
    paint_bone(canvas, at, dens, shape, cortex_mm=1.6, core_hu=480.0)


def _paint_vertebra(canvas: Canvas, centre: Point, shape: Shape, *, long_spine: bool) -> None:
    _, y, z = centre
    at = canvas.around([centre, (0.0, y + 40.0, z - 12.0)], 34.0)
    disc = np.maximum(_column(at, centre, 9.5, 8.0), np.abs(at.z - z) - 8.0)
    canvas.fill(at, disc, HU["disc"], LABELS["cartilage and disc"])
    bone: Field = blend_cut(_column(at, centre, 11.0, 8.5), np.abs(at.z - z) - 6.2, 4)
    back_y = y + 16.0
    ring = np.sqrt((at.x * 0.8) ** 2 + (at.y - back_y) ** 2)
    lamina = np.sqrt((ring - 11.0) ** 2 + ((at.z - z + 1.0) * 0.4) ** 2) - 2.6
    bone = np.minimum(bone, lamina)
    length = 38.0 if long_spine else 30.0
    spinous = capsule(
        at, (0.0, back_y + 12.0, z - 2.0), (0.0, y + length, z - 9.0), 2.6, 3.0, (1.0, 1.0, 1.6)
    )
    bone = blend_union(bone, spinous, 2)
    for side in SIDES:
        facet = ellipsoid(at, mirrored((20.0, y + 10.0, z), side), (6.5, 7.0, 7.2))
        transverse = capsule(
            at, mirrored((13.0, y + 2.0, z), side), mirrored((26.0, y + 2.0, z - 2.0), side), 3.2
        )
        bone = np.minimum(bone, np.minimum(facet, transverse))
    paint_bone(canvas, at, bone, shape, cortex_mm=1.5)


def _column(at: Region, centre: Point, half_width: float, half_depth: float) -> Field:
    level = np.sqrt((at.x / half_width) ** 2 + ((at.y - centre[1]) / half_depth) ** 2)
    distance: Field = (level - 1) * half_depth
    return distance
