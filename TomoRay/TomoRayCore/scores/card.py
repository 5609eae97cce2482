"""What a number was made of: no score of this package travels without its card."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np


def library_versions() -> str:
    """Return the versions of the packages that the numbers were calculated with."""
    import scipy

    return f"numpy {np.__version__}, scipy {scipy.__version__}"


@dataclass(frozen=True)
class Card:
    """The definition of one number.

    Attributes:
        quantity: What it is, with its unit.
        clip: Limits that the values were cut to before anything else.
        scale: What the clipped values were turned into.
        data_range: Peak of a PSNR, L of an SSIM; ``none`` where there is no such thing.
        window: Neighbourhood of a local measure, ``none`` for others.
        mask: Which voxels or pixels count.
        averaging: How the local values became one.
        source: Whose definition it is, and how sure that is.
        versions: The packages that calculated it.
    """

    quantity: str
    clip: str = "none"
    scale: str = "HU as they are"
    data_range: str = "none"
    window: str = "none"
    mask: str = "all voxels"
    averaging: str = "mean"
    source: str = "TomoRay"
    versions: str = field(default_factory=library_versions)

    def to_dict(self) -> dict[str, str]:
        """Return plain JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class Score:
    """A number with its card.

    Attributes:
        value: None where it has no finite value: nothing to measure on, or a PSNR without error.
        card: Its definition.
    """

    value: float | None
    card: Card
