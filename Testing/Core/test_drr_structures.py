"""DRRs of structures alone: parts add up to the whole, and each is what its name says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drr_poses import frontal, turned

from TomoRayCore.coordinates import compose_affine
from TomoRayCore.drr import (
    BONE,
    PLASTIMATCH,
    SOFT_TISSUE,
    Structure,
    project,
    project_mu,
    project_structures,
)
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.volume import Volume

SHAPE = (19, 26, 23)
GEOMETRY = AcquisitionGeometry(
    "two",
    (0.0, 0.0, 0.0),
    (frontal(), replace(turned(frontal(), (31.0, 8.0, 0.0)), label="oblique")),
)


@pytest.fixture(scope="module")
def head() -> Volume:
    """Random tissue and bone in air."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[3:15, 4:21, 2:20] = np.random.default_rng(4).integers(-900, 1500, (12, 17, 18))
    return Volume(hu, compose_affine(np.eye(3), (2.0, 1.7, 2.3), (-25.0, -21.0, -18.0)))


@pytest.mark.parametrize("rule", [None, PLASTIMATCH])
def test_bone_and_soft_tissue_add_up_to_the_whole(engine: str, head: Volume, rule: object) -> None:
    rules = {} if rule is None else {"rule": rule}
    parts = project_structures(head, GEOMETRY, {"bone": BONE, "soft": SOFT_TISSUE}, **rules)
    for whole, bone, soft in zip(
        project(head, GEOMETRY, **rules), parts["bone"], parts["soft"], strict=True
    ):
        assert bone.max() > 0.01
        assert soft.max() > 0.01
        np.testing.assert_allclose(bone + soft, whole, rtol=1e-5, atol=1e-6)


def test_a_mask_and_its_complement_add_up_to_the_whole(head: Volume) -> None:
    mask = np.random.default_rng(5).random(SHAPE) > 0.4
    parts = project_structures(
        head, GEOMETRY, {"in": Structure(mask=mask), "out": Structure(mask=~mask)}
    )
    for whole, *two in zip(project(head, GEOMETRY), parts["in"], parts["out"], strict=True):
        np.testing.assert_allclose(sum(two), whole, rtol=1e-5, atol=1e-6)


def test_every_way_of_naming_a_structure_gives_the_same_image(engine: str, head: Volume) -> None:
    mask = (head.array_hu >= 100) & (head.array_hu < 700)
    ways = {
        "range": Structure(hu_range=(100, 700)),
        "mask": Structure(mask=mask),
        "shares": Structure(mask=mask.astype(np.float32)),
        "weight": Structure(weight=lambda hu: (hu >= 100) & (hu < 700)),
    }
    images = project_structures(head, GEOMETRY, ways)
    mu = np.where(mask, (head.array_hu / 1000.0 + 1) * 0.02059, 0).astype(np.float32)
    for number, view in enumerate(GEOMETRY.views):
        expected = project_mu(mu, head.grid, view)
        for name in ways:
            np.testing.assert_allclose(images[name][number], expected, rtol=1e-4, atol=1e-6)


def test_a_weight_may_be_a_share_of_each_voxel(head: Volume) -> None:
    half = project_structures(
        head, GEOMETRY, {"half": Structure(weight=lambda hu: np.full(hu.shape, 0.5))}
    )
    for image, whole in zip(half["half"], project(head, GEOMETRY), strict=True):
        np.testing.assert_allclose(image, whole / 2, rtol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"hu_range": (0, 1), "mask": np.ones(SHAPE, bool)},
        {"hu_range": (5, 5)},
        {"hu_range": (float("nan"), 5)},
        {"mask": np.ones(7, bool)},
        {"mask": np.full(SHAPE, np.nan)},
        {"mask": np.full(SHAPE, "bone")},
    ],
)
def test_a_structure_that_says_nothing_usable_is_refused(arguments: dict) -> None:
    with pytest.raises(InputError) as caught:
        Structure(**arguments)
    assert caught.value.code == "BAD_STRUCTURE"


@pytest.mark.parametrize(
    "structure",
    [
        Structure(mask=np.ones((2, 3, 4), bool)),
        Structure(weight=lambda hu: np.ones(3)),
        Structure(weight=lambda hu: np.full(hu.shape, np.nan)),
        Structure(weight=lambda hu: None),
    ],
)
def test_a_structure_that_does_not_fit_the_volume_is_refused(
    head: Volume, structure: Structure
) -> None:
    with pytest.raises(InputError) as caught:
        project_structures(head, GEOMETRY, {"it": structure})
    assert caught.value.code == "BAD_STRUCTURE"
