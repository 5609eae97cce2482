"""A head is varied before it is projected; what was not scanned is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from TomoRayCore.volume import AIR_HU, Volume, canonical_grid
from TomoRayTraining.augmentation import augmented, random_transform, scanned_slices
from TomoRayTraining.config import AugmentationConfig

STILL = AugmentationConfig(
    rotation_deg=0, translation_mm=0, scale=0, flip=False, cut_probability=0, cut_mm=0, noise=0
)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def centre_of_mass_lps(volume: Volume) -> np.ndarray:
    weights = np.maximum(volume.array_hu.astype(float) - AIR_HU, 0)
    indices = np.stack(np.indices(volume.shape)[::-1], axis=-1)
    middle = (indices * weights[..., None]).sum(axis=(0, 1, 2)) / weights.sum()
    return volume.ijk_to_lps[:3, :3] @ middle + volume.ijk_to_lps[:3, 3]


def ball(centre=(20.0, 0.0, 0.0), away=(0.0, 0.0, 0.0)) -> Volume:
    """Return a ball of 24 mm, off the middle of a volume that may stand anywhere."""
    grid = canonical_grid(away, 32, 4.0)
    k, j, i = np.indices(grid.shape)
    places = np.stack([i, j, k], axis=-1) * 4.0 - 62
    inside = ((places - centre) ** 2).sum(axis=-1) < 24**2
    return Volume(np.where(inside, 500, -1000).astype(np.int16), grid.ijk_to_lps)


def test_without_randomness_nothing_changes(heads):
    head = heads[0]
    moved, mask = augmented(head, head.grid, STILL, generator())
    assert np.array_equal(moved.array_hu, head.array_hu)
    assert np.array_equal(mask.any(axis=(1, 2)), scanned_slices(head))
    assert np.array_equal(mask.all(axis=(1, 2)), scanned_slices(head))


def test_a_head_anywhere_in_the_world_comes_to_the_grids_centre():
    away, here = ball(away=(300.0, -50.0, 1200.0)), ball()
    moved, _ = augmented(away, here.grid, STILL, generator())
    assert np.array_equal(moved.array_hu, here.array_hu)


def test_the_same_seed_gives_the_same_head(heads):
    config = AugmentationConfig()
    one, one_mask = augmented(heads[0], heads[0].grid, config, generator(3))
    two, two_mask = augmented(heads[0], heads[0].grid, config, generator(3))
    other, _ = augmented(heads[0], heads[0].grid, config, generator(4))
    assert np.array_equal(one.array_hu, two.array_hu)
    assert np.array_equal(one_mask, two_mask)
    assert not np.array_equal(one.array_hu, other.array_hu)


def test_mirroring_exchanges_left_and_right_only():
    config = replace(STILL, flip=True)
    places = []
    for seed in range(12):
        moved, _ = augmented(ball((20, 8, -12)), ball().grid, config, generator(seed))
        places.append(centre_of_mass_lps(moved))
    assert {round(float(x)) for x, _, _ in places} == {-20, 20}
    assert np.allclose([place[1:] for place in places], (8, -12), atol=0.5)


@pytest.mark.parametrize("setting", ["rotation_deg", "translation_mm", "scale"])
def test_a_variation_stays_within_its_limit(setting):
    limit = {"rotation_deg": 10.0, "translation_mm": 9.0, "scale": 0.1}[setting]
    config = replace(STILL, **{setting: limit})
    seen = []
    for seed in range(100):
        transform = random_transform((0, 0, 0), (0, 0, 0), config, generator(seed))
        matrix = np.array(transform.GetMatrix()).reshape(3, 3)
        scales = np.linalg.norm(matrix, axis=0)
        rotation = matrix / scales
        if setting == "rotation_deg":
            seen.append(np.degrees(np.arccos((np.trace(rotation) - 1) / 2)))
        else:
            assert np.allclose(rotation, np.eye(3))
            moved = transform.GetTranslation() if setting == "translation_mm" else 1 / scales - 1
            seen.append(np.abs(moved).max())
    assert max(seen) <= limit * (np.sqrt(3) if setting == "rotation_deg" else 1) + 1e-9
    assert max(seen) > 0.8 * limit


def test_the_mask_moves_with_the_head():
    """Slices without a scan are turned and shifted like the head is."""
    values = ball((0, 0, -30)).array_hu.copy()
    values[24:] = -1000
    values[:24, 0, 0] = -999  # scanned air is not all one number
    head = Volume(values, ball().ijk_to_lps)
    assert scanned_slices(head).sum() == 24
    config = replace(STILL, translation_mm=16)
    for seed in range(5):
        moved, mask = augmented(head, head.grid, config, generator(seed))
        shift = random_transform((0, 0, 0), (0, 0, 0), config, generator(seed)).GetTranslation()
        top = np.flatnonzero(mask[:, 16, 16])[-1] + 1
        assert abs(top - (24 - shift[2] / 4)) <= 1.01
        assert (moved.array_hu[~mask] <= -999).all()


def test_a_cut_takes_the_vertex_from_head_and_mask(heads):
    config = replace(STILL, cut_probability=1, cut_mm=120)
    whole = scanned_slices(heads[0])
    heights = []
    for seed in range(8):
        moved, mask = augmented(heads[0], heads[0].grid, config, generator(seed))
        cut = ~mask.any(axis=(1, 2)) & whole
        assert (moved.array_hu[~mask.any(axis=(1, 2))] == -1000).all()
        assert np.array_equal(moved.array_hu[mask], heads[0].array_hu[mask])
        assert not cut.any() or cut[np.flatnonzero(whole)[-1]]  # from above
        heights.append(int(cut.sum()))
    assert max(heights) > 5
    assert len(set(heights)) > 3


def test_a_cut_higher_than_the_cube_leaves_nothing():
    config = replace(STILL, cut_probability=1, cut_mm=100_000)
    moved, mask = augmented(ball(), ball().grid, config, generator())
    assert (moved.array_hu == -1000).all()
    assert not mask.any()


def test_an_int16_head_stays_int16(heads):
    moved, _ = augmented(heads[0], heads[0].grid, AugmentationConfig(), generator(1))
    assert moved.array_hu.dtype == np.int16
    assert not moved.array_hu[0].all() or moved.array_hu.min() >= -1024
