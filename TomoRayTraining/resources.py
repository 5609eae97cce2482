"""What a calculation takes: time and memory, measured around it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

PROCESS = Path("/proc/self")
MIB = 2**20


@dataclass
class Usage:
    """Filled in when the calculation is over.

    Attributes:
        seconds: Wall-clock time.
        peak_memory_mib: On a GPU the most that was allocated on it; else the most that the whole
            process held, Python and torch included; None where the system does not tell.
    """

    seconds: float = 0.0
    peak_memory_mib: float | None = None


@contextmanager
def measured(device: torch.device) -> Iterator[Usage]:
    """Measure what happens within, which runs on ``device``."""
    usage = Usage()
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    known = on_gpu or _forget_peak()
    started = time.perf_counter()
    yield usage
    if on_gpu:
        torch.cuda.synchronize(device)
    usage.seconds = time.perf_counter() - started
    if on_gpu:
        usage.peak_memory_mib = torch.cuda.max_memory_allocated(device) / MIB
    elif known:
        usage.peak_memory_mib = _peak_mib()


def _forget_peak() -> bool:
    """Let Linux count the process's peak anew; say whether it does."""
    try:
        (PROCESS / "clear_refs").write_text("5", encoding="ascii")
    except OSError:  # another system, or a container that does not allow it
        return False
    return True


def _peak_mib() -> float | None:
    try:
        lines = (PROCESS / "status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(found[0]) / 1024 if found else None
