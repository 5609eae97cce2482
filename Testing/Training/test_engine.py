"""A run is its settings and its seed; stopping and going on changes nothing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from TomoRayCore.errors import Cancelled, InputError
from TomoRayCore.nets import GENERATORS
from TomoRayCore.progress import Step
from TomoRayTraining.cases import Case, read_cases
from TomoRayTraining.config import Config, LossConfig, ModelConfig, OptimisationConfig
from TomoRayTraining.engine import (
    BAD_STEPS_TO_STOP,
    Trainer,
    learning_rate_share,
    peak_learning_rate,
    steps_of,
)
from TomoRayTraining.specs import specs_of


@pytest.fixture(scope="module")
def training(table: Path) -> list[Case]:
    return [case for case in read_cases(table) if case.split == "train"]


@pytest.fixture(scope="module")
def finished(training, toy, tmp_path_factory) -> Trainer:
    """An uninterrupted run."""
    seen = []

    def validate(net: torch.nn.Module) -> dict[str, float]:
        assert not net.training
        seen.append(net)
        return {"mae_hu": 1.0}

    trainer = Trainer(toy, training, tmp_path_factory.mktemp("run"), validate)
    trainer.run()
    assert len(seen) == 2
    return trainer


def log_of(trainer: Trainer) -> list[dict]:
    return [json.loads(line) for line in (trainer.folder / "log.jsonl").read_text().splitlines()]


def stop_at(step: int, number: signal.Signals) -> Callable[[Step], None]:
    def report(progress: Step) -> None:
        if progress.message.startswith(f"step {step}:"):
            os.kill(os.getpid(), number)

    return report


def test_a_run_logs_finite_losses_and_validations(finished, toy):
    log = log_of(finished)
    steps = [entry for entry in log if "loss" in entry]
    assert [entry["step"] for entry in steps] == [1, 2, 3, 4]
    for entry in steps:
        assert all(0 <= entry[k] < 1e4 for k in ("loss", "mse", "l1", "projection", "gradient"))
    assert [entry["step"] for entry in log if "validation" in entry] == [2, 4]


def test_training_changes_every_weight_that_is_used(finished, training, toy, tmp_path):
    fresh = Trainer(toy, training, tmp_path)
    changed = {
        name
        for (name, before), after in zip(
            fresh.recipe.generator.named_parameters(),
            finished.recipe.generator.parameters(),
            strict=True,
        )
        if not torch.equal(before, after)
    }
    assert changed == {"mix.weight", "mix.bias", "output.weight", "output.bias"}


def test_averaged_weights_lie_between_the_first_and_the_last(finished, training, toy, tmp_path):
    first = Trainer(toy, training, tmp_path).recipe.generator.state_dict()
    last, average = finished.recipe.generator.state_dict(), finished.average
    name = "mix.weight"
    assert not torch.equal(average[name], last[name])
    assert (average[name] - last[name]).norm() < (first[name] - last[name]).norm()
    assert torch.equal(finished.averaged_net().state_dict()[name], average[name])


def test_the_same_run_gives_the_same_weights(finished, training, toy, tmp_path):
    again = Trainer(toy, training, tmp_path)
    again.run()
    assert equal_weights(again, finished)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl_c", "terminate"])
def test_a_stopped_run_goes_on_to_the_same_weights(finished, training, toy, tmp_path, number):
    before = signal.getsignal(number)
    stopped = Trainer(toy, training, tmp_path)
    with pytest.raises(Cancelled):
        stopped.run(stop_at(3, number))
    assert stopped.step == 3
    assert signal.getsignal(number) is before
    resumed = Trainer(toy, training, tmp_path)
    assert resumed.step == 3
    resumed.run()
    assert resumed.step == 4
    assert equal_weights(resumed, finished)


@pytest.mark.parametrize("kind", ["gan", "sdct"])
def test_a_stopped_gan_goes_on_to_the_same_weights(training, toy, tmp_path, kind):
    """Both networks, both optimisers, batch norms' statistics and random octants."""
    config = adversarial(toy, kind)
    whole = Trainer(config, training, tmp_path / "whole")
    before = {name: tensor.clone() for name, tensor in whole.recipe.state_dict().items()}
    whole.run()
    moved = {
        n.split(".")[0] for n, t in whole.recipe.state_dict().items() if (t != before[n]).any()
    }
    assert moved == {"generator", "discriminator"}
    stopped = Trainer(config, training, tmp_path / "parts")
    with pytest.raises(Cancelled):
        stopped.run(stop_at(3, signal.SIGTERM))
    resumed = Trainer(config, training, tmp_path / "parts")
    assert resumed.step == 3
    resumed.run()
    assert equal_weights(resumed, whole)
    assert [entry for entry in log_of(resumed) if "loss" in entry][-1].keys() >= {
        "loss",
        "adversarial",
        "gradient",
        "discriminator/loss",
        "discriminator/real",
        "discriminator/fake",
        "discriminator/gradient",
    }


