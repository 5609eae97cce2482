"""Cases to examples; every example is a function of (seed, number) alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from TomoRayCore.errors import InputError
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.network_io import InputSpec, OutputSpec, view_matrices
from TomoRayCore.volume import Volume, canonical_grid
from TomoRayTraining.augmentation import augmented
from TomoRayTraining.cases import Case
from TomoRayTraining.config import Config
from TomoRayTraining.specs import FINE_SPACING_MM
from TomoRayTraining.synthesis import make_example, random_geometry


@lru_cache(maxsize=512)
def cached_volume(path: Path) -> Volume:
    """Read a volume once per process."""
    return read_volume(path)


def chances(cases: Sequence[Case], shares: dict[str, float]) -> NDArray[np.float64]:
    """Return each case's probability: its kind's share, divided among the kind's cases."""
    counts = Counter(case.kind for case in cases)
    weights = np.array([shares.get(case.kind, 0.0) / counts[case.kind] for case in cases])
    if not weights.sum() > 0:
        raise InputError(
            "BAD_CONFIG",
            f"data.shares gives no weight to the kinds there are: {', '.join(counts)}.",
            "Give at least one of them a positive share.",
        )
    return np.asarray(weights / weights.sum())


class TrainingExamples(Dataset[dict[str, Tensor]]):
    """The first ``count`` of an endless sequence: random cases, varied and projected.

    Randomness comes from (seed, number), not from a state, so a resumed run and any number of
    workers give the same sequence.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        config: Config,
        input_spec: InputSpec,
        output_spec: OutputSpec,
        count: int,
    ) -> None:
        self._count = count
        self._cases = list(cases)
        self._chances = chances(self._cases, config.data.shares)
        self._config = config
        self._input_spec, self._output_spec = input_spec, output_spec
        factor = round(output_spec.network_spacing_mm / FINE_SPACING_MM)
        if factor < 1 or factor * FINE_SPACING_MM != output_spec.network_spacing_mm:
            raise InputError(
                "BAD_CONFIG",
                f"data.spacing_mm is {output_spec.network_spacing_mm:g}.",
                f"Heads are varied at {FINE_SPACING_MM:g} mm: use a multiple of it.",
            )
        size = output_spec.network_size * factor
        self._grid = canonical_grid((0.0, 0.0, 0.0), size, FINE_SPACING_MM)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        random = np.random.default_rng([self._config.seed, number])
        case = self._cases[int(random.choice(len(self._cases), p=self._chances))]
        volume, mask = augmented(
            cached_volume(case.ct), self._grid, self._config.augmentation, random
        )
        geometry = random_geometry(self._grid.centre_lps, self._config.data, random)
        data = self._config.data
        example = make_example(
            volume,
            mask,
            geometry,
            self._input_spec,
            self._output_spec,
            soft_images=data.soft_images,
            region=data.region,
        )
        sigma = random.uniform(0, self._config.augmentation.noise)
        noise = random.normal(0, sigma, example.images.shape).astype(np.float32)
        batch = {
            "images": example.images + noise,
            "view_matrices": view_matrices(geometry, self._input_spec, self._output_spec),
            "target": example.target[None],
            "mask": example.mask[None],
        }
        if example.soft_images is not None:
            batch["soft_images"] = example.soft_images
        if example.region is not None:
            batch["region"] = example.region[None]
        return {name: torch.from_numpy(array) for name, array in batch.items()}
