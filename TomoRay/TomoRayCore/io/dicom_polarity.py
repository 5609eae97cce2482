"""Which way a DICOM radiograph's values run, and how they become "larger = more attenuation"."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from TomoRayCore.errors import InputError
from TomoRayCore.io.dicom_dataset import text, whole

SIGN_MEANING = {1: False, -1: True}
"""Pixel Intensity Relationship Sign: -1 says that larger values mean less intensity at the
detector, that is more attenuation; 1 says the opposite (PS3.3 C.8.11.3.1.2)."""

DARKEST_SHARE = 1e-5
"""Intensities below this share of the brightest count as this share before the logarithm."""


@dataclass(frozen=True)
class Polarity:
    """What to do with values, and why.

    Attributes:
        grows_with_attenuation: Whether values need no inversion.
        logarithm: Whether values are proportional to intensity, so that the logarithm makes them
            proportional to the line integral.
        reason: For the record.
    """

    grows_with_attenuation: bool
    logarithm: bool
    reason: str

    def applied_to(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return values that grow with attenuation."""
        pixels = np.asarray(values, np.float64)
        if self.grows_with_attenuation:
            return pixels
        brightest = pixels.max()
        if self.logarithm and brightest > 0:
            return np.asarray(-np.log(np.maximum(pixels / brightest, DARKEST_SHARE)))
        return np.asarray(brightest + pixels.min() - pixels)


def polarity_of(dataset: Dataset, path: Path) -> Polarity:
    """Decide by what the image is made for.

    Images for presentation show bone bright, so it matters which values are displayed bright:
    MONOCHROME1 and the Presentation LUT Shape INVERSE both say "the smallest". Together they say
    it once and not twice, since a DX image in MONOCHROME1 must state INVERSE (PS3.3 C.8.11.3).
    Images for processing, and XA and RF images that state how values follow the beam's intensity,
    are decided by that statement, and their photometric interpretation is no matter.

    Raises:
        InputError: ``POLARITY_UNKNOWN`` for an image for processing without its sign.
    """
    relation = text(dataset, "PixelIntensityRelationship")
    sign = whole(dataset, "PixelIntensityRelationshipSign")
    for_processing = text(dataset, "PresentationIntentType") == "FOR PROCESSING"
    if for_processing:
        if sign not in SIGN_MEANING:
            raise InputError(
                "POLARITY_UNKNOWN",
                f"{path.name} is an image for processing that does not say whether larger values "
                "mean more or less x-ray (Pixel Intensity Relationship Sign).",
                "Use the image for presentation, or export a PNG with bright bone.",
            )
        return _by_intensity(relation, SIGN_MEANING[sign], f"for processing, sign {sign}")
    if text(dataset, "Modality") in ("XA", "RF") and relation in ("LIN", "LOG"):
        grows = SIGN_MEANING.get(1 if sign is None else sign, False)
        return _by_intensity(relation, grows, f"fluoroscopy, {relation} of intensity")
    return _by_display(dataset)


def _by_intensity(relation: str, grows: bool, reason: str) -> Polarity:
    logarithm = relation == "LIN" and not grows
    done = "as stored" if grows else "logarithm, inverted" if logarithm else "inverted"
    return Polarity(grows, logarithm, f"{done}: {reason}")


def _by_display(dataset: Dataset) -> Polarity:
    photometric = text(dataset, "PhotometricInterpretation")
    shape = text(dataset, "PresentationLUTShape")
    inverted = photometric == "MONOCHROME1" or shape == "INVERSE"
    known = [photometric] + [s for s in (shape,) if s in ("IDENTITY", "INVERSE")]
    done = "inverted" if inverted else "as stored"
    return Polarity(not inverted, False, f"{done}: {', '.join(known)}, bone displayed bright")
