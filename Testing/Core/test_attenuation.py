"""Rules from HU to attenuation."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from TomoRayCore.drr.attenuation import PLASTIMATCH, RULES, WATER_60KEV, MuRule
from TomoRayCore.errors import InputError
from TomoRayCore.hounsfield import MU_WATER_PER_MM

EVERY_RULE = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def test_the_default_is_the_engines_water():
    assert WATER_60KEV.mu_water_per_mm == MU_WATER_PER_MM
    assert WATER_60KEV.energy_kev == 60.0
    assert WATER_60KEV.output_scale == 1.0


def test_the_default_sees_lung_which_plastimatch_takes_for_air():
    lung_hu = np.array([-850, -801, -800, -799], np.int16)
    assert WATER_60KEV.mu_per_mm(lung_hu) == pytest.approx(
        [0.15 * 0.02059, 0.199 * 0.02059, 0.2 * 0.02059, 0.201 * 0.02059], rel=1e-5
    )
    assert PLASTIMATCH.mu_per_mm(lung_hu) == pytest.approx([0, 0, 0, 0.201 * 0.022], rel=1e-5)


@EVERY_RULE
def test_water_attenuates_by_its_constant_and_air_not_at_all(rule):
    mu = rule.mu_per_mm(np.array([[0, 1000], [-1000, -3000]], np.int16))
    assert mu == pytest.approx(np.array([[1, 2], [0, 0]]) * rule.mu_water_per_mm, rel=1e-6)
    assert mu.dtype == np.float32


@EVERY_RULE
@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-32768, 32767), min_size=2, max_size=9))
def test_denser_never_attenuates_less(rule, values):
    assert (np.diff(rule.mu_per_mm(np.sort(np.array(values, np.int16)))) >= 0).all()


@EVERY_RULE
def test_integers_and_floats_give_the_same_and_stay_as_they_are(rule):
    whole = np.arange(-1200, 3000, 7, dtype=np.int16)
    real = whole.astype(np.float32)
    real.setflags(write=False)
    assert np.array_equal(rule.mu_per_mm(whole), rule.mu_per_mm(real))
    assert np.array_equal(rule.mu_per_mm(whole[::-3]), rule.mu_per_mm(whole)[::-3])


@EVERY_RULE
def test_a_rule_survives_json(rule):
    assert MuRule(**json.loads(json.dumps(rule.to_dict()))) == rule


@pytest.mark.parametrize(
    "wrong",
    [
        {"mu_water_per_mm": 0.0},
        {"mu_water_per_mm": math.nan},
        {"mu_water_per_mm": 0.02, "output_scale": -1.0},
        {"mu_water_per_mm": 0.02, "output_scale": 0.0},
        {"mu_water_per_mm": 0.02, "air_below_hu": math.nan},
        {"mu_water_per_mm": 0.02, "energy_kev": math.inf},
        {"mu_water_per_mm": 0.02, "energy_kev": 0.0},
    ],
)
def test_numbers_without_meaning_make_no_rule(wrong):
    with pytest.raises(InputError) as caught:
        MuRule("mine", **wrong)
    assert caught.value.code == "BAD_MU_RULE"
