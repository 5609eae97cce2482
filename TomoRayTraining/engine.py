"""The training loop: steps, averaged weights, validation, checkpoints, stopping and resuming."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from TomoRayCore.bundle import Bundle
from TomoRayCore.devices import pick_device
from TomoRayCore.errors import Cancelled, InputError
from TomoRayCore.inference import load_network
from TomoRayCore.nets import build
from TomoRayCore.nets.blocks import channels_last
from TomoRayCore.progress import Progress, Report
from TomoRayTraining.cases import Case
from TomoRayTraining.checkpoint import load_checkpoint, save_checkpoint
from TomoRayTraining.config import Config
from TomoRayTraining.recipes import recipe
from TomoRayTraining.recipes.base import Score, Update

BAD_STEPS_TO_STOP = 10


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
        validate: Score | None = None,
        device: str = "auto",
        initial: Bundle | None = None,
    ) -> None:
        self.config, self.folder = config, folder
        self._validate = validate
        self.device = pick_device(device)
        self.steps = steps_of(config, len(cases))
        torch.manual_seed(config.seed)
        kind = recipe(config.optimisation.recipe)
        generator = channels_last(
            build(config.model.architecture, config.model.arguments, kind.REGISTRY)
        )
        if config.model.backbone:
            _load_backbone(generator, config)
        if initial is not None:
            generator.load_state_dict(load_network(initial).state_dict())
        self.started_from = None if initial is None else initial.sha256
        self.recipe = kind(generator, config).to(self.device)
        self.optimisers = {
            name: _optimiser(network, config) for name, network in self.recipe.named_children()
        }
        per_step = config.optimisation.batch_size * config.optimisation.accumulate
        self._examples = kind.examples(cases, config, self.steps * per_step)
        self.average = {name: t.clone() for name, t in generator.state_dict().items()}
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
        """Return a generator with the averaged weights, in evaluation mode."""
        model = self.config.model
        net = build(model.architecture, model.arguments, self.recipe.REGISTRY)
        net.load_state_dict({name: tensor.cpu() for name, tensor in self.average.items()})
        return net.eval()

    def _run(self, progress: Progress) -> None:
        optimisation = self.config.optimisation
        bad_steps = 0
        for batches in self._batches():
            terms = self._take_step(batches)
            bad_steps = 0 if all(map(math.isfinite, terms.values())) else bad_steps + 1
            if bad_steps >= BAD_STEPS_TO_STOP:
                raise InputError(
                    "DIVERGED",
                    f"The loss was not finite for {bad_steps} steps, up to step {self.step}.",
                    "Lower optimisation.learning_rate and resume from the last checkpoint.",
                )
            self._log({"step": self.step, **terms})
            share = self.step / self.steps
            progress("training", share, f"step {self.step}: loss {terms['loss']:.4f}")
            if self._stop or self.step % optimisation.checkpoint_every == 0:
                self._save()
            if self._stop:
                raise Cancelled
            if self._validate is not None and self.step % optimisation.validate_every == 0:
                self._log({"step": self.step, "validation": self._validate(self.averaged_net())})
        self._save()

    def _batches(self) -> Iterator[list[dict[str, Tensor]]]:
        """Yield what each remaining step sees: a batch for each forward pass."""
        optimisation, workers = self.config.optimisation, self.config.data.workers
        size, passes = optimisation.batch_size, optimisation.accumulate
        numbers = range(self.step * size * passes, self.steps * size * passes)
        loader = DataLoader(
            Subset(self._examples, numbers),
            batch_size=size,
            num_workers=workers,
            prefetch_factor=2 if workers else None,
        )
        batches = iter(loader)
        while held := list(islice(batches, passes)):
            yield held

    def _take_step(self, batches: Sequence[dict[str, Tensor]]) -> dict[str, float]:
        """Take one step of every optimiser, except those whose gradients are not finite."""
        torch.manual_seed(hash((self.config.seed, self.step)) % 2**31)  # dropout
        self.recipe.train()
        rate = learning_rate_share(self.config, self.step, self.steps)
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = rate * peak_learning_rate(self.config, name)
            optimiser.zero_grad(set_to_none=True)
        log: dict[str, float] = {}
        for number, batch in enumerate(batches, start=1):
            on_device = {name: tensor.to(self.device) for name, tensor in batch.items()}
            for update in self.recipe.updates(on_device):
                (update.loss / len(batches)).backward()  # type: ignore[no-untyped-call]
                _add_to(log, update, 1 / len(batches))
                if number == len(batches):
                    for name in (update.network, *update.also):
                        log[_gradient_key(name)] = self._move(name)
        self._update_average()
        self.step += 1
        return log

    def _move(self, name: str) -> float:
        """Apply a network's collected gradient, unless it is not finite; return its norm."""
        parameters = list(getattr(self.recipe, name).parameters())
        limit = self.config.optimisation.gradient_clip or math.inf
        norm = nn.utils.clip_grad_norm_(parameters, limit).item()
        if math.isfinite(norm):
            self.optimisers[name].step()
        self.optimisers[name].zero_grad(set_to_none=True)
        return norm

    def _update_average(self) -> None:
        # A short memory at first: random weights must not linger in the average.
        decay = min(self.config.optimisation.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, tensor in self.recipe.generator.state_dict().items():
                if tensor.is_floating_point():
                    self.average[name].lerp_(tensor, 1 - decay)
                else:
                    self.average[name].copy_(tensor)

    def _resume(self) -> None:
        average, state = load_checkpoint(self.checkpoint, self.recipe, self.optimisers)
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
            "configuration": self.config.to_dict(),
            "started_from": self.started_from,
        }
        save_checkpoint(self.checkpoint, self.recipe, self.optimisers, self.average, state)

    def _log(self, entry: dict[str, Any]) -> None:
        entry = {"time": round(time.time(), 1), **entry}
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop = True


