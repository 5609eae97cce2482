"""Peak memory above the loaded volume, in a process of its own.

``python -m Testing.benchmarks.memory WHAT SIZE`` prints MB; ``peak_mb`` starts it. Linux only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from Testing.benchmarks.one_thread import ONE_THREAD

ROOT = Path(__file__).resolve().parents[2]


def peak_mb(what: str, size: int) -> float:
    """Return how far the peak of a fresh process lies above what it held before projecting."""
    command = [sys.executable, "-m", "Testing.benchmarks.memory", what, str(size)]
    result = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(result.stdout)


def task(what: str, size: int) -> Callable[[], object]:
    """Load what is needed and return the step whose memory counts: an AP and lateral pair."""
    from Testing.benchmarks import scene as scenes

    scene = scenes.Scene()
    facing, turned = scenes.facing(size), scenes.turned(size)
    if what == "project":
        from TomoRayCore.drr import project

        volume = scene.volume
        return lambda: project(volume, facing)
    mu_per_mm, grid = scene.mu_per_mm, scene.grid
    del scene
    if what in ("project_mu", "any pose"):
        from TomoRayCore.drr import project_mu

        views = (turned if what == "any pose" else facing).views
        return lambda: [project_mu(mu_per_mm, grid, view) for view in views]
    import torch

    from Testing.benchmarks import peers

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    if what == "torch":
        from TomoRayCore.drr.torch_projector import Projector

        volume = torch.from_numpy(mu_per_mm)[None, None]
        return lambda: Projector(grid, facing).forward(volume)
    peer = {"nanodrr": peers.Nanodrr, "diffdrr": peers.Diffdrr}[what](mu_per_mm, grid)
    return lambda: [peer.renderer(view)() for view in facing.views]


def main(what: str, size: int) -> None:
    """Measure one task and print MB."""
    run = task(what, size)
    # Forget the peak of loading: from here on the kernel counts anew.
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_mb("VmRSS")
    run()
    print(_status_mb("VmHWM") - before)


def _status_mb(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"This system does not tell {field}.")


if __name__ == "__main__":
    os.environ.update(ONE_THREAD)
    main(sys.argv[1], int(sys.argv[2]))