def test_generator_and_adversary_step_at_their_own_rates(training, toy, tmp_path):
    config = adversarial(toy, "gan")
    trainer = Trainer(config, training, tmp_path)
    trainer.run()
    rates_now = {
        name: optimiser.param_groups[0]["lr"] for name, optimiser in trainer.optimisers.items()
    }
    share = learning_rate_share(config, 3, 4)
    assert rates_now == {"generator": share * 1e-3, "discriminator": share * 4e-3}


def adversarial(toy: Config, kind: str) -> Config:
    """Return the toy experiment with an adversary that learns four times as fast."""
    discriminator = {"gan": "patch3d", "sdct": "sdct"}[kind]
    model = ModelConfig("toy", {"output_size": 64}, discriminator, {"width": 0.03})
    own = {"self_supervised": 10.0} if kind == "sdct" else {}
    return replace(
        toy,
        model=model,
        loss=LossConfig(adversarial=0.1, **own),
        optimisation=replace(toy.optimisation, recipe=kind, discriminator_learning_rate=4e-3),
    )


def equal_weights(one: Trainer, two: Trainer) -> bool:
    return all(
        torch.equal(a[name], b[name])
        for a, b in (
            (one.recipe.state_dict(), two.recipe.state_dict()),
            (one.average, two.average),
        )
        for name in a
    )


def test_a_finished_run_has_nothing_more_to_do(finished, training, toy):
    again = Trainer(toy, training, finished.folder)
    lines = len(log_of(finished))
    again.run()
    assert len(log_of(finished)) == lines
    assert equal_weights(again, finished)


def test_examples_from_worker_processes_are_the_same(finished, training, toy, tmp_path):
    two = replace(toy, data=replace(toy.data, workers=1))
    trainer = Trainer(two, training, tmp_path)
    trainer.run()
    assert equal_weights(trainer, finished)


def test_a_folder_of_another_experiment_is_refused(finished, training, toy):
    for other in (
        replace(toy, seed=99),
        replace(toy, loss=LossConfig(mse=1)),
        replace(toy, optimisation=replace(toy.optimisation, steps=5)),
    ):
        with pytest.raises(InputError) as error:
            Trainer(other, training, finished.folder)
        assert error.value.code == "OTHER_CONFIG"


def test_a_damaged_checkpoint_is_refused(training, toy, tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"half")
    with pytest.raises(InputError) as error:
        Trainer(toy, training, tmp_path)
    assert error.value.code == "BAD_CHECKPOINT"


def test_a_loss_that_stays_nan_ends_the_run_and_spares_the_weights(training, toy, tmp_path):
    many = replace(toy, optimisation=replace(toy.optimisation, steps=100))
    trainer = Trainer(many, training, tmp_path)
    trainer._examples = _Nans(trainer._examples[0])
    before = {name: tensor.clone() for name, tensor in trainer.recipe.state_dict().items()}
    with pytest.raises(InputError) as error:
        trainer.run()
    assert error.value.code == "DIVERGED"
    assert trainer.step == BAD_STEPS_TO_STOP
    assert all(torch.equal(before[n], t) for n, t in trainer.recipe.state_dict().items())


class _Nans(torch.utils.data.Dataset):
    """Examples whose target is no number."""

    def __init__(self, example: dict[str, torch.Tensor]) -> None:
        self.example = {**example, "target": torch.full_like(example["target"], torch.nan)}

    def __len__(self) -> int:
        return 100

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        return self.example


def rates(steps: int, **settings) -> list[float]:
    config = Config("x", optimisation=OptimisationConfig(warmup_steps=0, **settings))
    return [learning_rate_share(config, step, steps) for step in range(steps)]


