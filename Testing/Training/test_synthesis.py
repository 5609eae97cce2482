"""DRRs and targets of one head show the same head the same way round."""

from __future__ import annotations

import numpy as np
import pytest

from TomoRayCore.network_io import InputSpec, OutputSpec
from TomoRayCore.presets import from_preset
from TomoRayCore.volume import Volume, canonical_grid
from TomoRayTraining.config import DataConfig
from TomoRayTraining.synthesis import (
    Example,
    block_means,
    bone_suppressed,
    make_example,
    random_geometry,
)

INPUT, OUTPUT = InputSpec(size=64), OutputSpec(64, 4.0, 64, 4.0)


@pytest.fixture(scope="module")
def example(heads) -> Example:
    head = heads[2]
    mask = np.ones(head.shape, bool)
    mask[:10] = False
    return make_example(head, mask, from_preset(size=64), INPUT, OUTPUT)


def correlation(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), two.ravel())[0, 1])


@pytest.mark.parametrize(("view", "depth"), [(0, 1), (1, 2)], ids=["frontal_H", "lateral_W"])
def test_a_view_looks_like_the_target_seen_along_its_ray_and_no_flip_does(example, view, depth):
    image, seen = example.images[view], example.target.mean(axis=depth)
    upright = correlation(image, seen)
    assert upright > 0.8
    for flipped in (seen[::-1], seen[:, ::-1], seen[::-1, ::-1], seen.T):
        assert correlation(image, flipped) < upright - 0.01


def test_neither_view_is_the_other(example):
    frontal, lateral = example.target.mean(axis=1), example.target.mean(axis=2)
    assert correlation(example.images[0], frontal) > correlation(example.images[0], lateral)
    assert correlation(example.images[1], lateral) > correlation(example.images[1], frontal)


def test_example_arrays_have_the_shapes_and_ranges_of_a_networks(example):
    assert example.images.shape == (2, 64, 64)
    assert example.target.shape == example.mask.shape == (64, 64, 64)
    assert {a.dtype for a in (example.images, example.target, example.mask)} == {np.dtype("f4")}
    assert 0 <= example.target.min() < example.target.max() <= 1
    assert all(a.flags.c_contiguous for a in (example.images, example.target, example.mask))


def test_the_mask_is_turned_like_the_target(example):
    """Unscanned slices at the neck are the last ones: cranial comes first."""
    assert (example.mask[:54] == 1).all()
    assert not example.mask[54:].any()


def test_a_finer_volume_is_averaged_to_the_networks_grid():
    grid = canonical_grid((0, 0, 0), 32, 2.0)
    values = np.random.default_rng(0).integers(-1000, 1000, grid.shape).astype(np.int16)
    mask = np.zeros(grid.shape, bool)
    mask[:, :, ::2] = True
    spec = OutputSpec(16, 4.0, 16, 4.0, (-1000.0, 1000.0))
    volume = Volume(values, grid.ijk_to_lps)
    example = make_example(volume, mask, from_preset(field_mm=64), InputSpec(32, 64.0), spec)
    top = values[-2:, :2, :2].mean()
    assert example.target[0, 0, 0] == pytest.approx((top + 1000) / 2000, abs=1e-6)
    assert (example.mask == 0.5).all()


def test_block_means_keep_the_mean():
    array = np.random.default_rng(0).normal(size=(4, 6, 8))
    means = block_means(array, 2)
    assert means.shape == (2, 3, 4)
    assert means[1, 2, 3] == pytest.approx(array[2:, 4:, 6:].mean(), abs=1e-6)


def test_a_random_geometry_stays_in_its_range_and_follows_its_seed():
    config = DataConfig(sad_mm=(800.0, 1200.0), sdd_over_sad=1.4, detector_size=32)
    distances = []
    for seed in range(30):
        geometry = random_geometry((1.0, 2.0, 3.0), config, np.random.default_rng(seed))
        same = random_geometry((1.0, 2.0, 3.0), config, np.random.default_rng(seed))
        assert geometry == same
        assert geometry.labels == ("AP", "LAT")
        frontal, lateral = geometry.views
        assert frontal.size == (32, 32)
        assert frontal.sdd_mm == pytest.approx(1.4 * frontal.sad_mm((1, 2, 3)))
        assert lateral.sad_mm((1, 2, 3)) == pytest.approx(frontal.sad_mm((1, 2, 3)))
        distances.append(frontal.sad_mm((1, 2, 3)))
    assert 800 <= min(distances) < 850
    assert 1150 < max(distances) <= 1200


def test_bone_suppressed_images_lose_bone_and_keep_the_scale(heads):
    head = heads[2]
    mask = np.ones(head.shape, bool)
    both = make_example(head, mask, from_preset(size=64), INPUT, OUTPUT, soft_images=True)
    assert both.soft_images.shape == both.images.shape
    air = both.images < 0.01
    np.testing.assert_allclose(both.soft_images[air], both.images[air], atol=0.02)
    # Bone is denser than what it is replaced by: nothing gets brighter, most of the head darker.
    assert (both.soft_images <= both.images + 1e-4).all()
    skull = both.images > 0.7
    assert both.soft_images[skull].mean() < 0.92 * both.images[skull].mean()
    without = bone_suppressed(head)
    assert without.array_hu.max() < 300
    assert (without.array_hu == head.array_hu)[head.array_hu < 300].all()


def test_a_region_is_turned_like_the_target(heads):
    head = heads[2]
    mask = np.ones(head.shape, bool)
    example = make_example(head, mask, from_preset(size=64), INPUT, OUTPUT, region="skull")
    low, high = OUTPUT.hu_window
    bone = example.target * (high - low) + low >= 300
    assert (example.region == bone).mean() > 0.9999
    assert set(np.unique(example.region)) == {0.0, 1.0}
