"""Time one training step of every system: ``python -m Testing.benchmarks.training_steps``.

For each experiment of ``TomoRayTraining/experiments`` (or those named): all updates of one step of
its recipe at full width on random images and volumes, eager, under autocast, and compiled. Prints
one JSON object a line: seconds a step (median), peak memory of the device, voxels of output a
second. Meant for a GPU; ``--device cpu --width 0.0625`` tries it out.

State: tried on a CPU only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import TomoRayTraining
from TomoRayCore.devices import pick_device
from TomoRayCore.errors import SetupError
from TomoRayCore.nets import GENERATORS, build
from TomoRayCore.nets.blocks import channels_last
from TomoRayCore.network_io import orthographic_matrices
from TomoRayTraining.config import Config
from TomoRayTraining.config_file import read_config
from TomoRayTraining.recipes import recipe
from TomoRayTraining.recipes.base import Recipe
from TomoRayTraining.specs import specs_of

EXPERIMENTS = Path(TomoRayTraining.__file__).parent / "experiments"
MODES = ("eager", "autocast", "compiled")


def main(argv: list[str]) -> int:
    """Print the results."""
    parser = argparse.ArgumentParser(prog="python -m Testing.benchmarks.training_steps")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="experiments (default: all)")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES)
    parser.add_argument("--width", type=float, help="instead of each experiment's own")
    parser.add_argument("--repeat", type=int, default=5, help="steps a timing (default: 5)")
    arguments = parser.parse_args(argv)
    try:
        device = pick_device(arguments.device)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 3
    for config in _experiments(arguments.only, arguments.width):
        for mode in arguments.modes:
            try:
                result = measured(config, device, mode, arguments.repeat)
            except torch.cuda.OutOfMemoryError:
                result = {"failed": "out of memory"}
            print(json.dumps({"name": config.name, "mode": mode, **result}), flush=True)
    return 0


def measured(config: Config, device: torch.device, mode: str, repeat: int) -> dict[str, Any]:
    """Return the times of one system in one mode."""
    torch.manual_seed(0)
    kind = recipe(config.optimisation.recipe)
    net = channels_last(build(config.model.architecture, config.model.arguments, kind.REGISTRY))
    scheme = kind(net, config).to(device).train()
    if mode == "compiled":
        scheme.generator.compile()
    batch = random_batch(config, device)
    optimisers = {
        name: torch.optim.Adam(network.parameters()) for name, network in scheme.named_children()
    }
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    times = [_step(scheme, optimisers, batch, mode) for _ in range(repeat + 1)][1:]
    seconds = statistics.median(times)
    result: dict[str, Any] = {
        "seconds_a_step": round(seconds, 5),
        "voxels_a_second": round(batch["target"].numel() / seconds),
        "parameters": sum(p.numel() for p in scheme.parameters()),
        "device": str(device),
        "torch": torch.__version__,
    }
    if device.type == "cuda":
        result["peak_mib"] = round(torch.cuda.max_memory_allocated(device) / 2**20)
    return result


def random_batch(config: Config, device: torch.device) -> dict[str, Tensor]:
    """Return what one step of the experiment would see, without any head in it."""
    seen, given = specs_of(config)
    count, views = config.optimisation.batch_size, len(config.data.views)
    images = torch.rand(count, views, seen.size, seen.size)
    target = torch.rand(count, 1, *[given.network_size] * 3)
    matrices = torch.from_numpy(orthographic_matrices(views)).expand(count, -1, -1, -1)
    batch = {"images": images, "view_matrices": matrices, "target": target}
    batch["mask"] = torch.ones_like(target)
    batch["soft_images"], batch["region"] = 0.5 * images, (target > 0.5).float()
    return {name: tensor.to(device) for name, tensor in batch.items()}


def _step(
    scheme: Recipe,
    optimisers: dict[str, torch.optim.Optimizer],
    batch: dict[str, Tensor],
    mode: str,
) -> float:
    """Take one step and return its seconds."""
    device = batch["images"].device
    half = torch.float16 if device.type == "cuda" else torch.bfloat16
    started = _now(device)
    with torch.autocast(device.type, half) if mode == "autocast" else nullcontext():
        updates = scheme.updates(batch)
        for update in updates:
            update.loss.backward()  # type: ignore[no-untyped-call]
            optimisers[update.network].step()
            optimisers[update.network].zero_grad(set_to_none=True)
    return _now(device) - started


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def _experiments(only: list[str] | None, width: float | None) -> Iterator[Config]:
    for path in sorted(EXPERIMENTS.glob("*.yaml")):
        config = read_config(path)
        # Translators have no volumes; the default model's stages are one network.
        if config.model.architecture not in GENERATORS or (only and path.stem not in only):
            continue
        if config.loss.backbone:
            config = replace(config, loss=replace(config.loss, backbone="random"))
        if width is not None:
            arguments = {**config.model.arguments, "width": width}
            config = replace(config, model=replace(config.model, arguments=arguments))
        yield config


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
