"""An experiment's file says what is meant, or is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import TomoRayTraining
from TomoRayCore.errors import InputError
from TomoRayTraining.config import Config, OptimisationConfig
from TomoRayTraining.config_file import read_config
from TomoRayTraining.recipes import RECIPES

EXPERIMENTS = sorted((Path(TomoRayTraining.__file__).parent / "experiments").glob("*.yaml"))


def refusal(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as error:
        read_config(path)
    assert error.value.code == "BAD_CONFIG"
    return error.value.message


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_the_shipped_experiments_can_be_read_and_run(path):
    config = read_config(path)
    # A later stage trains the same model on, so it keeps the model's name.
    assert config.name == path.stem.split("-stage")[0]
    assert config.optimisation.recipe in RECIPES
    assert config.model.architecture in RECIPES[config.optimisation.recipe].REGISTRY


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_shipped_experiments_detector_is_as_fine_as_its_networks_images(path):
    config = read_config(path)
    assert config.data.detector_size >= config.model.arguments.get("input_size", 128)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiments_of_papers_feed_the_cube_back_as_the_released_code_does(path):
    """The released code does so wherever it feeds averages back; our own model never does."""
    config = read_config(path)
    arguments = config.model.arguments
    if config.model.architecture == "x2ct-biplanar":
        published = config.name != "tomoray-head-64"
        fed_back = published and arguments.get("feed_average_back", True)
        assert arguments.get("feed_cube_back", False) == fed_back


def test_there_is_a_shipped_experiment():
    assert EXPERIMENTS


def test_what_is_not_said_has_its_default(tmp_path):
    (tmp_path / "x.yaml").write_text("name: x\noptimisation: {steps: 7}\n")
    config = read_config(tmp_path / "x.yaml")
    assert config == Config("x", optimisation=OptimisationConfig(steps=7))


def test_a_configuration_survives_a_round_trip_through_yaml(tmp_path):
    config = Config("x", seed=3, optimisation=OptimisationConfig(steps=7))
    data = config.to_dict()
    data["data"]["sad_mm"] = list(data["data"]["sad_mm"])
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(data))
    assert read_config(tmp_path / "x.yaml") == config


def test_whole_numbers_are_distances_too(tmp_path):
    (tmp_path / "x.yaml").write_text("name: x\ndata: {sad_mm: [900, 1000], spacing_mm: 4}\n")
    data = read_config(tmp_path / "x.yaml").data
    assert data.sad_mm == (900.0, 1000.0)
    assert isinstance(data.spacing_mm, float)


def test_every_setting_changes_the_fingerprint():
    config = Config("x")
    assert config.fingerprint() == Config("x").fingerprint()
    assert replace(config, seed=1).fingerprint() != config.fingerprint()
    longer = replace(config, optimisation=OptimisationConfig(steps=7))
    assert longer.fingerprint() != config.fingerprint()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "- a\n- b",
        "{",
        "name: [",
        "!!python/object/apply:os.system [ls]",
        b"\xff\xfe\xfd",
        "seed: 1",
        "name: 5",
        "name: [a]",
        "name: ''",
        "name: ../../escape",
        "name: x\nseed: one",
        "name: x\nseed: 1.5",
        "name: x\nseed: true",
        "name: x\nseed: -1",
        "name: x\nspeed: 1",
        "name: x\n1: 2\nb: 3",
        "name: x\nmodel: 5",
        "name: x\nmodel: {arguments: 5}",
        "name: x\nmodel: {width: 5}",
        "name: x\noptimisation: {step: 5}",
        "name: x\noptimisation: {steps: 0}",
        "name: x\noptimisation: {steps: 5.0}",
        "name: x\noptimisation: {checkpoint_every: 0}",
        "name: x\noptimisation: {validate_every: 0}",
        "name: x\noptimisation: {ema_decay: 1}",
        "name: x\noptimisation: {learning_rate: '1e-3'}",
        "name: x\noptimisation: {learning_rate: .nan}",
        "name: x\naugmentation: {noise: -1}",
        "name: x\naugmentation: {flip: 1}",
        "name: x\naugmentation: {scale: 1}",
        "name: x\naugmentation: {rotation_deg: false}",
        "name: x\ndata: {sad_mm: 900}",
        "name: x\ndata: {sad_mm: [900]}",
        "name: x\ndata: {sad_mm: [900, 800]}",
        "name: x\ndata: {sad_mm: [a, b]}",
        "name: x\ndata: {sad_mm: [900, .inf]}",
        "name: x\ndata: {sdd_over_sad: 1}",
        "name: x\ndata: {spacing_mm: 0}",
        "name: x\ndata: {workers: -1}",
        "name: x\ndata: {shares: {whole: -1}}",
        "name: x\ndata: {shares: {whole: many}}",
        "name: x\nloss: {mse: .inf}",
    ],
)
def test_a_file_that_is_no_experiment_is_refused(tmp_path, text):
    refusal(tmp_path, text)


def test_a_refusal_names_the_setting_and_what_there_is(tmp_path):
    message = refusal(tmp_path, "name: x\noptimisation: {stepz: 5}")
    assert "optimisation.stepz" in message
    assert "learning_rate" in message


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError):
        read_config(tmp_path / "none.yaml")
    with pytest.raises(InputError):
        read_config(tmp_path)
