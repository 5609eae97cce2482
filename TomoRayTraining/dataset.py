"""Cases to examples; every example is a function of (seed, number) alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from TomoRayCore.drr import project
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.harmonise import ViewReference
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.network_io import InputSpec, OutputSpec, network_images, view_matrices
from TomoRayCore.volume import Volume, canonical_grid
from TomoRayTraining.augmentation import augmented, unvaried
from TomoRayTraining.cases import Case
from TomoRayTraining.config import Config
from TomoRayTraining.films import cases_with_films, film_images, films_of
from TomoRayTraining.realism import realistic
from TomoRayTraining.specs import FINE_SPACING_MM, specs_of
from TomoRayTraining.synthesis import make_example, random_geometry, rectified

REFERENCE_EXAMPLES = 16
"""DRRs over whose heads the reference of films is averaged."""


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


@dataclass(frozen=True)
class Draw:
    """One head as a training example sees it.

    Attributes:
        volume: On the fine grid, varied or, where it has films, as it is.
        mask: (D, H, W), what was scanned.
        geometry: Of the views.
        films: The head's own radiographs (R, C), where they are what is asked for.
    """

    volume: Volume
    mask: NDArray[np.bool_]
    geometry: AcquisitionGeometry
    films: list[NDArray[np.float32]] | None = None


class TrainingExamples(Dataset[dict[str, Tensor]]):
    """The first ``count`` of an endless sequence: random cases, varied and projected.

    Randomness comes from (seed, number), not from a state, so a resumed run and any number of
    workers give the same sequence; and examples of the same number with other ``data.images`` show
    the same head from the same places. Heads with films are not varied: nobody can turn a film.

    Raises:
        InputError: ``BAD_CONFIG`` for shares or a spacing that cannot be, or for bone-suppressed
            images of films; ``BAD_CASES`` for films where no case has any.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        config: Config,
        input_spec: InputSpec,
        output_spec: OutputSpec,
        count: int,
        references: Sequence[ViewReference] | None = None,
    ) -> None:
        self._count = count
        self._config = config
        self._input_spec, self._output_spec = input_spec, output_spec
        self._size = fine_size(output_spec)
        self._grid = canonical_grid((0.0, 0.0, 0.0), self._size, FINE_SPACING_MM)
        images = config.data.images
        self._cases = cases_with_films(cases, config.data) if images == "films" else list(cases)
        self._chances = chances(self._cases, config.data.shares)
        if images == "films" and config.data.soft_images:
            raise InputError(
                "BAD_CONFIG",
                "There are no bone-suppressed images of films.",
                "Set data.images to drr or realistic, or data.soft_images to false.",
            )
        if references is None:
            references = () if images == "drr" else training_references(cases, config)
        self._references = list(references)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        data, random = self._config.data, self._random(number)
        draw = self._draw(random)
        example = make_example(
            draw.volume,
            draw.mask,
            draw.geometry,
            self._input_spec,
            self._output_spec,
            soft_images=data.soft_images,
            region=data.region,
            images=self._film_images(draw, random),
        )
        sigma = random.uniform(0, self._config.augmentation.noise)
        noise = random.normal(0, sigma, example.images.shape).astype(np.float32)
        batch = {
            "images": example.images + noise,
            "view_matrices": view_matrices(draw.geometry, self._input_spec, self._output_spec),
            "target": example.target[None],
            "mask": example.mask[None],
        }
        if example.soft_images is not None:
            batch["soft_images"] = example.soft_images
        if example.region is not None:
            batch["region"] = example.region[None]
        return {name: torch.from_numpy(array) for name, array in batch.items()}

    def line_integrals(self, number: int) -> list[NDArray[np.float32]]:
        """Return an example's DRRs, (S, S) each, rectified and not normalised."""
        draw = self._draw(self._random(number))
        return rectified(project(draw.volume, draw.geometry), draw.geometry, self._input_spec)

    def film_and_drr(self, number: int) -> tuple[Tensor, Tensor]:
        """Return what an example shows and its DRRs through the same geometry, (V, S, S) each.

        Raises:
            InputError: ``BAD_CONFIG`` where DRRs are all there is.
        """
        random = self._random(number)
        draw = self._draw(random)
        films = self._film_images(draw, random)
        if films is None:
            raise InputError(
                "BAD_CONFIG",
                "Films are to be compared with DRRs, and data.images is 'drr'.",
                "Set data.images to films or realistic.",
            )
        drrs = network_images(project(draw.volume, draw.geometry), draw.geometry, self._input_spec)
        return torch.from_numpy(films), torch.from_numpy(drrs)

    def _random(self, number: int) -> np.random.Generator:
        return np.random.default_rng([self._config.seed, number])

    def _draw(self, random: np.random.Generator) -> Draw:
        data = self._config.data
        case = self._cases[int(random.choice(len(self._cases), p=self._chances))]
        ct = cached_volume(case.ct)
        if data.images == "films":
            films, geometry = films_of(case, data, ct.grid.centre_lps)
            grid = canonical_grid(geometry.isocentre_lps, self._size, FINE_SPACING_MM)
            return Draw(*unvaried(ct, grid), geometry, [film.pixels for film in films])
        volume, mask = augmented(ct, self._grid, self._config.augmentation, random)
        return Draw(volume, mask, random_geometry(self._grid.centre_lps, data, random))

    def _film_images(self, draw: Draw, random: np.random.Generator) -> NDArray[np.float32] | None:
        """Return what the network sees instead of DRRs, if that is asked for."""
        films = draw.films
        if self._config.data.images == "realistic":
            films = realistic(project(draw.volume, draw.geometry), draw.geometry, random)
        if films is None:
            return None
        return film_images(films, draw.geometry, self._input_spec, self._references)


def training_references(cases: Sequence[Case], config: Config) -> list[ViewReference]:
    """Return what films are matched to, view by view: DRRs of training examples.

    Empty unless ``model.harmonise``. A function of cases and settings alone, so that export finds
    what training used.
    """
    if not config.model.harmonise:
        return []
    drrs = replace(config, data=replace(config.data, images="drr"))
    examples = TrainingExamples(cases, drrs, *specs_of(config), REFERENCE_EXAMPLES, ())
    images = [examples.line_integrals(number) for number in range(REFERENCE_EXAMPLES)]
    return [ViewReference.of(view) for view in zip(*images, strict=True)]


def fine_size(spec: OutputSpec) -> int:
    """Return how many fine voxels lie along an edge of the network's cube.

    Raises:
        InputError: ``BAD_CONFIG`` unless its voxels are a whole number of them.
    """
    factor = round(spec.network_spacing_mm / FINE_SPACING_MM)
    if factor < 1 or factor * FINE_SPACING_MM != spec.network_spacing_mm:
        raise InputError(
            "BAD_CONFIG",
            f"data.spacing_mm is {spec.network_spacing_mm:g}.",
            f"Heads are varied at {FINE_SPACING_MM:g} mm: use a multiple of it.",
        )
    return spec.network_size * factor
