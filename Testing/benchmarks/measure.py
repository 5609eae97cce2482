"""Clocks: CPU time of contenders in interleaved rounds, of child processes, and of the machine.

Only CPU time is read, so that other programs on the machine cost as little as possible, and every
contender runs in every round, so that what they cost all share.
"""

from __future__ import annotations

import gc
import random
import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Contender:
    """Something to time.

    Attributes:
        run: Does the work once; returns its CPU ms if it took the time itself, else None.
        every: It takes part in every n-th round only (for slow ones).
    """

    run: Callable[[], float | None]
    every: int = 1


@dataclass(frozen=True)
class Comparison:
    """Two contenders' medians, and how far apart the rounds were.

    Attributes:
        ours_ms: Median CPU ms.
        peer_ms: Median CPU ms.
        spread: Interquartile range of the rounds' ratios, as a share of their median.
    """

    ours_ms: float
    peer_ms: float
    spread: float

    @property
    def ratio(self) -> float:
        """How many times our time the peer takes."""
        return self.peer_ms / self.ours_ms


Times = dict[str, dict[int, float]]


def interleaved(contenders: Mapping[str, Contender], rounds: int, seed: int = 0) -> Times:
    """Run all contenders in shuffled rounds; return name -> round -> CPU ms.

    Each runs once beforehand without being counted: first calls load libraries and fill caches.
    """
    order = random.Random(seed)
    for contender in contenders.values():
        contender.run()
    times: Times = {name: {} for name in contenders}
    for number in range(rounds):
        names = [name for name, contender in contenders.items() if number % contender.every == 0]
        order.shuffle(names)
        for name in names:
            times[name][number] = cpu_ms(contenders[name].run)
    return times


def compared(times: Times, ours: str, peer: str) -> Comparison:
    """Compare two contenders of the same rounds."""
    common = sorted(times[ours].keys() & times[peer].keys())
    ratios = np.array([times[peer][n] / times[ours][n] for n in common])
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    return Comparison(median(times[ours]), median(times[peer]), float((high - low) / middle))


def median(times: Mapping[int, float]) -> float:
    """Return the median over the rounds."""
    return float(np.median(list(times.values())))


def cpu_ms(function: Callable[[], float | None]) -> float:
    """Return the CPU ms of one call: of this process, or what the call says it took elsewhere."""
    gc.collect()
    gc.disable()
    own_account: list[float | None] = []
    try:
        used = used_ms(lambda: own_account.append(function()))
    finally:
        gc.enable()
    return used if own_account[0] is None else own_account[0]


def used_ms(function: Callable[[], object]) -> float:
    """Return the CPU ms of this process over one call."""
    started = time.process_time()
    function()
    return (time.process_time() - started) * 1000


def child_cpu_ms(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> float:
    """Run a program to its end and return the CPU ms that it and its children took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return used * 1000


def bandwidth_gb_per_s(array: np.ndarray, repeat: int = 7) -> float:
    """Return how fast one thread reads an array: the best of several dot products with itself."""
    flat = array.reshape(-1)
    best_ms = min(cpu_ms(lambda: np.dot(flat, flat) and None) for _ in range(repeat))
    return flat.nbytes / best_ms / 1e6


def gflop_per_s(size: int = 1024, repeat: int = 5) -> float:
    """Return the rate of one thread's matrix product in float32, the most that it can compute."""
    matrix = np.random.default_rng(0).random((size, size), dtype=np.float32)

    def product() -> None:
        matrix @ matrix

    best_ms = min(cpu_ms(product) for _ in range(repeat))
    return 2 * size**3 / best_ms / 1e6
