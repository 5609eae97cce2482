"""Examples are a function of seed and step, whoever asks and in whatever order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from TomoRayCore.errors import InputError
from TomoRayTraining.cases import Case, read_cases
from TomoRayTraining.config import AugmentationConfig, DataConfig
from TomoRayTraining.dataset import TrainingExamples, chances
from TomoRayTraining.specs import specs_of


def examples(table, config) -> TrainingExamples:
    cases = [case for case in read_cases(table) if case.split == "train"]
    return TrainingExamples(cases, config, *specs_of(config), config.optimisation.steps)


def test_an_example_depends_on_seed_and_step_alone(table, tiny):
    first, second = examples(table, tiny), examples(table, tiny)
    forwards = [first[0], first[1]]
    backwards = [second[1], second[0]][::-1]
    for one, two in zip(forwards, backwards, strict=True):
        assert all(torch.equal(one[key], two[key]) for key in one)
    assert not torch.equal(forwards[0]["images"], forwards[1]["images"])
    other = examples(table, replace(tiny, seed=tiny.seed + 1))[0]
    assert not torch.equal(other["images"], forwards[0]["images"])


def test_an_example_has_the_shapes_of_the_network(table, tiny):
    example = examples(table, tiny)[0]
    assert example["images"].shape == (2, 128, 128)
    assert example["target"].shape == example["mask"].shape == (1, 64, 64, 64)
    assert {tensor.dtype for tensor in example.values()} == {torch.float32}
    assert len(examples(table, tiny)) == tiny.optimisation.steps


def test_noise_is_added_to_the_images_alone(table, tiny):
    def at(noise: float) -> dict[str, torch.Tensor]:
        varied = replace(tiny, augmentation=AugmentationConfig(noise=noise))
        return examples(table, varied)[0]

    clean, noisy = at(0.0), at(0.05)
    assert torch.equal(clean["target"], noisy["target"])
    difference = noisy["images"] - clean["images"]
    assert 0 < difference.std() <= 0.051
    assert difference.mean().abs() < 0.005


def case(name: str, kind: str) -> Case:
    return Case(name, name, "train", kind, Path(name))


def test_a_kinds_share_is_divided_among_its_cases():
    cases = [case("a", "whole"), case("b", "whole"), case("c", "phantom"), case("d", "other")]
    assert np.allclose(chances(cases, {"whole": 0.6, "phantom": 0.2}), [0.375, 0.375, 0.25, 0])


def test_a_kind_that_is_not_there_leaves_its_share_to_the_others():
    cases = [case("a", "whole"), case("c", "phantom")]
    assert np.allclose(chances(cases, {"whole": 1, "phantom": 3, "cut": 96}), [0.25, 0.75])


@pytest.mark.parametrize("cases", [[], [case("a", "whole")]], ids=len)
def test_cases_without_any_weight_are_refused(cases):
    with pytest.raises(InputError) as error:
        chances(cases, {"phantom": 1.0})
    assert error.value.code == "BAD_CONFIG"


@pytest.mark.parametrize("spacing_mm", [3.0, 1.0, 4.5])
def test_a_voxel_that_is_no_multiple_of_the_fine_one_is_refused(table, tiny, spacing_mm):
    config = replace(tiny, data=DataConfig(spacing_mm=spacing_mm, workers=0))
    with pytest.raises(InputError) as error:
        examples(table, config)
    assert error.value.code == "BAD_CONFIG"
