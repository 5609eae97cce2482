"""How long work reports where it is, and how it is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One progress report.

    Attributes:
        stage: Short name of what is being done now, e.g. ``network``.
        fraction: Done share of the whole job, 0 to 1.
        eta_s: Estimated seconds to go, or None while too little is known.
        message: One line for people.
    """

    stage: str
    fraction: float
    eta_s: float | None
    message: str


Report = Callable[[Step], None]
"""Receives every step; it raises ``errors.Cancelled`` to stop the job."""


class Progress:
    """Turns "stage, fraction" calls into steps with a remaining time.

    The estimate assumes that the rest takes as long per fraction as what is done so far.
    """

    def __init__(self, report: Report | None = None) -> None:
        self._report = report
        self._started = time.monotonic()

    def __call__(self, stage: str, fraction: float, message: str = "") -> None:
        if self._report is None:
            return
        fraction = min(max(float(fraction), 0.0), 1.0)
        elapsed_s = time.monotonic() - self._started
        eta_s = elapsed_s * (1 - fraction) / fraction if fraction >= 0.02 else None
        self._report(Step(stage, fraction, eta_s, message))

    def part(self, start: float, end: float) -> Progress:
        """Return a progress whose 0 to 1 fills ``start`` to ``end`` of this one."""
        return _Part(self, start, end)


def as_report(progress: Progress) -> Report:
    """Let a progress receive the steps of a function that wants a ``Report``."""

    def report(step: Step) -> None:
        progress(step.stage, step.fraction, step.message)

    return report


class _Part(Progress):
    def __init__(self, whole: Progress, start: float, end: float) -> None:
        super().__init__(None)
        self._whole, self._start, self._end = whole, start, end

    def __call__(self, stage: str, fraction: float, message: str = "") -> None:
        self._whole(stage, self._start + (self._end - self._start) * fraction, message)
