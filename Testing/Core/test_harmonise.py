"""Films come back to line integrals: borders and markers off, curve undone, order of values kept."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from TomoRayCore.checks import check_radiographs
from TomoRayCore.drr import project
from TomoRayCore.errors import InputError
from TomoRayCore.harmonise import (
    LEVELS,
    ViewReference,
    cleaned,
    exposed_field,
    head_shadow,
    matched,
    references_from_dict,
    references_to_dict,
)
from TomoRayCore.phantom import make_phantom
from TomoRayCore.presets import from_preset
from TomoRayCore.radiograph import Radiograph

SHAPE = (90, 76)


@pytest.fixture(scope="module")
def drrs() -> list[np.ndarray]:
    """Frontal and lateral line integrals of a head."""
    head = make_phantom(3, size=64, spacing_mm=4.0).ct
    return project(head, from_preset(isocentre_lps=head.grid.centre_lps, size=96))


def ellipse(rows: int = SHAPE[0], columns: int = SHAPE[1]) -> np.ndarray:
    """Return an egg of line integrals up to 4 with a dense bar in it, off centre, air around."""
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    egg = (
        1 - ((y - 0.45 * rows) / (0.33 * rows)) ** 2 - ((x - 0.55 * columns) / (0.3 * columns)) ** 2
    )
    image = 4 * np.sqrt(np.clip(egg, 0, None))
    image[int(0.3 * rows) : int(0.36 * rows), int(0.45 * columns) : int(0.62 * columns)] += 0.5
    return image.astype(np.float32)


def hidden(image: np.ndarray, field: tuple[int, int, int, int], level: float) -> np.ndarray:
    top, bottom, left, right = field
    film = np.full_like(image, level)
    film[top:bottom, left:right] = image[top:bottom, left:right]
    return film


@pytest.mark.parametrize("view", [0, 1], ids=["frontal", "lateral"])
@pytest.mark.parametrize("curve", [lambda v: v**0.6, lambda v: v**1.6, lambda v: np.tanh(v / 3)])
def test_a_films_curve_gain_and_offset_are_undone(drrs, view, curve):
    drr = drrs[view]
    film = (300 * curve(drr) - 17).astype(np.float32)
    back = matched(cleaned(film).pixels, ViewReference.of([drr]))
    best_line = np.polyval(np.polyfit(film.ravel(), drr.ravel(), 1), film)
    assert np.abs(back - drr).mean() < 0.5 * np.abs(best_line - drr).mean()
    assert np.median(back[drr == 0]) == 0


def test_the_reference_of_other_heads_serves_too():
    def drr(seed: int) -> np.ndarray:
        head = make_phantom(seed, size=64, spacing_mm=4.0).ct
        return project(head, from_preset(isocentre_lps=head.grid.centre_lps, size=64))[1]

    others, own = ViewReference.of([drr(seed) for seed in (1, 2, 4)]), drr(3)
    film = (own / own.max()) ** 0.5
    best_line = np.polyval(np.polyfit(film.ravel(), own.ravel(), 1), film)
    assert np.abs(matched(film, others) - own).mean() < np.abs(best_line - own).mean()


@settings(max_examples=20, deadline=None)
@given(st.floats(0.3, 3), st.floats(0.01, 1e4), st.floats(-1e3, 1e3))
def test_the_order_of_values_is_kept(gamma, gain, offset):
    drr = ellipse()
    film = (gain * (drr / drr.max()) ** gamma + offset).astype(np.float32)
    back = matched(film, ViewReference.of([drr]))
    order = np.argsort(film, axis=None)
    assert (np.diff(back.ravel()[order]) >= -1e-6).all()


@pytest.mark.parametrize("level", [-0.4, 0.0, 4.5], ids=["shutter", "as_air", "lead"])
@pytest.mark.parametrize(
    "field",
    [(0, 90, 0, 76), (7, 90, 0, 76), (0, 80, 5, 76), (4, 84, 9, 70)],
    ids=["none", "top", "bottom_and_left", "all_round"],
)
def test_collimation_is_found_however_bright_it_is(field, level):
    random = np.random.default_rng(1)
    film = ellipse() + 0.3 * (ellipse() > 0) + random.normal(0, 0.01, SHAPE).astype(np.float32)
    film = hidden(film, field, level)
    found = exposed_field(film)
    if level == 0.0:  # like air: whether it is taken off changes nothing
        np.testing.assert_allclose(cleaned(film).pixels.mean(), film.mean(), atol=0.01)
        return
    for got, expected, edge in zip(found, field, (0, 90, 0, 76), strict=True):
        assert got == expected if expected == edge else 0 < abs(got - expected) <= 1


def test_what_the_collimator_hid_shows_air():
    film = hidden(ellipse(), (6, 86, 8, 72), 5.0)
    clean = cleaned(film)
    np.testing.assert_allclose(clean.pixels, ellipse(), atol=1e-5)
    assert clean.pixels.dtype == np.float32
    assert clean.to_dict()["field"] == [7, 85, 9, 71]


def test_markers_beside_the_head_are_taken_off_and_counted():
    film = ellipse()
    film[4:12, 4:8] = 4.4
    film[80:86, 66:72] = 4.0
    clean = cleaned(film)
    assert clean.markers == 2
    np.testing.assert_allclose(clean.pixels, ellipse(), atol=1e-5)


def test_a_drr_without_borders_and_markers_stays_as_it_is(drrs):
    for drr in drrs:
        clean = cleaned(drr)
        assert clean.field == (0, *drr.shape[:1], 0, *drr.shape[1:])
        assert clean.markers == 0
        np.testing.assert_array_equal(clean.pixels, drr)


def test_a_head_that_fills_the_film_is_not_taken_for_a_border():
    film = ellipse(200, 200)[60:120, 70:150]
    assert exposed_field(film) == (0, *film.shape[:1], 0, *film.shape[1:])


def test_the_shadow_of_a_head_is_the_same_on_film_and_drr(drrs):
    for drr in drrs:
        on_drr, on_film = head_shadow(drr), head_shadow((drr + 0.2) ** 0.7)
        assert (on_drr & on_film).sum() > 0.9 * (on_drr | on_film).sum()


@pytest.mark.parametrize("film", [np.zeros(SHAPE), np.eye(90)], ids=["blank", "a_line"])
def test_a_film_without_a_head_is_refused(film):
    with pytest.raises(InputError) as error:
        matched(cleaned(film.astype(np.float32)).pixels, ViewReference.of([ellipse()]))
    assert error.value.code == "CONSTANT_IMAGE"


def test_references_survive_the_model_files_text():
    references = {"AP": ViewReference.of([ellipse()]), "LAT": ViewReference.of([2 * ellipse()])}
    text = json.dumps(references_to_dict(references))
    assert references_from_dict(json.loads(text), ["LAT", "AP"]) == [
        references["LAT"],
        references["AP"],
    ]


def test_a_reference_is_the_mean_over_heads():
    one, two = ellipse(), 3 * ellipse()
    both = np.array(ViewReference.of([one, two]).quantiles)
    mean = (np.array(ViewReference.of([one]).quantiles) + ViewReference.of([two]).quantiles) / 2
    np.testing.assert_allclose(both, mean, atol=2e-5)
    assert (np.diff(both) >= 0).all()


@pytest.mark.parametrize(
    "quantiles",
    [
        (1.0, 2.0),
        tuple(LEVELS[::-1]),
        tuple(np.full(65, 2.0)),
        (*LEVELS[:-1], np.nan),
        (*LEVELS[:-1], np.inf),
        (-1.0, *LEVELS[1:]),
    ],
    ids=["short", "falling", "constant", "nan", "infinite", "negative"],
)
def test_what_is_no_reference_is_refused(quantiles):
    with pytest.raises(ValueError, match="rising row"):
        ViewReference(quantiles)


def test_a_bright_collimator_does_not_make_a_film_look_inverted():
    def warned(image: np.ndarray) -> bool:
        films = [Radiograph(image, "AP", (1.0, 1.0)), Radiograph(image.T, "LAT", (1.0, 1.0))]
        return any(warning.startswith("INVERTED?") for warning in check_radiographs(films))

    film = hidden(ellipse(80, 90), (6, 74, 9, 84), 6.0)
    assert not warned(film)
    assert warned(film.max() - ellipse(80, 90))
