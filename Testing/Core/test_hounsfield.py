"""HU and attenuation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from TomoRayCore.hounsfield import MU_WATER_PER_MM, hu_from_mu_per_mm, mu_per_mm_from_hu


def test_water_has_its_tabulated_attenuation_and_air_none():
    mu = mu_per_mm_from_hu(np.array([0, -1000, 1000], np.int16))
    assert np.allclose(mu, [MU_WATER_PER_MM, 0, 2 * MU_WATER_PER_MM], atol=1e-9)
    assert mu.dtype == np.float32


def test_nothing_attenuates_less_than_vacuum():
    assert not mu_per_mm_from_hu(np.array([-1001, -1024, -32768], np.int16)).any()


def test_the_input_is_left_alone():
    volume_hu = np.array([-1024.0, 5.0], np.float32)
    mu_per_mm_from_hu(volume_hu)
    assert volume_hu.tolist() == [-1024.0, 5.0]


@settings(max_examples=100, deadline=None)
@given(st.floats(-1000, 30000, width=32), st.floats(0.005, 0.1))
def test_attenuation_gives_the_hu_back(hu, mu_water_per_mm):
    mu = mu_per_mm_from_hu(np.array([hu], np.float32), mu_water_per_mm)
    assert hu_from_mu_per_mm(mu, mu_water_per_mm)[0] == pytest.approx(hu, rel=1e-5, abs=1e-3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-32768, 32767), min_size=2, max_size=9))
def test_denser_never_attenuates_less(values):
    mu = mu_per_mm_from_hu(np.sort(np.array(values, np.int16)))
    assert (np.diff(mu) >= 0).all()
