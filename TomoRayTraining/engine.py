"""The training loop: steps, averaged weights, validation, checkpoints, stopping and resuming."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from TomoRayCore.bundle import Bundle
from TomoRayCore.devices import pick_device
from TomoRayCore.errors import Cancelled, InputError
from TomoRayCore.inference import load_network
from TomoRayCore.nets import build
from TomoRayCore.nets.blocks import channels_last
from TomoRayCore.network_io import InputSpec, OutputSpec
from TomoRayCore.progress import Progress, Report
from TomoRayTraining.cases import Case
from TomoRayTraining.checkpoint import load_checkpoint, save_checkpoint
from TomoRayTraining.config import Config
from TomoRayTraining.dataset import TrainingExamples
from TomoRayTraining.recipes import recipe

Validate = Callable[[nn.Module], dict[str, float]]
MAX_GRADIENT_NORM = 1.0
BAD_STEPS_TO_STOP = 10


def specs_of(config: Config) -> tuple[InputSpec, OutputSpec]:
    """Return what an experiment's network sees and gives."""
    size = config.model.arguments.get("output_size", 128)
    if type(size) is not int:
        raise InputError(
            "BAD_CONFIG",
            f"model.arguments.output_size must be a whole number; got {size!r}.",
            "Correct the experiment's YAML file.",
        )
    spacing_mm = config.data.spacing_mm
    output = OutputSpec(size, spacing_mm, round(size * spacing_mm / 2.0), 2.0)
    return InputSpec(size=128, field_mm=size * spacing_mm), output


class Trainer:
    """One run in one folder.

    Args:
        config: The experiment.
        cases: The training split.
        folder: Receives ``checkpoint.safetensors`` and ``log.jsonl``.
        validate: Scores a network; called now and then with the averaged weights, on the CPU.
        device: ``auto``, ``cpu`` or ``cuda``.
        initial: A model of the same architecture to start from instead of random weights.

    Raises:
        InputError: ``MODEL_MISMATCH`` for an initial model that does not fit, ``BAD_CHECKPOINT`` or ``OTHER_CONFIG`` for a folder of another experiment.
    """

    def __init__(
        self,
        config: Config,
        cases: Sequence[Case],
        folder: Path,
        validate: Validate | None = None,
        device: str = "auto",
        initial: Bundle | None = None,
    ) -> None:
        self.config, self.folder = config, folder
        self._validate = validate
        torch.manual_seed(config.seed)
        self.device = pick_device(device)
        self.net = channels_last(build(config.model.architecture, config.model.arguments))
        if initial is not None:
            self.net.load_state_dict(load_network(initial).state_dict())
        self.net.to(self.device)
        self.started_from = None if initial is None else initial.sha256
        self._recipe = recipe(config.optimisation.recipe)(self.net, config.loss)
        self._optimiser = torch.optim.Adam(self.net.parameters(), betas=(0.5, 0.99))
        self._examples = TrainingExamples(cases, config, *specs_of(config))
        self.average = {name: t.clone() for name, t in self.net.state_dict().items()}
        self.step = 0
        self._stop = False
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = folder / "checkpoint.safetensors"
        if self.checkpoint.exists():
            self._resume()

    def run(self, report: Report | None = None) -> None:
        """Train to the end.

        Raises:
            Cancelled: After SIGINT or SIGTERM, with a checkpoint written.
            InputError: ``DIVERGED`` when loss or gradients stay non-finite.
        """
        progress = Progress(report)
        handlers = {n: signal.signal(n, self._on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._run(progress)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def averaged_net(self) -> nn.Module:
        """Return a network with the averaged weights, in evaluation mode."""
        net = build(self.config.model.architecture, self.config.model.arguments)
        net.load_state_dict({name: tensor.cpu() for name, tensor in self.average.items()})
        return net.eval()

    def _run(self, progress: Progress) -> None:
        optimisation = self.config.optimisation
        loader = DataLoader(
            Subset(self._examples, range(self.step, optimisation.steps)),
            batch_size=1,
            num_workers=self.config.data.workers,
            prefetch_factor=2 if self.config.data.workers else None,
        )
        bad_steps = 0
        for batch in loader:
            terms = self._take_step(batch)
            bad_steps = 0 if math.isfinite(terms["loss"]) else bad_steps + 1
            if bad_steps >= BAD_STEPS_TO_STOP:
                raise InputError(
                    "DIVERGED",
                    f"The loss was not finite for {bad_steps} steps, up to step {self.step}.",
                    "Lower optimisation.learning_rate and resume from the last checkpoint.",
                )
            self._log({"step": self.step, **terms})
            share = self.step / optimisation.steps
            progress("training", share, f"step {self.step}: loss {terms['loss']:.4f}")
            if self._stop or self.step % optimisation.checkpoint_every == 0:
                self._save()
            if self._stop:
                raise Cancelled
            if self._validate is not None and self.step % optimisation.validate_every == 0:
                self._log({"step": self.step, "validation": self._validate(self.averaged_net())})
        self._save()

    def _take_step(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """Take one optimiser step, unless loss or gradient is not finite."""
        torch.manual_seed(hash((self.config.seed, self.step)) % 2**31)  # dropout
        self.net.train()
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        self._optimiser.zero_grad(set_to_none=True)
        on_device = {name: tensor.to(self.device) for name, tensor in batch.items()}
        terms: dict[str, Tensor] = self._recipe.training_step(on_device)
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), MAX_GRADIENT_NORM)
        if torch.isfinite(terms["loss"]) and torch.isfinite(norm):
            self._optimiser.step()
            self._update_average()
        self.step += 1
        return {name: value.item() for name, value in terms.items()} | {"gradient": norm.item()}

    def _update_average(self) -> None:
        # A short memory at first: random weights must not linger in the average.
        decay = min(self.config.optimisation.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, tensor in self.net.state_dict().items():
                self.average[name].lerp_(tensor, 1 - decay)

    def _resume(self) -> None:
        average, state = load_checkpoint(self.checkpoint, self.net, self._optimiser)
        if state["fingerprint"] != self.config.fingerprint():
            raise InputError(
                "OTHER_CONFIG",
                f"{self.checkpoint} belongs to other settings ({state['fingerprint']}).",
                "Use another folder, or the configuration it was started with.",
            )
        self.average = {name: tensor.to(self.device) for name, tensor in average.items()}
        self.step, self.started_from = int(state["step"]), state.get("started_from")

    def _save(self) -> None:
        state = {
            "step": self.step,
            "fingerprint": self.config.fingerprint(),
            "started_from": self.started_from,
        }
        save_checkpoint(self.checkpoint, self.net, self._optimiser, self.average, state)

    def _log(self, entry: dict[str, Any]) -> None:
        entry = {"time": round(time.time(), 1), **entry}
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop = True


def learning_rate(config: Config, step: int) -> float:
    """Return the rate of one step: linear warm-up, then a cosine to zero."""
    optimisation = config.optimisation
    warm = min(1.0, (step + 1) / max(1, optimisation.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * step / optimisation.steps))
    return optimisation.learning_rate * warm * cosine
