"""Methods that have learnt next to nothing, and do what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from TomoRayCore.drr import project
from TomoRayCore.errors import InputError
from TomoRayCore.io.volume_io import read_volume, write_volume
from TomoRayCore.presets import from_preset
from TomoRayCore.resample import resample
from TomoRayCore.volume import Volume, canonical_grid
from TomoRayTraining.baselines import NearestNeighbour, Sart, mean_head, moved
from TomoRayTraining.cases import Case, read_cases
from TomoRayTraining.evaluate import drrs_of, shown


@pytest.fixture(scope="module")
def cases(table: Path) -> list[Case]:
    return read_cases(table)


def small(ct: Volume) -> Volume:
    return resample(ct, canonical_grid(ct.grid.centre_lps, 32, 8.0))


def test_a_head_is_its_own_nearest_neighbour(cases):
    geometry = from_preset(size=64)
    nearest = NearestNeighbour(cases, geometry)
    for case in cases:
        given = shown(case, read_volume(case.ct), geometry, "drr")
        chosen, likeness = nearest.choose(*given)
        assert chosen == case
        assert likeness == pytest.approx(1, abs=1e-6)


def test_the_nearest_neighbour_is_found_wherever_the_patient_lies_and_however_bright(cases):
    geometry = from_preset(size=64)
    ct = read_volume(cases[1].ct)
    there = ct.ijk_to_lps.copy()
    there[:3, 3] += (40, -300, 77)
    away = Volume(ct.array_hu, there)
    radiographs, here = shown(cases[1], away, geometry, "drr")
    brighter = [replace(r, pixels=3 * r.pixels + 1) for r in radiographs]
    nearest = NearestNeighbour(cases[:3], geometry)
    chosen, likeness = nearest.choose(brighter, here)
    assert (chosen.case, round(likeness, 4)) == ("head2", 1.0)
    head = nearest.head(chosen, canonical_grid(away.grid.centre_lps, 64, 4.0))
    assert head.grid.same_as(away.grid)
    assert np.array_equal(head.array_hu, ct.array_hu)


def test_both_views_decide(cases):
    """The frontal view of one head and the lateral of another: the mean of both is compared."""
    geometry = from_preset(size=64)
    one, two = (
        shown(case, read_volume(case.ct), geometry, "drr")[0] for case in (cases[0], cases[1])
    )
    nearest = NearestNeighbour(cases[:2], geometry)
    _, likeness = nearest.choose([one[0], two[1]], geometry)
    across = [nearest.choose([one[0], one[1]], geometry)[1], likeness]
    correlations = [np.corrcoef(one[v].pixels.ravel(), two[v].pixels.ravel())[0, 1] for v in (0, 1)]
    assert across[0] == pytest.approx(1, abs=1e-6)
    expected = max((1 + correlation) / 2 for correlation in correlations)
    assert likeness == pytest.approx(expected, abs=0.02)


def test_nobody_to_choose_from_is_refused():
    with pytest.raises(InputError) as error:
        NearestNeighbour([], from_preset(size=64))
    assert error.value.code == "BAD_CASES"


def test_sart_finds_a_volume_that_casts_the_same_shadows(heads):
    ct = small(heads[0])
    geometry = from_preset(isocentre_lps=ct.grid.centre_lps, size=64)
    images = project(ct, geometry)
    found = Sart()(images, geometry, ct.grid)
    for image, ours in zip(images, project(found, geometry), strict=True):
        assert np.abs(ours - image).mean() < 0.03 * image.mean()
    assert found.grid.same_as(ct.grid)
    assert (found.array_hu.min(), found.array_hu.dtype) == (-1000, np.int16)


def test_more_passes_leave_less(heads):
    ct = small(heads[1])
    geometry = from_preset(isocentre_lps=ct.grid.centre_lps, size=64)
    images = project(ct, geometry)
    missing = [
        np.abs(project(Sart(iterations)(images, geometry, ct.grid), geometry)[1] - images[1]).mean()
        for iterations in (1, 4, 16)
    ]
    assert missing[0] > missing[1] > missing[2]


def test_sart_leaves_the_truth_alone(heads):
    ct = small(heads[0])
    geometry = from_preset(isocentre_lps=ct.grid.centre_lps, size=64)
    found = Sart()(project(ct, geometry), geometry, ct.grid, ct.array_hu)
    inside = ct.array_hu > -1000
    assert np.abs(found.array_hu[inside].astype(float) - ct.array_hu[inside]).mean() < 2


def test_what_sart_starts_from_is_what_it_keeps(cases, heads):
    """Two views leave nearly all open: from the mean head the result is nearer to a head."""
    ct = small(heads[3])
    geometry = from_preset(isocentre_lps=ct.grid.centre_lps, size=64)
    images = project(ct, geometry)
    mean = mean_head(cases[:2], ct.grid)

    def error(volume_hu: np.ndarray) -> float:
        return float(np.abs(volume_hu.astype(float) - ct.array_hu).mean())

    from_zero = error(Sart()(images, geometry, ct.grid).array_hu)
    from_mean = error(Sart()(images, geometry, ct.grid, mean).array_hu)
    assert from_mean < 0.8 * from_zero


def test_sart_works_in_the_patients_place_and_at_odd_sizes(heads):
    ct = small(heads[2])
    there = ct.ijk_to_lps.copy()
    there[:3, 3] += (10, 20, -500)
    away = Volume(ct.array_hu[2:29, 1:30], there)
    geometry = from_preset(isocentre_lps=away.grid.centre_lps, size=(48, 61))
    radiographs = drrs_of(away, geometry)
    found = Sart()([r.pixels for r in radiographs], geometry, away.grid)
    for radiograph, ours in zip(radiographs, project(found, geometry), strict=True):
        assert np.abs(ours - radiograph.pixels).mean() < 0.05 * radiograph.pixels.mean()


def test_a_grid_moves_without_turning():
    grid = canonical_grid((1, 2, 3), (5, 6, 7), 2.5)
    there = moved(grid, (-4.0, 0.5, 80.0))
    assert there.centre_lps == pytest.approx((-4, 0.5, 80))
    assert there.shape == grid.shape
    assert np.array_equal(there.ijk_to_lps[:3, :3], grid.ijk_to_lps[:3, :3])


def test_the_mean_head_of_a_cut_scan_is_air_above(cases, tmp_path):
    ct = read_volume(cases[0].ct)
    cut = ct.array_hu.copy()
    cut[40:] = -1000
    write_volume(Volume(cut, ct.ijk_to_lps), tmp_path / "cut.nrrd")
    mean = mean_head(
        [replace(cases[0], ct=tmp_path / "cut.nrrd")], canonical_grid((0, 0, 0), 64, 4)
    )
    assert (mean[40:] == -1000).all()
    assert np.array_equal(mean[:40], ct.array_hu[:40])