def steps_of(config: Config, cases: int) -> int:
    """Return the optimiser steps of a run over so many training cases."""
    optimisation = config.optimisation
    if optimisation.epochs == 0:
        return optimisation.steps
    per_step = optimisation.batch_size * optimisation.accumulate
    return max(1, round(optimisation.epochs * cases / per_step))


def peak_learning_rate(config: Config, network: str) -> float:
    """Return a network's highest learning rate."""
    optimisation = config.optimisation
    own = optimisation.discriminator_learning_rate if network.startswith("discriminator") else 0.0
    return own or optimisation.learning_rate


def learning_rate_share(config: Config, step: int, steps: int) -> float:
    """Return the share of the highest learning rate that one step uses."""
    optimisation = config.optimisation
    warm = min(1.0, (step + 1) / max(1, optimisation.warmup_steps))
    done = step / steps
    if optimisation.schedule == "cosine":
        return warm * 0.5 * (1 + math.cos(math.pi * done))
    if optimisation.schedule == "linear":
        start = optimisation.milestones[0] if optimisation.milestones else 0.0
        return warm * min(1.0, (1 - done) / (1 - start)) if start < 1 else warm
    if optimisation.schedule == "steps":
        return warm * optimisation.decay ** sum(done >= share for share in optimisation.milestones)
    return warm


def _load_backbone(generator: nn.Module, config: Config) -> None:
    if not hasattr(generator, "load_backbone"):
        raise InputError(
            "BAD_CONFIG",
            f"{config.model.architecture!r} starts from no backbone; model.backbone is "
            f"{config.model.backbone!r}.",
            "Leave it empty.",
        )
    cast(Callable[[str], None], generator.load_backbone)(config.model.backbone)


def _optimiser(network: nn.Module, config: Config) -> torch.optim.Optimizer:
    optimisation = config.optimisation
    kind = torch.optim.AdamW if optimisation.optimiser == "adamw" else torch.optim.Adam
    return kind(
        network.parameters(), betas=optimisation.betas, weight_decay=optimisation.weight_decay
    )


def _add_to(log: dict[str, float], update: Update, share: float) -> None:
    """Add an update's loss and terms to a step's log; only the generator's go without prefix."""
    prefix = "" if update.network == "generator" else f"{update.network}/"
    for name, value in {"loss": update.loss, **update.terms}.items():
        key = prefix + name
        log[key] = log.get(key, 0.0) + share * value.item()


def _gradient_key(network: str) -> str:
    return "gradient" if network == "generator" else f"{network}/gradient"
