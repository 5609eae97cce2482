"""Soft tissue of the procedural phantom: outline of the body, brain and its pathology."""

from __future__ import annotations

import numpy as np

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
    unit_slope,
)
from TomoRayCore.phantom_shape import HU, LABELS, Shape

SIDES = (-1, 1)
"""Sign of x: right, left."""


def endocranium(at: Region, shape: Shape, voxel_mm: float, rng: np.random.Generator) -> Field:
    """Signed distance of the cranial cavity: vault, middle and posterior fossae."""
    vault = ellipsoid(at, (0.0, 4.0, 33.0), (64.0, 85.0, 69.0))
    shoulders = [ellipsoid(at, (18.0 * s, 14.0, 38.0), (46.0, 66.0, 53.0)) for s in SIDES]
    for part in shoulders:
        vault = blend_union(vault, part, 14)
    cavity = blend_cut(vault, 5.0 - at.z, 8)
    for side in SIDES:
        fossa = ellipsoid(at, (37.0 * side, -13.0, 5.0), (27.0, 28.0, 25.0))
        cavity = blend_union(cavity, fossa, 8)
    cavity = blend_union(cavity, ellipsoid(at, (0.0, 39.0, 1.0), (54.0, 42.0, 34.0)), 8)
    irregular = random_waves(at, rng, (45.0, 90.0), 5)
    return unit_slope(cavity + irregular * shape.undulation_mm, voxel_mm)


def vault_thickness(at: Region, shape: Shape) -> Field:
    """Thickness of the skull over the cranial cavity in mm."""
    thick = np.full_like(at.x, shape.skull_mm)
    for centre, widths, more_mm in (
        ((0.0, -84.0, 25.0), (45.0, 25.0, 35.0), 1.5),
        ((0.0, 88.0, 2.0), (12.0, 14.0, 9.0), 6.0),
        ((0.0, 85.0, 25.0), (40.0, 30.0, 30.0), 1.5),
        ((66.0, -18.0, 12.0), (10.0, 30.0, 28.0), -2.8),
        ((-66.0, -18.0, 12.0), (10.0, 30.0, 28.0), -2.8),
    ):
        thick += bump(at, centre, widths) * more_mm
    # The base is thinner than the vault: orbital roofs, floors of the fossae.
    base = 1 / (1 + np.exp(np.clip((at.z - 2.0) / 5.0, -30, 30)))
    inferior = base * (1 - bump(at, (0.0, 85.0, 0.0), (60.0, 22.0, 30.0)))
    thinned: Field = thick * (1 - 0.52 * inferior)
    return thinned


def body_outline(at: Region, skull: Field, shape: Shape) -> Field:
    """Signed distance of the skin: scalp, face, nose, ears, neck, shoulders."""
    drop = -shape.jaw_drop_mm
    outline = skull - shape.scalp_mm
    face = ellipsoid(at, (0.0, -27.0, -36.0 + drop / 2), (67.0 * shape.cheeks, 51.0, 78.0))
    for part in (
        ellipsoid(at, (0.0, -57.0, -99.0 + drop), (25.0, 20.0, 17.0)),
        ellipsoid(at, (0.0, -45.0, -14.0), (59.0, 41.0, 32.0)),
        ellipsoid(at, (32.0, -64.0, -9.0), (15.5, 16.5, 14.0)),
        ellipsoid(at, (-32.0, -64.0, -9.0), (15.5, 16.5, 14.0)),
        ellipsoid(at, (0.0, -68.0, -71.0 + drop / 2), (23.0, 14.0, 15.0)),
        ellipsoid(at, (40.0, -58.0, -33.0), (20.0, 20.0, 20.0)),
        ellipsoid(at, (-40.0, -58.0, -33.0), (20.0, 20.0, 20.0)),
        ellipsoid(at, (0.0, -12.0, -112.0), (42.0, 34.0, 55.0)),
    ):
        face = blend_union(face, part, 12)
    outline = blend_union(outline, face, 16)
    outline = blend_union(outline, _neck(at, shape), 22)
    tip_y = -88.0 - shape.nose_mm
    nose = chain(
        at,
        [(0.0, -79.0, 6.0), (0.0, -82.0, -14.0), (0.0, tip_y, -35.0)],
        [7.0, 8.0, 10.5],
        (1.0, 1.5, 1.0),
    )
    for side in SIDES:
        wing = ellipsoid(at, (11.0 * side, tip_y + 4.0, -40.0), (8.0, 11.0, 8.0))
        nose = blend_union(nose, wing, 6)
    return blend_union(outline, nose, 8)


