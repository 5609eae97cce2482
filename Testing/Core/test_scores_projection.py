"""Scores of DRRs: an unseen view tells what the input views cannot."""

from __future__ import annotations

import numpy as np
import pytest

from TomoRayCore.drr import project
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.presets import from_preset, make_view
from TomoRayCore.scores.projection import CARDS, image_scores, projection_scores
from TomoRayCore.volume import Volume, canonical_grid

GRID = canonical_grid((5.0, -3.0, 12.0), (24, 26, 28), 8.0)


def lumps(seed: int = 0) -> Volume:
    """An asymmetric object of water and bone in air."""
    rng = np.random.default_rng(seed)
    hu = np.full(GRID.shape, -1000.0)
    for value in (0, 200, 900):
        k, j, i = rng.integers(4, 13, 3)
        hu[k : k + 8, j : j + 6, i : i + 9] = value
    return Volume(hu.astype(np.float32), GRID.ijk_to_lps)


def views(**options) -> AcquisitionGeometry:
    return from_preset(isocentre_lps=GRID.centre_lps, size=(30, 34), **options)


def test_a_volume_projects_as_itself():
    found = projection_scores(lumps(), lumps(), views())
    assert list(found) == ["ap", "lat", "unseen_30", "unseen_60"]
    for numbers in found.values():
        assert numbers == {"ncc": pytest.approx(1), "mae": 0, "rmse": 0}


def test_the_numbers_are_numpy_s_over_the_shadow():
    sct, ct, geometry = lumps(1), lumps(2), views()
    found = projection_scores(sct, ct, geometry)
    for name, image, truth in zip(
        ("ap", "lat"), project(sct, geometry), project(ct, geometry), strict=True
    ):
        seen = (image > 0.1) | (truth > 0.1)
        assert 0 < seen.sum() < seen.size
        error = (image.astype(float) - truth)[seen]
        assert found[name]["ncc"] == pytest.approx(np.corrcoef(image[seen], truth[seen])[0, 1])
        assert found[name]["mae"] == pytest.approx(np.abs(error).mean())
        assert found[name]["rmse"] == pytest.approx(np.sqrt((error**2).mean()))


def test_an_unseen_view_is_the_preset_s_view_at_that_angle():
    sct, ct = lumps(1), lumps(2)
    geometry = views()
    asked = views(views=("30", "60"))
    found = projection_scores(sct, ct, geometry)
    for name, image, truth in zip(
        ("unseen_30", "unseen_60"), project(sct, asked), project(ct, asked), strict=True
    ):
        assert found[name] == pytest.approx(image_scores(image, truth), rel=1e-4)


def test_depth_that_was_made_up_shows_only_in_unseen_views():
    ct = lumps(3)
    swapped = Volume(np.array(ct.array_hu[:, ::-1]), ct.ijk_to_lps)  # front to back
    found = projection_scores(swapped, ct, views(beam="parallel", views=("AP",)))
    assert found["ap"]["ncc"] == pytest.approx(1, abs=1e-6)
    assert found["ap"]["rmse"] == pytest.approx(0, abs=1e-4)
    assert found["unseen_30"]["ncc"] < 0.97
    assert found["unseen_30"]["rmse"] > 0.1


def test_an_angle_that_the_inputs_saw_is_not_unseen():
    found = projection_scores(lumps(1), lumps(2), views(), (0, 45, 90.2, 180))
    assert found["unseen_45"]["ncc"] is not None
    for name in ("unseen_0", "unseen_90.2", "unseen_180"):
        assert found[name] == dict.fromkeys(CARDS)


def test_unseen_views_keep_the_inputs_distances_about_the_inputs_isocentre():
    isocentre = tuple(np.add(GRID.centre_lps, (6.0, -4.0, 8.0)))
    near = AcquisitionGeometry(
        "near",
        isocentre,
        tuple(
            make_view(
                label,
                angle,
                sad_mm=700,
                sdd_mm=900,
                detector_mm=(400, 300),
                size=(20, 16),
                isocentre_lps=isocentre,
            )
            for label, angle in (("AP", 10), ("LAT", 80), ("OBLIQUE", 30))
        ),
    )
    sct, ct = lumps(1), lumps(2)
    seen = projection_scores(sct, ct, near, (60,))
    assert list(seen) == ["ap", "lat", "oblique", "unseen_60"]
    without = AcquisitionGeometry("two", isocentre, near.views[:2])
    assert projection_scores(sct, ct, without, (30,))["unseen_30"] == pytest.approx(
        seen["oblique"], rel=1e-6
    )


def test_correlation_is_blind_to_exposure_and_the_error_is_not():
    image = np.random.default_rng(0).uniform(0.5, 4, (9, 11))
    found = image_scores(2 * image + 1, image)
    assert found["ncc"] == pytest.approx(1)
    assert found["mae"] == pytest.approx(np.mean(image + 1))
    assert image_scores(5 - image, image)["ncc"] == pytest.approx(-1)


def test_what_shows_nothing_has_no_score():
    dark, flat = np.zeros((8, 9)), np.full((8, 9), 2.0)
    assert image_scores(dark, dark) == dict.fromkeys(CARDS)
    assert image_scores(flat, flat + 1) == {"ncc": None, "mae": 1, "rmse": 1}
    for bad in (np.full((8, 9), np.nan), np.zeros((8, 8))):
        with pytest.raises(InputError):
            image_scores(bad, flat)
