"""A radiograph that exists can be reconstructed from."""

from __future__ import annotations

import numpy as np
import pytest

from TomoRayCore.errors import InputError
from TomoRayCore.radiograph import MIN_PIXELS, Radiograph


def picture(shape=(17, 23)) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape)


def test_pixels_become_read_only_float32_in_a_copy():
    pixels = picture()
    radiograph = Radiograph(pixels, "AP", (0.2, 0.3))
    before = pixels.astype(np.float32)
    pixels[:] = 0
    assert radiograph.pixels.dtype == np.float32
    assert np.array_equal(radiograph.pixels, before)
    assert radiograph.shape == (17, 23)
    with pytest.raises(ValueError, match="read-only"):
        radiograph.pixels[0, 0] = 1


def test_provenance_does_not_follow_the_dictionary_it_was_made_of():
    provenance = {"file": "a.png"}
    radiograph = Radiograph(picture(), "LAT", None, provenance=provenance)
    provenance["file"] = "b.png"
    assert radiograph.provenance["file"] == "a.png"
    with pytest.raises(TypeError):
        radiograph.provenance["file"] = "c.png"


def spoilt(value: float) -> np.ndarray:
    pixels = picture()
    pixels[3, 5] = value
    return pixels


@pytest.mark.parametrize(
    ("pixels", "code"),
    [
        (picture((17, 23, 3)), "NOT_2D"),
        (picture((400,)), "NOT_2D"),
        (picture().astype(complex), "NOT_2D"),
        (np.full((17, 23), "x"), "NOT_2D"),
        (spoilt(np.nan), "NON_FINITE"),
        (spoilt(np.inf), "NON_FINITE"),
        (spoilt(1e300), "NON_FINITE"),
        (picture((MIN_PIXELS - 1, 40)), "TOO_SMALL"),
        (picture((40, MIN_PIXELS - 1)), "TOO_SMALL"),
        (np.zeros((0, 40)), "TOO_SMALL"),
        (np.full((17, 23), 7), "CONSTANT_IMAGE"),
        (spoilt(0.1) * 1e-12 + 1e6, "CONSTANT_IMAGE"),
    ],
)
def test_an_image_that_shows_nothing_is_refused(pixels, code):
    with pytest.raises(InputError) as error:
        Radiograph(pixels, "AP", None)
    assert error.value.code == code


@pytest.mark.parametrize("view", ["ap", "LATERAL", "", None])
def test_an_unknown_view_is_refused(view):
    with pytest.raises(InputError) as error:
        Radiograph(picture(), view, None)
    assert error.value.code == "VIEW_UNKNOWN"


@pytest.mark.parametrize(
    "spacing", [(0, 1), (1, -1), (np.nan, 1), (1, np.inf), (0.001, 0.001), (25, 1)]
)
def test_a_spacing_that_no_detector_has_is_refused(spacing):
    with pytest.raises(InputError) as error:
        Radiograph(picture(), "AP", spacing)
    assert error.value.code == "BAD_SPACING"


def test_whole_numbers_and_booleans_are_pixels_too():
    assert Radiograph(picture().astype(np.uint16) + np.eye(17, 23, dtype=np.uint16), "PA", None)
    assert Radiograph(picture() > 0, "LAT", (1, 1)).pixels.max() == 1