def _neck(at: Region, shape: Shape) -> Field:
    middle_y = 30.0 + 0.14 * (-60.0 - at.z)
    # The trapezius widens the neck towards the shoulders.
    wide = 1 + 0.35 * np.clip((-95.0 - at.z) / 60.0, 0, 1) ** 2
    rx, ry = 57.0 * shape.neck * wide, 55.0 * shape.neck
    column = (np.sqrt((at.x / rx) ** 2 + ((at.y - middle_y) / ry) ** 2) - 1) * ry
    neck = blend_cut(column, at.z + 15.0, 20)
    top = shape.shoulder_top_mm
    girdle = ellipsoid(at, (0.0, 52.0, top - 75.0), (205.0, 68.0, 75.0))
    return blend_union(neck, girdle, 25)


def paint_body(canvas: Canvas, skull: Field, shape: Shape, rng: np.random.Generator) -> Field:
    """Paint skin, fat and muscle; return the signed distance of the skin."""
    at = canvas.whole
    outline = unit_slope(body_outline(at, skull, shape), canvas.voxel_mm)
    canvas.fill(at, outline, HU["skin"], LABELS["skin"])
    canvas.fill(at, outline + 2.0, HU["fat"], LABELS["fat"])
    fat_mm = shape.scalp_mm - 1.5 + bump(at, (0.0, -40.0, -60.0), (80.0, 50.0, 35.0)) * 5.0
    fat_mm += bump(at, (0.0, 60.0, -110.0), (90.0, 60.0, 45.0)) * 4.0
    texture = random_waves(at, rng, (22.0, 48.0), 7)
    # Fat planes between muscles lie where a random field crosses zero.
    seam = np.clip(1.2 - np.abs(texture) * 6, 0, 1)
    meat = HU["muscle"] - seam * 75 + 4 * random_waves(at, rng, (9.0, 16.0), 3)
    deep = outline + fat_mm
    canvas.fill(at, deep, meat, LABELS["muscle"])
    canvas.labels[(canvas.labels == LABELS["muscle"]) & (meat < -30)] = LABELS["fat"]
    for side in SIDES:
        _paint_ear(canvas, side, shape)
    return outline


def _paint_ear(canvas: Canvas, side: int, shape: Shape) -> None:
    centre = (side * (73.0 + shape.scalp_mm / 2), 24.0, -12.0)
    at = canvas.around([centre], 45.0)
    lean = 0.4 * (at.y - centre[1])
    tilted = Region(at.where, at.x - side * lean, at.y - 0.25 * (at.z - centre[2]), at.z)
    shell = ellipsoid(tilted, centre, (4.5, 18.0, 31.0))
    root = (centre[0] - side * 4.0, 14.0, -14.0)
    shell = blend_union(shell, ellipsoid(at, root, (8.0, 9.0, 15.0)), 5)
    hollow = ellipsoid(tilted, (centre[0] + side * 4.0, 22.0, -10.0), (4.5, 11.0, 20.0))
    outside = canvas.hu[at.where] < -500
    share = canvas.cover(blend_cut(shell, -hollow, 3)) * outside
    canvas.paint(at, share, HU["cartilage"] - 60, LABELS["cartilage and disc"])


