"""Grey values and the way back."""

from __future__ import annotations

import numpy as np
import pytest

from TomoRayCore.errors import InputError
from TomoRayCore.physics.display import BEHIND_A_HEAD, Display, behind

IMAGE = np.random.default_rng(1).random((17, 23)).astype(np.float32) * 6 - 0.5


@pytest.mark.parametrize("invert", [False, True])
def test_sixteen_bits_give_the_pixels_back(invert: bool) -> None:
    greys = Display(low_percentile=0, high_percentile=100, invert=invert).to_uint16(IMAGE)
    assert greys.pixels.dtype == np.uint16
    back = greys.slope * greys.pixels.astype(float) + greys.intercept
    np.testing.assert_allclose(back, IMAGE, atol=abs(greys.slope) * 0.51)


def test_inverted_greys_are_the_negative() -> None:
    plain, inverted = (Display(low=0, high=4, invert=i).to_uint8(IMAGE).pixels for i in (0, 1))
    assert (np.abs(255 - inverted.astype(int) - plain) <= 1).all()


def test_a_window_clips_at_both_ends() -> None:
    pixels = np.array([[-9.0, 1.0, 2.0, 3.0, 9.0]])
    assert Display(low=1, high=3).to_uint8(pixels).pixels.tolist() == [[0, 0, 128, 255, 255]]


def test_percentiles_leave_out_the_rare_extremes() -> None:
    pixels = np.arange(1001.0).reshape(7, 143)
    pixels[0, 0], pixels[6, 142] = -1e6, 1e6
    low, high = Display(low_percentile=1, high_percentile=99).window(pixels)
    assert (low, high) == (pytest.approx(10), pytest.approx(990))


def test_a_constant_image_is_black_not_broken() -> None:
    greys = Display().to_uint16(np.full((3, 4), 2.5))
    assert not greys.pixels.any()


def test_transmission_behind_a_head_shows_bone_bright() -> None:
    open_beam, tissue, bone = BEHIND_A_HEAD.to_uint8(np.array([[1.0, 0.05, 0.01]])).pixels[0]
    assert open_beam == 0 < tissue < bone


def test_the_window_of_a_transmission_follows_what_passes() -> None:
    side = np.array([1.0, 1.0, 0.6, 0.5, 0.3, 0.06, 0.05, 0.03, 0.02, 0.01])
    assert behind(side) == BEHIND_A_HEAD
    front = np.array([1.0, 1.0, 0.5, 0.04, 0.03, 0.02, 0.01])
    assert behind(front) == Display(low=0.0, high=0.04, invert=True)
    bone_alone = np.array([1.0, 0.9, 0.8, 0.6, 0.4, 0.3])
    low, high = behind(bone_alone).window(bone_alone)
    assert (low, high) == (0, 0.8)
    greys = behind(bone_alone).to_uint8(bone_alone).pixels
    assert (np.diff(greys.astype(int)) >= 0).all()
    assert len(set(greys.tolist())) == 4
    nothing = np.ones((3, 4))
    assert not behind(nothing).to_uint16(nothing).pixels.any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 2.0, "high": 2.0},
        {"low": float("nan")},
        {"low_percentile": 60, "high_percentile": 40},
        {"high_percentile": 101},
    ],
)
def test_an_empty_window_is_refused(wrong: dict) -> None:
    with pytest.raises(InputError, match="BAD_OPTION"):
        Display(**wrong)
