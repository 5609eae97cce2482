"""Everything that TomoRay measures of a synthetic CT against its truth, as flat named numbers.

``score_case`` gives the numbers of one case, ``cards`` what each of them is; both have the same
names, whatever the case. A number is None where it has no finite value: a tissue that the truth
lacks, a surface of nothing, a PSNR without error.

Names: ``DEFINITION.number`` for PSNR and SSIM (``legacy``), ``tissue.*`` and the like for HU errors
and overlaps, ``surface.STRUCTURE.*`` for distances, ``projection.VIEW.*`` for DRRs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.scores import projection, surface, tissue
from TomoRayCore.scores.arrays import finite
from TomoRayCore.scores.card import Card, Score
from TomoRayCore.scores.legacy import DEFINITIONS, Definition
from TomoRayCore.scores.pairing import Pair, paired
from TomoRayCore.volume import Volume

__all__ = ["DEFINITIONS", "UNSEEN_DEG", "Card", "Definition", "Score", "cards", "score_case"]

UNSEEN_DEG = (30.0, 60.0)
SURFACES = ("bone", "intracranial", "ventricles", "air", "inner_air")
INPUT_MEAN, UNSEEN_MEAN = "input", "unseen"


def score_case(
    sct: Volume,
    ct: Volume,
    *,
    views: AcquisitionGeometry,
    unseen_deg: Sequence[float] = UNSEEN_DEG,
    mask: NDArray[np.generic] | None = None,
) -> dict[str, float | None]:
    """Return every number of one case by the names of ``cards``.

    The truth is interpolated onto the synthetic CT's voxels; both are cut to the box that they
    share, and to the mask's.

    Args:
        sct: Synthetic CT on cubic voxels, in any orientation.
        ct: Truth on any grid in the same world.
        views: The geometry that the synthetic CT was made from.
        unseen_deg: Further views about the superior axis: 0 AP, 90 LAT.
        mask: (D, H, W) of the synthetic CT: score only where it is not 0, e.g. scanned slices.

    Raises:
        InputError: ``SYNTHETIC_INPUT``, ``NO_OVERLAP``, ``BAD_MASK``, ``VOXELS_NOT_CUBIC``, or
            ``VIEW_TOO_STEEP`` for a source inside the head.
    """
    pair = paired(sct, ct, mask)
    numbers = {
        **dict(_similarities(pair)),
        **dict(_structures(pair)),
        **dict(_projections(pair, views, unseen_deg)),
    }
    return {name: finite(numbers[name]) for name in cards(views, unseen_deg)}


def cards(views: AcquisitionGeometry, unseen_deg: Sequence[float] = UNSEEN_DEG) -> dict[str, Card]:
    """Return the definition of every number that ``score_case`` gives for these views."""
    found = {
        f"{definition.name}.{number}": card
        for definition in DEFINITIONS.values()
        for number, card in definition.cards.items()
    }
    found |= {f"tissue.{number}": card for number, card in tissue.CARDS.items()}
    for structure in SURFACES:
        for number, card in surface.CARDS.items():
            found[f"surface.{structure}.{number}"] = surface.card_of(
                card, tissue.STRUCTURES[structure]
            )
    names = projection.view_names(views, unseen_deg)
    for view in (*names, INPUT_MEAN, UNSEEN_MEAN):
        for number, card in projection.CARDS.items():
            found[f"projection.{view}.{number}"] = projection.card_of(card, view)
    return found


def _similarities(pair: Pair) -> Iterator[tuple[str, float | None]]:
    sct, ct = pair.sct.array_hu, pair.ct.array_hu
    for name, definition in DEFINITIONS.items():
        for number, value in definition.measure(sct, ct).items():
            yield f"{name}.{number}", value


def _structures(pair: Pair) -> Iterator[tuple[str, float | None]]:
    sct, ct, spacing = pair.sct.array_hu, pair.ct.array_hu, pair.spacing_mm
    found = tissue.segment_pair(sct, ct, spacing)
    for number, value in tissue.tissue_scores(sct, ct, spacing, found).items():
        yield f"tissue.{number}", value
    for structure in SURFACES:
        one, other = (masks[structure] for masks in found)
        distances: dict[str, float | None] = dict.fromkeys(surface.CARDS)
        if one is not None and other is not None:
            distances = surface.surface_scores(one, other, (spacing,) * 3)
        for number, value in distances.items():
            yield f"surface.{structure}.{number}", value


def _projections(
    pair: Pair, views: AcquisitionGeometry, unseen_deg: Sequence[float]
) -> Iterator[tuple[str, float | None]]:
    found = projection.projection_scores(pair.sct, pair.ct, views, unseen_deg)
    inputs = [label.lower() for label in views.labels]
    unseen = [name for name in found if name not in inputs]
    found[INPUT_MEAN] = _mean_of([found[name] for name in inputs])
    found[UNSEEN_MEAN] = _mean_of([found[name] for name in unseen])
    for view, numbers in found.items():
        for number, value in numbers.items():
            yield f"projection.{view}.{number}", value


def _mean_of(views: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """Return the mean over views of each number, leaving out those without one."""
    result: dict[str, float | None] = {}
    for number in projection.CARDS:
        values = [value for view in views if (value := view[number]) is not None]
        result[number] = float(np.mean(values)) if values else None
    return result