def test_the_learning_rate_warms_up_and_falls_to_nothing():
    config = Config("x", optimisation=OptimisationConfig(warmup_steps=10))
    shares = [learning_rate_share(config, step, 1000) for step in range(1000)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == pytest.approx(1, rel=1e-3)
    assert shares.index(max(shares)) == 9
    assert all(a > b for a, b in pairwise(shares[9:]))
    assert shares[-1] < 1e-5
    assert rates(10)[0] == 1


def test_schedules_of_the_papers():
    linear = rates(100, schedule="linear", milestones=(0.5,))
    assert linear[:51] == [1.0] * 51
    np.testing.assert_allclose(np.diff(linear[50:]), -0.02)
    falls = rates(100, schedule="steps", milestones=(0.5, 0.7), decay=0.1)
    assert falls[49:51] == [1.0, 0.1]
    assert falls[69:71] == pytest.approx([0.1, 0.01])
    assert set(rates(20, schedule="constant")) == {1.0}


def test_the_linear_schedule_is_within_a_twentieth_of_x2ct_gans():
    """Its code sets the rate once an epoch, to 1 - max(0, epoch + 2 - 50) / 51 of the highest."""
    ours = np.reshape(rates(1000, schedule="linear", milestones=(0.5,)), (100, 10))
    theirs = [1 - max(0, epoch + 2 - 50) / 51 for epoch in range(100)]
    assert theirs[-1] == 0
    assert 0.03 < np.abs(ours - np.array(theirs)[:, None]).max() < 0.04


def test_an_adversary_may_have_a_rate_of_its_own():
    own = Config("x", optimisation=OptimisationConfig(discriminator_learning_rate=0.5))
    assert peak_learning_rate(own, "discriminator") == 0.5
    assert peak_learning_rate(own, "generator") == own.optimisation.learning_rate
    assert peak_learning_rate(Config("x"), "discriminator") == 1e-3


def test_epochs_count_the_cases_and_what_a_step_sees():
    config = Config("x", optimisation=OptimisationConfig(epochs=100, batch_size=2, accumulate=4))
    assert steps_of(config, 81) == round(100 * 81 / 8)
    assert steps_of(Config("x", optimisation=OptimisationConfig(steps=7)), 81) == 7


def test_accumulated_passes_move_as_one_batch_of_them(training, toy, tmp_path):
    weights = []
    for batch_size, accumulate in ((2, 1), (1, 2)):
        settings = replace(toy.optimisation, steps=2, batch_size=batch_size, accumulate=accumulate)
        config = replace(toy, optimisation=settings)
        trainer = Trainer(config, training, tmp_path / str(accumulate))
        for module in trainer.recipe.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        trainer.run()
        weights.append(trainer.recipe.generator.mix.weight.detach())
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-6)


def test_the_network_sees_the_field_that_its_cube_fills(toy):
    images, volume = specs_of(toy)
    assert (images.size, images.field_mm) == (128, 256.0)
    assert (volume.network_size, volume.network_spacing_mm) == (64, 4.0)
    assert volume.size * volume.spacing_mm == images.field_mm


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model": ModelConfig("unet")}, "ARCHITECTURE_UNKNOWN"),
        ({"model": ModelConfig(arguments={"width": -1})}, "ARCHITECTURE_ARGUMENTS"),
        ({"model": ModelConfig(arguments={"output_size": "x"})}, "ARCHITECTURE_ARGUMENTS"),
        ({"optimisation": OptimisationConfig(recipe="magic")}, "BAD_CONFIG"),
    ],
)
def test_an_experiment_that_cannot_be_built_is_refused(training, toy, tmp_path, change, code):
    with pytest.raises(InputError) as error:
        Trainer(replace(toy, **change), training, tmp_path / "run")
    assert error.value.code == code
    assert not (tmp_path / "run").exists()


def test_an_output_size_that_is_no_number_is_refused(toy):
    with pytest.raises(InputError):
        specs_of(replace(toy, model=ModelConfig(arguments={"output_size": "x"})))


def test_an_encoder_can_start_from_a_local_file(training, toy, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        GENERATORS["toy"], "load_backbone", lambda net, path: asked.append(path), raising=False
    )
    model = replace(toy.model, backbone="resnet.safetensors")
    Trainer(replace(toy, model=model), training, tmp_path)
    assert asked == ["resnet.safetensors"]


def test_a_backbone_for_a_network_without_one_is_refused(training, toy, tmp_path):
    with pytest.raises(InputError, match="starts from no backbone"):
        Trainer(replace(toy, model=replace(toy.model, backbone="x")), training, tmp_path)
