"""Time the main steps on this machine and print a table for docs/benchmarks.md.

python Testing/Repository/benchmark.py [--repeat 3] [--model NAME|FILE]

The best of several runs counts: other programs can only make a run slower.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from TomoRayCore import __version__
from TomoRayCore.bundle import read_bundle
from TomoRayCore.drr import project
from TomoRayCore.drr.torch_projector import Projector
from TomoRayCore.inference import load_network, reconstruct, run_network
from TomoRayCore.io.volume_io import read_volume, write_volume
from TomoRayCore.metrics import compare
from TomoRayCore.nets import build
from TomoRayCore.phantom import make_phantom
from TomoRayCore.presets import from_preset
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.resample import resample

CPU = torch.device("cpu")


def steps(model: str | None, folder: Path) -> list[tuple[str, Callable[[], object]]]:
    """The things to time, with their inputs made ready."""
    head = make_phantom(seed=1).ct
    geometry = from_preset()
    drrs = project(head, geometry)
    radiographs = [
        Radiograph(image, view.label, view.pixel_spacing_mm, "line_integral", {}, geometry)
        for image, view in zip(drrs, geometry.views, strict=True)
    ]
    bundle = read_bundle(model)
    sct = reconstruct(radiographs, geometry, bundle, "cpu").sct
    truth = resample(head, sct.grid)
    projector = Projector(head.grid, geometry)
    mu_per_mm = torch.rand(1, 1, *head.shape)
    images = torch.rand(1, 2, 128, 128)
    net, published = load_network(bundle), build("x2ct-biplanar").eval()
    write_volume(head, folder / "head.nrrd")
    return [
        ("phantom, 128³ at 2 mm", lambda: make_phantom(seed=2)),
        ("read a 128³ NRRD", lambda: read_volume(folder / "head.nrrd")),
        ("two DRRs 128² of 128³, numpy", lambda: project(head, geometry)),
        ("the same, torch", lambda: projector(mu_per_mm)),
        ("its adjoint, torch", lambda: projector.adjoint(images)),
        (f"network of {bundle.name}", lambda: run_network(net, images[0].numpy(), CPU)),
        ("X2CT generator as published, 128³", lambda: run_network(published, _noise(), CPU)),
        (
            "reconstruct, from images to sCT",
            lambda: reconstruct(radiographs, geometry, bundle, "cpu"),
        ),
        ("metrics of 128³ against 128³", lambda: compare(sct, truth)),
    ]


def _noise() -> np.ndarray:
    return np.random.default_rng(0).random((2, 128, 128), dtype=np.float32)


def best_seconds(step: Callable[[], object], repeat: int) -> float:
    """The shortest of several runs, after one that does not count."""
    step()
    durations = []
    for _ in range(repeat):
        started = time.perf_counter()
        step()
        durations.append(time.perf_counter() - started)
    return min(durations)


def main(argv: list[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time the main steps of TomoRay on the CPU.")
    parser.add_argument("--repeat", type=int, default=3, help="runs a step (default: 3)")
    parser.add_argument("--model", help="model name or file (default: the default model)")
    arguments = parser.parse_args(argv)
    print(
        f"TomoRay {__version__}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"{platform.machine()}, {os.cpu_count()} processor threads, "
        f"{torch.get_num_threads()} used\n"
    )
    print("| step | seconds |\n| --- | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for name, step in steps(arguments.model, Path(folder)):
            print(f"| {name} | {best_seconds(step, arguments.repeat):.3f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
