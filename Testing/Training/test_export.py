"""From a run to a file that everybody can reconstruct with; and the commands that do it all."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from TomoRayCore.bundle import read_bundle
from TomoRayCore.errors import InputError
from TomoRayCore.inference import load_network, reconstruct
from TomoRayCore.io.volume_io import read_volume, write_volume
from TomoRayCore.nets import build
from TomoRayCore.presets import from_preset
from TomoRayTraining.__main__ import main
from TomoRayTraining.cases import read_cases
from TomoRayTraining.checkpoint import load_checkpoint
from TomoRayTraining.engine import Trainer
from TomoRayTraining.evaluate import drrs_of
from TomoRayTraining.export import ModelCard, export

CARD = {
    "summary": "A test.",
    "data": "Phantoms.",
    "licence": "None needed.",
    "attribution": "Nobody.",
    "intended_use": "Tests.",
    "known_failures": ["Everything.", "Everyone."],
}


@pytest.fixture
def card(tmp_path: Path) -> Path:
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    return tmp_path / "card.json"


def test_a_card_is_read(card):
    assert ModelCard.read(card).known_failures == ("Everything.", "Everyone.")


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card.pop("licence"),
        lambda card: card.pop("known_failures"),
        lambda card: card.update(more="x"),
        lambda card: card.update(known_failures=5),
        lambda card: card.update(known_failures="one sentence"),
        lambda card: card.update(summary=None),
    ],
    ids=["no_licence", "no_failures", "unknown_field", "a_number", "no_list", "no_text"],
)
def test_a_card_that_lacks_something_is_refused(card, change):
    data = dict(CARD)
    change(data)
    card.write_text(json.dumps(data))
    with pytest.raises(InputError) as error:
        ModelCard.read(card)
    assert error.value.code == "BAD_CARD"


@pytest.mark.parametrize("content", [b"", b"[]", b"5", b"\xff\xfe"])
def test_a_file_that_is_no_card_is_refused(card, content):
    card.write_bytes(content)
    with pytest.raises(InputError):
        ModelCard.read(card)


def test_an_exported_model_is_described_and_repeats_the_averaged_network(
    tmp_path, table, card, toy, heads
):
    torch.manual_seed(3)
    net = build("toy")
    cases = read_cases(table)
    path = tmp_path / "toy.safetensors"
    metrics = {"results": {"mae_hu": 1.0}}
    state = {"step": 7, "started_from": None}
    bundle = export(path, toy, net.state_dict(), ModelCard.read(card), cases, metrics, state)
    assert bundle.name == "toy"
    assert {tensor.dtype for tensor in bundle.tensors.values()} == {np.dtype("f2")}
    training = bundle.description["training"]
    assert (training["patients"], training["phantoms"], training["steps"]) == (0, 2, 7)
    assert training["configuration"]["name"] == "toy"
    assert bundle.description["metrics"] == metrics
    assert bundle.description["tolerance"]["sad_mm"] == list(toy.data.sad_mm)
    geometry = from_preset(isocentre_lps=heads[0].grid.centre_lps)
    sct = reconstruct(drrs_of(heads[0], geometry), None, read_bundle(path), "cpu").sct
    assert sct.grid.centre_lps == pytest.approx(heads[0].grid.centre_lps)
    images = torch.rand(1, 2, 128, 128)
    with torch.inference_mode():
        difference = load_network(bundle)(images) - net.eval()(images)
    assert difference.abs().max() < 2e-3


def test_weights_that_half_precision_cannot_hold_are_refused(tmp_path, table, card, toy):
    weights = {name: tensor * 1e9 for name, tensor in build("toy").state_dict().items()}
    target, cases = tmp_path / "x.safetensors", read_cases(table)
    with pytest.raises(InputError):
        export(target, toy, weights, ModelCard.read(card), cases, {}, {"step": 1})
    assert not target.exists()


def test_training_can_start_from_a_model_file_and_says_from_which(tmp_path, table, card, toy):
    cases = read_cases(table)
    weights = build("toy").state_dict()
    first = tmp_path / "first.safetensors"
    start = export(first, toy, weights, ModelCard.read(card), cases, {}, {"step": 5})
    trainer = Trainer(toy, cases, tmp_path / "run", initial=start)
    halves = {name: tensor.half().float() for name, tensor in weights.items()}
    assert all(
        torch.equal(trainer.recipe.generator.state_dict()[name], halves[name]) for name in halves
    )
    assert all(torch.equal(trainer.average[name], halves[name]) for name in halves)
    trainer.run()
    average, state = load_checkpoint(trainer.checkpoint, trainer.recipe)
    second = tmp_path / "second.safetensors"
    bundle = export(second, toy, average, ModelCard.read(card), cases, {}, state)
    assert bundle.description["training"]["started_from_sha256"] == start.sha256


# ------------------------------------------------------------------------------- commands


def test_from_phantoms_to_a_model_file_that_reconstructs(tmp_path, heads, card, capsys):
    data, run, model = tmp_path / "data", tmp_path / "run", tmp_path / "slim.safetensors"
    (data / "phantoms").mkdir(parents=True)
    for number, head in enumerate(heads[:3], start=1):  # existing phantoms are kept
        write_volume(head, data / "phantoms" / f"phantom_{number:04d}.nrrd")
    assert main(["prepare", "--phantoms", "3", "--out", str(data)]) == 0
    cases = read_cases(data / "cases.csv")
    assert sorted(case.split for case in cases) == ["test", "train", "val"]

    experiment = tmp_path / "slim.yaml"
    experiment.write_text(
        "name: slim\n"
        "model: {arguments: {width: 0.0625, output_size: 64}}\n"
        "data: {workers: 0, detector_size: 64}\n"
        "optimisation: {steps: 2, warmup_steps: 1, validate_every: 2}\n"
    )
    table = ["--cases", str(data / "cases.csv")]
    assert main(["train", str(experiment), *table, "--out", str(run)]) == 0
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [1, 2, 2]
    assert log[-1]["validation"]["mae_hu"] > 0

    exported = ["--run", str(run), "--card", str(card), "--out", str(model)]
    capsys.readouterr()
    assert main(["export", str(experiment), *table, *exported]) == 0
    bundle = read_bundle(model)
    assert bundle.description["metrics"] == json.loads(capsys.readouterr().out)
    average, state = load_checkpoint(
        run / "checkpoint.safetensors", nn.ModuleDict({"generator": load_network(bundle)})
    )
    assert state["step"] == bundle.description["training"]["steps"] == 2
    name = "fusion.output.0.weight"
    assert np.array_equal(bundle.tensors[name], average[name].numpy().astype(np.float16))

    out = tmp_path / "scores"
    assert main(["evaluate", "--model", str(model), *table, "--out", str(out)]) == 0
    scores = json.loads((out / "summary.json").read_text())
    kept = bundle.description["metrics"]
    assert {key: scores[key] for key in kept if key != "results"} == {
        key: value for key, value in kept.items() if key != "results"
    }
    for metric, figures in kept["results"].items():
        assert {name: scores["results"][metric][name] for name in figures} == figures
    with (out / "model.csv").open(newline="") as stream:
        assert [row["patient"] for row in csv.DictReader(stream)] == ["phantom_0002"]
    assert scores["results"]["mae_hu"]["model"]["mean"] > 0

    ct = read_volume(data / "phantoms" / "phantom_0002.nrrd")
    geometry = from_preset(isocentre_lps=ct.grid.centre_lps)
    assert reconstruct(drrs_of(ct, geometry), None, bundle, "cpu").sct.is_synthetic


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["train", "none.yaml", "--cases", "cases.csv", "--out", "run"], "BAD_CONFIG"),
        (["train", "x.yaml", "--cases", "none.csv", "--out", "run"], "BAD_CASES"),
        (["evaluate", "--model", "none", "--cases", "cases.csv", "--out", "o"], "MODEL_NOT_FOUND"),
        (["prepare", "--phantoms", "0", "--out", "o"], "BAD_CASES"),
        (["prepare", "--collection", "none", "--out", "o"], "BAD_CASES"),
    ],
    ids=["no_experiment", "no_cases", "no_model", "no_heads", "no_collection"],
)
def test_what_cannot_be_done_is_said_and_ends_with_1(
    tmp_path, monkeypatch, capsys, table, tiny_yaml, arguments, code
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny_yaml, "x.yaml")
    shutil.copy(table, "cases.csv")
    assert main(arguments) == 1
    assert f"[{code}]" in capsys.readouterr().err


def test_an_untrained_run_cannot_be_exported(tmp_path, table, tiny_yaml, card, capsys):
    arguments = ["--cases", str(table), "--run", str(tmp_path / "run"), "--card", str(card)]
    out = ["--out", str(tmp_path / "x.safetensors")]
    assert main(["export", str(tiny_yaml), *arguments, *out]) == 1
    assert "[BAD_CHECKPOINT]" in capsys.readouterr().err


def test_wrong_usage_ends_with_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train"])
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err
