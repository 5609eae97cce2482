"""Photon transport through a sphere of water: what the scatter model is fitted and held to.

A cone beam of one energy meets a water sphere at the isocentre. Compton scattering follows Klein
and Nishina with free electrons; photoelectric absorption ends a history; coherent scattering,
which mostly goes on forwards, is left out. Interaction is forced and absorption is a weight, so
that a few ten thousand histories give a smooth radial profile. Detected is energy times what
0.2 g/cm2 of CsI absorbs of it.

python Testing/Support/scatter_monte_carlo.py   prints the constants of `detector.Scatter`
(needs TomoRay/ on PYTHONPATH; some minutes)
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np

from TomoRayCore.physics import materials

REST_KEV = 510.999
SCATTERINGS = 12


@dataclass(frozen=True)
class Arrangement:
    """A sphere's diameter, source to isocentre, isocentre to detector; all mm. Energy in keV."""

    diameter_mm: float
    gap_mm: float
    sad_mm: float = 1000.0
    energy_kev: float = 50.0


@dataclass(frozen=True, eq=False)
class Profile:
    """By distance from the middle of the detector, (N,): intensities as shares of the open beam."""

    radius_mm: np.ndarray
    primary: np.ndarray
    scatter: np.ndarray


def without_coherent_per_mm(energies_kev: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (attenuation, Compton part) of water in 1/mm, coherent scattering left out.

    The Compton part is Klein and Nishina's for 3.343e23 electrons per gram, 3.5 % lower for their
    binding; the photoelectric part a power law through 0.544 cm2/g at 20 keV. Both within 3 % of
    Elam's from 20 to 80 keV.
    """
    a = np.asarray(energies_kev) / REST_KEV
    log = np.log(1 + 2 * a)
    shape = (
        (1 + a) / a**2 * (2 * (1 + a) / (1 + 2 * a) - log / a)
        + log / (2 * a)
        - (1 + 3 * a) / (1 + 2 * a) ** 2
    )
    compton = 0.965 * 2 * np.pi * 2.8179403e-13**2 * shape * 3.343e23 / 10
    photoelectric = 0.544 * (20.0 / np.asarray(energies_kev)) ** 3.27 / 10
    return compton + photoelectric, compton


def detected(energies_kev: np.ndarray) -> np.ndarray:
    """Return the signal of one photon, keV."""
    inside = np.clip(energies_kev, materials.LOWEST_KEV, materials.HIGHEST_KEV)
    mu = materials.mass_attenuation_cm2_per_g("csi_transfer", inside)
    return energies_kev * (1 - np.exp(-0.2 * mu))


def chord_mm(arrangement: Arrangement, radius_mm: np.ndarray) -> np.ndarray:
    """Return the length of water on the rays to points of the detector."""
    sdd = arrangement.sad_mm + arrangement.gap_mm
    closest = arrangement.sad_mm * radius_mm / np.hypot(radius_mm, sdd)
    return 2 * np.sqrt(np.clip((arrangement.diameter_mm / 2) ** 2 - closest**2, 0, None))


def transport(
    arrangement: Arrangement, histories: int = 50_000, seed: int = 0, bins: int = 40
) -> Profile:
    """Follow photons and return the radial profile out to 300 mm."""
    rng = np.random.default_rng(seed)
    radius, sad = arrangement.diameter_mm / 2, arrangement.sad_mm
    sdd = sad + arrangement.gap_mm
    # Open beam: uniform on the detector, out to the sphere's shadow.
    shadow = radius * sdd / np.sqrt(sad**2 - radius**2)
    r = shadow * np.sqrt(rng.random(histories))
    turn = 2 * np.pi * rng.random(histories)
    target = np.stack([r * np.cos(turn), r * np.sin(turn), np.full(histories, sdd)], axis=1)
    direction = target / np.linalg.norm(target, axis=1, keepdims=True)
    position = np.array([0.0, 0.0, -sad]) + direction * _to_sphere(direction, sad, radius)[:, None]
    energy = np.full(histories, arrangement.energy_kev)
    weight = np.full(histories, 1.0)
    edges = np.linspace(0, 300, bins + 1)
    total = np.zeros(bins)
    for _ in range(SCATTERINGS):
        mu, compton = without_coherent_per_mm(energy)
        inside = _to_exit(position, direction, radius)
        reached = -np.expm1(-mu * inside)
        path = -np.log1p(-rng.random(histories) * reached) / mu
        position = position + direction * path[:, None]
        weight = weight * reached * compton / mu
        energy, direction = _scattered(energy, direction, rng)
        mu, _ = without_coherent_per_mm(energy)
        out = weight * np.exp(-mu * _to_exit(position, direction, radius)) * detected(energy)
        forward = direction[:, 2] > 1e-6
        step = (arrangement.gap_mm - position[:, 2]) / np.where(forward, direction[:, 2], 1)
        hit = position[:, :2] + direction[:, :2] * step[:, None]
        place = np.hypot(hit[:, 0], hit[:, 1])
        total += np.histogram(place[forward], edges, weights=out[forward])[0]
    open_beam = histories / (np.pi * shadow**2) * detected(np.array([arrangement.energy_kev]))
    area = np.pi * np.diff(edges**2)
    middle = (edges[1:] + edges[:-1]) / 2
    mu, _ = without_coherent_per_mm(np.array([arrangement.energy_kev]))
    primary = np.exp(-mu * chord_mm(arrangement, middle))
    return Profile(middle, primary, total / area / open_beam)


def _to_sphere(direction: np.ndarray, sad: float, radius: float) -> np.ndarray:
    along = direction[:, 2] * sad
    return along - np.sqrt(np.clip(radius**2 - (sad**2 - along**2), 0, None))


def _to_exit(position: np.ndarray, direction: np.ndarray, radius: float) -> np.ndarray:
    along = (position * direction).sum(axis=1)
    outside = (position**2).sum(axis=1) - radius**2
    return np.clip(-along + np.sqrt(np.clip(along**2 - outside, 0, None)), 0, None)


def _scattered(
    energy: np.ndarray, direction: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sample Klein and Nishina by rejection; return new energies and directions."""
    cosine = np.empty_like(energy)
    waiting = np.arange(len(energy))
    while len(waiting):
        trial = rng.uniform(-1, 1, len(waiting))
        ratio = 1 / (1 + energy[waiting] / REST_KEV * (1 - trial))
        density = ratio**2 * (ratio + 1 / ratio - 1 + trial**2) / 2
        taken = rng.random(len(waiting)) < density
        cosine[waiting[taken]] = trial[taken]
        waiting = waiting[~taken]
    changed = energy / (1 + energy / REST_KEV * (1 - cosine))
    turn = 2 * np.pi * rng.random(len(energy))
    sine = np.sqrt(1 - cosine**2)
    helper = np.where(np.abs(direction[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
    first = np.cross(direction, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(direction, first)
    sideways = np.cos(turn)[:, None] * first + np.sin(turn)[:, None] * second
    return changed, cosine[:, None] * direction + sine[:, None] * sideways


FITTED = [Arrangement(d, g) for d in (100.0, 140.0, 180.0) for g in (150.0, 300.0, 500.0)]


def fit(histories: int = 200_000) -> dict[str, object]:
    """Fit amplitude, exponent, and two kernel widths to all of FITTED."""
    from scipy.optimize import least_squares

    from TomoRayCore.physics.detector import Scatter, scatter_signal

    profiles = [transport(a, histories, seed=n, bins=12) for n, a in enumerate(FITTED)]
    spacing, size = 8.0, 101
    axis = (np.arange(size) - (size - 1) / 2) * spacing
    distance = np.hypot(axis[:, None], axis[None])

    def modelled(numbers: np.ndarray, arrangement: Arrangement, at: np.ndarray) -> np.ndarray:
        mu, _ = without_coherent_per_mm(np.array([arrangement.energy_kev]))
        primary = np.exp(-mu * chord_mm(arrangement, distance))
        model = Scatter(*(float(n) for n in numbers))
        image = scatter_signal(primary, (spacing, spacing), arrangement.gap_mm, model)
        middle = (size - 1) // 2
        return np.interp(at, axis[middle:], image[middle, middle:])

    def misfit(numbers: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [
                (modelled(numbers, a, p.radius_mm) - p.scatter) / p.scatter[0]
                for a, p in zip(FITTED, profiles, strict=True)
            ]
        )

    found = least_squares(misfit, [0.4, 1.2, 0.5, 0.4, 1.2], bounds=([0] * 5, [2, 3, 1, 2, 4]))
    worst = np.abs(found.fun).reshape(len(FITTED), -1).max(axis=1)
    return {
        "amplitude, exponent, narrow_share, narrow_tangent, wide_tangent": found.x.round(
            4
        ).tolist(),
        "rms": float(np.sqrt((found.fun**2).mean())),
        "worst": worst.round(3).tolist(),
        "scatter to primary in the middle": [
            float((p.scatter[:2] / p.primary[:2]).mean().round(3)) for p in profiles
        ],
    }


def main(argv: list[str]) -> int:
    """Print the fit."""
    parser = argparse.ArgumentParser(description="Fit the scatter model.")
    parser.add_argument("--histories", type=int, default=200_000)
    for name, value in fit(parser.parse_args(argv).histories).items():
        print(f"{name}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
