"""How an evaluation scores a case: few numbers, or all that there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.metrics import DEFINITIONS
from TomoRayCore.resample import resample
from TomoRayCore.scores import Card, cards, score_case
from TomoRayCore.volume import Volume
from TomoRayTraining.augmentation import scanned_slices
from TomoRayTraining.evaluate import Scorer, score

METRICS = ("mae_hu", "psnr_db", "ssim", "cosine_similarity", "mae_bone_hu", "dice_bone")


@dataclass(frozen=True)
class ScorerKind:
    """How cases are scored.

    Attributes:
        score: From a prediction and the CT to a row.
        definitions: What the columns mean that the tables compare; the CSV files may hold more.
    """

    score: Scorer
    definitions: Mapping[str, str]


def plain(_views: AcquisitionGeometry) -> ScorerKind:
    """Return the few numbers of ``metrics``."""
    return ScorerKind(score, {name: DEFINITIONS[name] for name in METRICS})


def full(views: AcquisitionGeometry) -> ScorerKind:
    """Return the same and all of ``scores``, with the projection error at these views and others."""

    def score_all(sct: Volume, ct: Volume) -> dict[str, Any]:
        scanned = scanned_slices(resample(ct, sct.grid))
        mask = np.broadcast_to(scanned[:, None, None], sct.shape)
        here = views.centred_on(ct.grid.centre_lps)
        return score(sct, ct) | score_case(sct, ct, views=here, mask=mask)

    told = {name: card_text(card) for name, card in cards(views).items()}
    return ScorerKind(score_all, dict(plain(views).definitions) | told)


SCORERS: dict[str, Callable[[AcquisitionGeometry], ScorerKind]] = {"plain": plain, "full": full}


def card_text(card: Card) -> str:
    """Return a definition as one line, without what does not apply."""
    facts = card.to_dict()
    rest = [f"{key}: {text}" for key, text in facts.items() if key != "quantity" and text != "none"]
    return "; ".join([facts["quantity"], *rest])
