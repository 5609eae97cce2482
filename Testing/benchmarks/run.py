"""Runs what was asked for and prints it, row by row."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from Testing.benchmarks import accuracy, floor, memory, rows, steps, tables
from Testing.benchmarks.contenders import contenders
from Testing.benchmarks.measure import Contender, Times, compared, interleaved, median
from Testing.benchmarks.peers import versions
from Testing.benchmarks.scene import ROOT, SIZES, Scene, facing, turned
from TomoRayCore import __version__
from TomoRayCore.drr import kernel, project_mu
from TomoRayCore.drr.torch_projector import Projector

Result = dict[str, Any]

ROUNDS = {128: 9, 512: 5}
QUICK_ROUNDS = 3


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line says."""
    torch.set_num_threads(1)
    names = rows.selected(arguments.only)
    if arguments.list:
        print("\n".join(names))
        return 0
    if arguments.results is not None:
        lines = arguments.results.read_text(encoding="utf-8").splitlines()
        print(tables.markdown([json.loads(line) for line in lines if line.startswith("{")]))
        return 0
    if not names:
        print(f"No row's name contains {arguments.only}; --list prints them.", file=sys.stderr)
        return 2
    results = []
    for result in measured(names, arguments.quick):
        results.append(result)
        if not arguments.markdown:
            print(json.dumps(result, ensure_ascii=False), flush=True)
    if arguments.markdown:
        print(tables.markdown(results))
    return 0


def measured(names: Sequence[str], quick: bool) -> Iterator[Result]:
    """Yield one result a row; the machine and the versions first."""
    peers = versions()
    for package in ("plastimatch", "nanodrr", "diffdrr"):
        if package not in peers:
            print(f"{package} is not installed: its rows are left out.", file=sys.stderr)
    common = {"commit": _commit(), "machine": _machine()}
    yield {"name": "run", **common, "date": time.strftime("%Y-%m-%d"), "versions": _versions(peers)}
    scene = Scene()
    for size in (128,) if quick else SIZES:
        for result in _of_size(scene, size, names, peers, QUICK_ROUNDS if quick else ROUNDS[size]):
            yield {**result, **common}
    if rows.STEPS in names and not quick:
        for name, cpu_ms in steps.timed():
            yield {"name": f"step: {name}", "ours_ms": _short(cpu_ms), "unit": "cpu ms", **common}


def _of_size(
    scene: Scene, size: int, names: Sequence[str], peers: dict[str, str], rounds: int
) -> Iterator[Result]:
    chosen = [r for r in rows.ROWS if r.name in names and (not r.package or r.package in peers)]
    wanted = {name for row in chosen for name in (row.ours, row.peer)}
    if rows.FLOOR in names:
        wanted |= {"kernel", "numpy"}
    makers = contenders(scene, size)
    field: dict[str, Contender] = {name: makers[name]() for name in sorted(wanted)}
    times = interleaved(field, rounds)
    for row in chosen:
        yield _compared(row, size, times, peers)
    if rows.FLOOR in names:
        limit = floor.limit(scene, facing(size).views)
        for name in ("kernel", "numpy"):
            yield {
                "name": f"{rows.FLOOR}, {name}",
                "size": size,
                "value": _short(100 * limit.ms / median(times[name])),
                "unit": f"% of {limit.ms:.2f} ms ({limit.words})",
            }
    yield from _errors(scene, size, names)
    for name, (task, most_mb) in rows.MEMORY.items():
        if name in names and (task not in ("nanodrr", "diffdrr") or task in peers):
            value = memory.peak_mb(task, size)
            yield _value(name, size, value, "MB above the volume", most_mb)


def _compared(row: rows.Row, size: int, times: Times, peers: dict[str, str]) -> Result:
    result = compared(times, row.ours, row.peer)
    target = row.targets.get(size)
    return {
        "name": row.name,
        "peer": row.against,
        "peer_version": peers.get(row.package, __version__),
        "size": size,
        "ours_ms": _short(result.ours_ms),
        "peer_ms": _short(result.peer_ms),
        "ratio": _short(result.ratio),
        "spread": _short(result.spread),
        "unit": "cpu ms",
        **({} if target is None else {"target": target, "met": result.ratio >= target}),
    }


def _errors(scene: Scene, size: int, names: Sequence[str]) -> Iterator[Result]:
    flat, oblique = facing(size).views, turned(size).views
    for name, most in rows.ERRORS.items():
        if name not in names:
            continue
        if name == "error, torch":
            images = Projector(scene.grid, facing(size)).forward(
                torch.from_numpy(scene.mu_per_mm)[None, None]
            )
            by_view = dict(zip(flat, images[0].numpy(), strict=True))
            value = accuracy.mean_rmse_percent(scene, flat, by_view.__getitem__)
        else:
            views = oblique if name == "error, any pose" else flat
            value = accuracy.mean_rmse_percent(
                scene, views, lambda view: project_mu(scene.mu_per_mm, scene.grid, view)
            )
        yield _value(name, size, value, "% rms of the mean", most)


def _value(name: str, size: int, value: float, unit: str, most: float | None) -> Result:
    asked = {} if most is None else {"target": most, "met": value <= most}
    return {"name": name, "size": size, "value": _short(value), "unit": unit, **asked}


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _versions(peers: dict[str, str]) -> dict[str, str]:
    return {
        "tomoray": __version__,
        "engine": kernel.state(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **peers,
    }


def _commit() -> str:
    """Return the commit, with a plus sign where files differ from it."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=7", "--exclude=*"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"


def _machine() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()}, one thread"
