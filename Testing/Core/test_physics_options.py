"""Options are checked, survive JSON, and say what they do."""

from __future__ import annotations

import dataclasses
import json

import pytest

from TomoRayCore.errors import InputError
from TomoRayCore.physics.options import PRESETS, DrrOptions, options_named
from TomoRayCore.physics.spectrum import half_value_layer_mm, tube_spectrum


def test_the_default_is_line_integrals_and_nothing_else() -> None:
    assert PRESETS["line-integral"] == DrrOptions()
    assert DrrOptions().pixels_are_projections
    assert DrrOptions().describe() == "line integrals: 60 keV"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_json(name: str) -> None:
    options = options_named(name)
    assert DrrOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == options


def test_options_survive_json_with_structures() -> None:
    options = DrrOptions(kvp=90, structures=("soft-tissue", "bone"), photons_per_mm2=1e4)
    assert DrrOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == options


def test_options_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DrrOptions().kvp = 70  # type: ignore[misc]


def test_every_option_that_differs_from_its_default_is_described() -> None:
    plain = DrrOptions(kvp=80, scatter=True, exposure_ugy=5)
    for change in (
        {"filtration_al_mm": 4},
        {"filtration_cu_mm": 0.1},
        {"oversampling": 3},
        {"focal_spot_mm": 0.6},
        {"grid": True},
        {"detector_blur_mm": 0.2},
        {"electronic_noise_quanta": 4},
        {"quantity": "transmission"},
        {"anode_angle_deg": 15},
        {"structures": ("bone",)},
    ):
        assert dataclasses.replace(plain, **change).describe() != plain.describe(), change
    assert "80 kV" in plain.describe()
    assert "5 uGy" in plain.describe()


def test_the_physical_preset_has_the_beam_quality_it_claims() -> None:
    physical = PRESETS["physical"]
    beam = tube_spectrum(physical.kvp or 0, physical.filtration_al_mm)
    assert half_value_layer_mm(beam) == pytest.approx(2.58, rel=0.03)  # IEC 61267 RQR 5


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"kvp": 39}, "39"),
        ({"kvp": "70"}, "'70'"),
        ({"kvp": float("nan")}, "nan"),
        ({"kvp": True}, "True"),
        ({"kvp": 70, "filtration_al_mm": None}, "None"),
        ({"kvp": 70, "filtration_al_mm": 0}, "0"),
        ({"filtration_al_mm": 3.5}, "tube voltage"),
        ({"anode_angle_deg": 10}, "tube voltage"),
        ({"oversampling": 1.5}, "1.5"),
        ({"oversampling": 0}, "0"),
        ({"oversampling": 9}, "9"),
        ({"focal_spot_mm": -1}, "-1"),
        ({"detector_blur_mm": 11}, "11"),
        ({"scatter": 1}, "1"),
        ({"grid": True}, "scatter"),
        ({"exposure_ugy": 0}, "0"),
        ({"exposure_ugy": 1, "photons_per_mm2": 1}, "twice"),
        ({"electronic_noise_quanta": 3}, "exposure"),
        ({"quantity": "log"}, "'log'"),
        ({"structures": "bone"}, None),
        ({"structures": ("bone", "bone")}, "twice"),
        ({"structures": ("fat",)}, "'fat'"),
        ({"projector": "diffdrr"}, "'diffdrr'"),
        ({"projector": "plastimatch", "kvp": 70}, "combined"),
        ({"projector": "plastimatch", "oversampling": 2}, "combined"),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_its_value(wrong: dict, told: str | None) -> None:
    if told is None:
        assert DrrOptions(**wrong).structures == ("bone",)
        return
    with pytest.raises(InputError, match="BAD_OPTION") as caught:
        DrrOptions(**wrong)
    assert told in str(caught.value)
    assert caught.value.remedy


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="kVp"):
        DrrOptions.from_dict({"kVp": 70})
    with pytest.raises(InputError, match="plastimatch-compatible"):
        options_named("realistic")