def paint_brain(
    canvas: Canvas, cavity: Field, shape: Shape, rng: np.random.Generator, ventricles: float
) -> None:
    """Fill the cranial cavity: fluid, grey rim with sulci, white matter, falx, ventricles."""
    at = canvas.box((-75.0, -95.0, -45.0), (75.0, 100.0, 112.0))
    inside = cavity[at.where]
    canvas.fill(at, inside, HU["csf"], LABELS["cerebrospinal fluid"])
    folds = random_waves(at, rng, (14.0, 26.0), 9)
    depth = -(inside + shape.atrophy_mm)
    midline = np.abs(at.x) - 0.8
    # Sulci: fluid in narrow valleys of a random field, closing with depth.
    sulcus = np.abs(folds) * 4.5 - 1.3 + np.clip(depth, 0, None) * 0.10
    tissue = np.maximum(-depth, -np.maximum(sulcus, depth - 24.0))
    hindbrain = _hindbrain(at)
    supra = np.maximum(tissue, -hindbrain)
    supra = np.maximum(supra, np.where(at.z > 20, -midline, -60.0).astype(np.float32))
    canvas.fill(at, supra, HU["grey"], LABELS["grey matter"])
    # The grey ribbon follows the surface and runs down both banks of each sulcus.
    ribbon = np.maximum(3.6 - depth, (0.5 - np.abs(folds)) * 6 - np.maximum(depth - 9.0, 0) * 0.4)
    white = np.maximum(supra + 1.0, ribbon)
    canvas.fill(at, white, HU["white"], LABELS["white matter"])
    _paint_deep_grey(canvas)
    folia = HU["cerebellum"] + 1.5 * np.sin(at.z * 1.3 + at.y * 0.6)
    lower = np.maximum(hindbrain, inside + 2.0)
    canvas.fill(at, lower, folia.astype(np.float32), LABELS["cerebellum and brain stem"])
    stem = chain(at, [(0.0, 2.0, 16.0), (0.0, 8.0, -6.0), (0.0, 22.0, -34.0)], [13.0, 13.0, 8.0])
    canvas.fill(at, stem, HU["white"] + 5, LABELS["cerebellum and brain stem"])
    falx = np.maximum(np.abs(at.x) - 0.9, blend_cut(14.0 - at.z, inside, 4))
    falx = np.maximum(falx, -ellipsoid(at, (0.0, 0.0, 26.0), (20.0, 64.0, 46.0)))
    canvas.fill(at, falx, HU["dura"], LABELS["dura"])
    tentorium = np.maximum(np.abs(hindbrain - 0.6) - 0.9, np.maximum(inside, 22.0 - at.y))
    canvas.fill(at, np.maximum(tentorium, -4.0 - at.z), HU["dura"], LABELS["dura"])
    sagittal_sinus = np.maximum(np.abs(at.x) - 4.0, np.abs(inside + 2.5) - 3.0)
    canvas.fill(at, np.maximum(sagittal_sinus, 10.0 - at.z), HU["dura"], LABELS["dura"])
    _paint_ventricles(canvas, ventricles)


def _hindbrain(at: Region) -> Field:
    """Signed distance of what lies under the tentorium."""
    ridge = 22.0 - 0.22 * np.abs(at.x) - 0.30 * np.abs(at.y - 32.0)
    below = blend_cut(at.z - ridge, 15.0 + 0.1 * np.abs(at.x) - at.y, 14)
    posterior = ellipsoid(at, (0.0, 41.0, -3.0), (56.0, 42.0, 36.0))
    return np.maximum(below, posterior)


def _paint_deep_grey(canvas: Canvas) -> None:
    for side in SIDES:
        at = canvas.around([(18.0 * side, 2.0, 26.0)], 34.0)
        for centre, radii in (
            ((10.0, 12.0, 28.0), (7.0, 13.0, 8.0)),
            ((25.0, -2.0, 25.0), (5.5, 15.0, 9.0)),
            ((14.0, -22.0, 30.0), (5.0, 9.0, 9.0)),
        ):
            nucleus = ellipsoid(at, mirrored(centre, side), radii)
            canvas.fill(at, nucleus, HU["grey"] - 1, LABELS["grey matter"])


def _paint_ventricles(canvas: Canvas, width: float) -> None:
    """Lateral (frontal horn, body, atrium, temporal and occipital horn), third and fourth."""
    ventricle, fluid = LABELS["ventricle"], HU["csf"] - 2
    swell = width**0.5
    for side in SIDES:
        spine: list[Point] = [
            (9.0, -32.0, 34.0),
            (8.0, -12.0, 42.0),
            (12.0, 10.0, 45.0),
            (22.0, 28.0, 36.0),
        ]
        path = [mirrored((x + 2.2 * (width - 1), y, z), side) for x, y, z in spine]
        radii = [3.6 * width, 3.6 * width, 3.6 * width, 5.2 * width]
        at = canvas.around(path, 40.0)
        lateral = chain(at, path, radii, (1.0, 1.0, 1.35))
        horns: tuple[tuple[Point, Point, float], ...] = (
            ((22.0, 28.0, 36.0), (20.0, 54.0, 30.0), 2.4),
            ((22.0, 28.0, 36.0), (33.0, 6.0, 8.0), 1.9),
        )
        for start, end, thin in horns:
            horn = capsule(
                at, mirrored(start, side), mirrored(end, side), 4.0 * width, thin * swell
            )
            lateral = blend_union(lateral, horn, 4)
        septum = 0.9 - side * at.x
        canvas.fill(at, np.maximum(lateral, septum), fluid, ventricle)
    at = canvas.around([(0.0, 0.0, 25.0), (0.0, 30.0, -8.0)], 25.0)
    third = ellipsoid(at, (0.0, 4.0, 24.0), (2.0 * width, 14.0, 10.0 * swell))
    canvas.fill(at, third, fluid, ventricle)
    fourth = ellipsoid(at, (0.0, 30.0, -8.0), (5.5 * swell, 4.5 * swell, 8.0))
    canvas.fill(at, fourth, fluid, ventricle)
    pineal = ellipsoid(at, (0.0, 22.0, 27.0), (2.2, 2.6, 2.2))
    canvas.fill(at, pineal, 180.0, LABELS["dura"])


