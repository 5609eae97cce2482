"""What is refused at the door, and what passes with a warning."""

from __future__ import annotations

import numpy as np
import pytest

from TomoRayCore.checks import check_head_ct, check_radiographs
from TomoRayCore.coordinates import compose_affine
from TomoRayCore.errors import InputError
from TomoRayCore.phantom import make_phantom
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.volume import SYNTHETIC_KEY, Volume


@pytest.fixture(scope="module")
def head() -> Volume:
    return make_phantom(seed=5, size=64, spacing_mm=4.0).ct


def refusal(call, *arguments) -> str:
    with pytest.raises(InputError) as error:
        call(*arguments)
    return error.value.code


def codes(warnings: list[str]) -> list[str]:
    return [warning.split(":")[0] for warning in warnings]


# ------------------------------------------------------------------------------- CT


def test_a_head_passes_without_a_warning(head):
    assert check_head_ct(head) == []


def test_a_few_slices_are_no_head(head):
    for axis in range(3):
        few = np.take(head.array_hu, range(30, 37), axis=axis)
        assert refusal(check_head_ct, Volume(few, head.ijk_to_lps)) == "TOO_FEW_SLICES"


def test_a_finger_is_no_head(head):
    small = compose_affine(np.eye(3), (0.9, 4, 4), (0, 0, 0))
    assert refusal(check_head_ct, Volume(head.array_hu, small)) == "FIELD_TOO_SMALL"


@pytest.mark.parametrize(
    "change",
    [lambda hu: hu + 1024, lambda hu: np.zeros_like(hu), lambda hu: np.minimum(hu, 150)],
    ids=["intercept_forgotten", "empty", "no_bone"],
)
def test_numbers_that_are_no_hu_are_refused(head, change):
    volume = Volume(change(head.array_hu), head.ijk_to_lps)
    assert refusal(check_head_ct, volume) == "HU_IMPLAUSIBLE"


def test_a_missing_vertex_is_warned_about(head):
    assert codes(check_head_ct(Volume(head.array_hu[:-10], head.ijk_to_lps))) == ["VERTEX_MISSING"]


def test_a_scan_without_a_skull_is_warned_about():
    values = np.full((40, 40, 40), -1000, np.int16)
    values[:, 10:30, 10:30] = 50
    values[:, 18:22, 18:22] = 900
    volume = Volume(values, np.diag([2.0, 2.0, 2.0, 1.0]))
    assert codes(check_head_ct(volume)) == ["NO_SKULL"]


def test_a_synthetic_ct_is_warned_about(head):
    volume = Volume(head.array_hu, head.ijk_to_lps, {SYNTHETIC_KEY: "true"})
    assert codes(check_head_ct(volume)) == ["SYNTHETIC_INPUT"]


# ------------------------------------------------------------------------------- radiographs


def film(view: str, seed: int = 1, quantity: str = "line_integral", shape=(40, 50)) -> Radiograph:
    """Return a bright noisy disc on dark ground."""
    rows, columns = np.indices(shape)
    inside = (rows - shape[0] / 2) ** 2 + (columns - shape[1] / 2) ** 2 < (shape[0] / 3) ** 2
    noise = np.random.default_rng(seed).normal(0, 0.3, shape)
    return Radiograph(3.0 * inside + noise, view, (1.0, 1.0), quantity)


@pytest.mark.parametrize(
    "views", [("AP", "LAT"), ("PA", "LAT"), ("LAT", "AP"), ("LAT", "PA")], ids="-".join
)
def test_one_frontal_and_one_lateral_image_pass(views):
    assert check_radiographs([film(view, seed) for seed, view in enumerate(views)]) == []


@pytest.mark.parametrize(
    "views",
    [(), ("AP",), ("LAT",), ("AP", "PA"), ("LAT", "LAT"), ("AP", "AP"), ("AP", "LAT", "LAT")],
    ids="-".join,
)
def test_other_sets_of_views_are_refused(views):
    images = [film(view, seed) for seed, view in enumerate(views)]
    assert refusal(check_radiographs, images) == "VIEWS_MISSING"


def test_the_same_picture_twice_is_refused():
    assert refusal(check_radiographs, [film("AP", 3), film("LAT", 3)]) == "IDENTICAL_VIEWS"


def test_the_same_picture_at_another_exposure_is_refused():
    image = film("AP", 3)
    other = Radiograph(image.pixels * 7 - 100, "LAT", (1.0, 1.0))
    assert refusal(check_radiographs, [image, other]) == "IDENTICAL_VIEWS"


def test_pictures_of_different_shapes_are_different():
    assert check_radiographs([film("AP", 3), film("LAT", 3, shape=(50, 40))]) == []


def test_uncalibrated_films_are_warned_about():
    images = [film("AP", 1, "relative"), film("LAT", 2, "relative")]
    assert codes(check_radiographs(images)) == ["UNCALIBRATED"]


@pytest.mark.parametrize("shape", [(16, 16), (40, 50), (333, 17)])
def test_an_inverted_film_is_warned_about(shape):
    lateral = film("LAT", 2, shape=shape)
    inverted = Radiograph(5 - lateral.pixels, "LAT", (1.0, 1.0), "line_integral")
    warnings = check_radiographs([film("AP", 1, shape=shape), inverted])
    assert codes(warnings) == ["INVERTED?"]
    assert "LAT" in warnings[0]
