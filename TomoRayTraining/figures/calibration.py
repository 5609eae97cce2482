"""Is a stated uncertainty true? Errors beside the standard deviations that a model gave for them."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from TomoRayCore.errors import InputError
from TomoRayTraining.figures.style import PAGE_IN, colour, write_note

BINS = 10
LEVELS = np.arange(0.05, 1.0, 0.05)
"""Central intervals whose coverage is drawn."""

SIGMAS, ERRORS = ("sigma_hu", "sigma"), ("error_hu", "error")
BINNED, COVERAGE = "binned", "coverage"
"""Marks (gid) of the drawn curves."""


@dataclass(frozen=True)
class Uncertainty:
    """Voxels, regions or patients with a stated and a true error.

    Attributes:
        sigma_hu: Stated standard deviations, (N,), positive.
        error_hu: Prediction - truth, (N,).
    """

    sigma_hu: NDArray[np.float64]
    error_hu: NDArray[np.float64]


def read_uncertainty(path: Path) -> Uncertainty:
    """Read a CSV file with columns ``sigma_hu`` (or ``sigma``) and ``error_hu`` (or ``error``).

    Raises:
        InputError: ``BAD_UNCERTAINTY``.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream, strict=True)
            sigma = next((n for n in SIGMAS if n in (reader.fieldnames or ())), None)
            error = next((n for n in ERRORS if n in (reader.fieldnames or ())), None)
            if sigma is None or error is None:
                raise _bad(f"{path} lacks a column for sigma or for the error.")
            pairs = [(float(row[sigma]), float(row[error])) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error, TypeError) as failure:
        raise _bad(f"{path} cannot be read: {failure}.") from failure
    except ValueError as failure:
        if isinstance(failure, InputError):
            raise
        raise _bad(f"{path} has a cell that is not a number: {failure}.") from failure
    values = np.array(pairs, float).reshape(-1, 2)
    if len(values) < BINS:
        raise _bad(f"{path} has {len(values)} rows; {BINS} are needed.")
    if not np.isfinite(values).all() or values[:, 0].min() <= 0:
        raise _bad(f"{path} has numbers that are not finite, or a sigma that is not positive.")
    return Uncertainty(values[:, 0], values[:, 1])


def binned(data: Uncertainty) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return root mean square of sigma and of the error in bins of equal number, by sigma."""
    order = np.argsort(data.sigma_hu, kind="stable")
    groups = np.array_split(order, BINS)
    rms = [
        [math.sqrt(float(np.mean(x[g] ** 2))) for g in groups]
        for x in (data.sigma_hu, data.error_hu)
    ]
    return np.array(rms[0]), np.array(rms[1])


def coverage(data: Uncertainty) -> NDArray[np.float64]:
    """Return the share of errors inside the central normal interval of each of ``LEVELS``."""
    from scipy.stats import norm

    ratio = np.abs(data.error_hu) / data.sigma_hu
    return np.array([float(np.mean(ratio <= norm.ppf(0.5 + level / 2))) for level in LEVELS])


def calibration_error(data: Uncertainty) -> float:
    """Return the expected normalised calibration error: mean of |rms error - rms sigma| / rms sigma."""
    sigma, error = binned(data)
    return float(np.mean(np.abs(error - sigma) / sigma))


def calibration_figure(data: Uncertainty) -> Figure:
    """Return errors over stated deviations, and coverage over nominal level."""
    figure = Figure(figsize=(PAGE_IN * 0.85, 3.4), layout="constrained")
    sigma, error = binned(data)
    axes = figure.add_subplot(1, 2, 1)
    top = 1.08 * float(max(sigma.max(), error.max()))
    axes.plot([0, top], [0, top], color="0.5", linestyle="--", linewidth=0.9, label="as stated")
    axes.plot(sigma, error, marker="o", markersize=4, color=colour(0), gid=BINNED, label="observed")
    axes.set(xlim=(0, top), ylim=(0, top), aspect="equal")
    axes.set_xlabel("Stated standard deviation, RMS in bin (HU)")
    axes.set_ylabel("Error, RMS in bin (HU)")
    axes.set_title(
        f"ENCE {100 * calibration_error(data):.1f} %", fontsize=7, color="0.35", loc="left"
    )
    axes.legend(loc="upper left")
    axes = figure.add_subplot(1, 2, 2)
    axes.plot([0, 100], [0, 100], color="0.5", linestyle="--", linewidth=0.9)
    shares = coverage(data) * 100
    axes.plot(LEVELS * 100, shares, marker="o", markersize=3, color=colour(0), gid=COVERAGE)
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes.set_xlabel("Central interval, nominal (%)")
    axes.set_ylabel("Errors inside it (%)")
    axes.text(4, 96, "too cautious", va="top", fontsize=7, color="0.35")
    axes.text(96, 4, "too confident", ha="right", fontsize=7, color="0.35")
    write_note(
        figure,
        f"{len(data.sigma_hu)} predictions in {BINS} bins of equal number; intervals of a normal "
        "distribution; ENCE: expected normalised calibration error.",
    )
    return figure


def _bad(message: str) -> InputError:
    return InputError(
        "BAD_UNCERTAINTY",
        message,
        "Give a CSV file with the columns sigma_hu and error_hu, in HU.",
    )