def paint_haemorrhage(canvas: Canvas, cavity: Field, rng: np.random.Generator) -> str:
    """Paint fresh blood: inside the brain, or between brain and skull. Return which."""
    side = int(rng.choice(SIDES))
    if rng.random() < 0.5:
        centre = (
            side * float(rng.uniform(18, 42)),
            float(rng.uniform(-40, 50)),
            float(rng.uniform(28, 70)),
        )
        size = [float(r) for r in rng.uniform(9, 21, 3)]
        at = canvas.around([centre], 45.0)
        clot = ellipsoid(at, centre, (size[0], size[1], size[2]))
        clot += 1.5 * random_waves(at, rng, (12.0, 25.0), 4)
        within = cavity[at.where] + 3.0
        rim = np.maximum(clot - 5.0, within)
        canvas.fill(at, rim, HU["oedema"], LABELS["white matter"])
        canvas.fill(at, np.maximum(clot, within), HU["blood"], LABELS["haemorrhage"])
        return "intracerebral"
    heading = np.array([side * 1.0, rng.uniform(-0.8, 0.8), rng.uniform(0.1, 0.9)])
    heading /= np.linalg.norm(heading)
    reach = rng.uniform(60, 75)
    centre = (float(heading[0] * 62), float(4 + heading[1] * 84), float(35 + heading[2] * 66))
    at = canvas.whole
    spread = ellipsoid(at, centre, (float(reach) * 0.6, float(reach) * 0.75, float(reach) * 0.6))
    depth = float(rng.uniform(7, 14)) * np.clip(-spread / 25.0, 0, 1)
    layer = np.maximum(np.maximum(cavity, -cavity - depth), spread)
    layer = np.maximum(layer, 1.5 - side * at.x)
    canvas.fill(at, layer, HU["blood"], LABELS["haemorrhage"])
    return "extra-axial"


def paint_shunt(canvas: Canvas, outline: Field, rng: np.random.Generator) -> str:
    """Paint a ventricular catheter through a burr hole, its valve and the tube down the neck.

    Return the side.
    """
    side = int(rng.choice(SIDES))
    hole = mirrored((55.0, 62.0, 66.0), side)
    path: list[Point] = [mirrored((11.0, -8.0, 43.0), side), mirrored((22.0, 27.0, 40.0), side)]
    path.append(hole)
    at = canvas.around(path, 12.0)
    burr = capsule(at, mirrored((40.0, 49.0, 56.0), side), hole, 5.0)
    bone = np.isin(canvas.labels[at.where], (LABELS["compact bone"], LABELS["spongy bone"]))
    canvas.paint(at, canvas.cover(burr) * bone, HU["csf"] + 20, LABELS["cerebrospinal fluid"])
    catheter = np.maximum(chain(at, path, [1.4] * len(path)), outline[at.where] + 3.0)
    canvas.fill(at, catheter, HU["shunt"], LABELS["shunt"])
    # The tube keeps a constant depth under the skin, so only its lateral view is drawn.
    track: list[Point] = [(0.0, 62.0, 66.0), (0.0, 66.0, 42.0), (0.0, 52.0, 8.0)]
    track += [(0.0, 50.0, -30.0), (0.0, 38.0, -75.0), (0.0, 20.0, -130.0), (0.0, 15.0, -220.0)]
    inner, outer = sorted((side * 12.0, side * 110.0))
    at = canvas.box((inner, 10.0, -230.0), (outer, 85.0, 80.0))
    flat = Region(at.where, np.zeros_like(at.x), at.y, at.z)
    valve = capsule(flat, (0.0, 66.0, 50.0), (0.0, 62.0, 34.0), 3.2)
    depth = outline[at.where] + 4.0
    for lateral, radius, value in (
        (chain(flat, track, [0.0] * len(track)), 1.4, HU["shunt"]),
        (valve + 3.2, 3.2, 1.6 * HU["shunt"]),
    ):
        tube = np.hypot(np.maximum(lateral, 0), depth) - radius
        tube = np.maximum(tube, 12.0 - side * at.x)
        canvas.fill(at, tube, value, LABELS["shunt"])
    return "right" if side < 0 else "left"
