"""Conditional diffusion: the schedule of noise, the training loss, and three ways to sample.

Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020 (loss, equation 14; sampling,
algorithm 2); Song et al., "Denoising Diffusion Implicit Models", ICLR 2021 (equation 12 with
sigma = 0); Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models", ICML 2021
(cosine schedule, equation 17, and its cap).

A denoiser is called as ``denoiser(noisy, condition, time, view)`` and returns the noise. Images are
in -1 to 1. Random numbers come from CPU generators, so a seed gives the same image on any device.

``Scheme`` ``paper`` shows the denoiser the clean radiograph. ``released`` is the published code of
BS-Diff: in training the radiograph gets noise of its own at the same step, and the gradient is
multiplied by the loss; in sampling, which is ``sample_released``, the radiograph is clean.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError

Denoiser = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Scheme = Literal["paper", "released"]
StepReport = Callable[[int, int], None]

COSINE_OFFSET = 0.008
LARGEST_BETA = 0.999


@dataclass(frozen=True)
class NoiseSchedule:
    """How much of the image is left after each step.

    Attributes:
        kept: (T,) float64 on the CPU, the variance that is the image's ("alpha bar"), falling.
    """

    kept: Tensor

    def __post_init__(self) -> None:
        if self.kept.ndim != 1 or len(self.kept) < 1 or not self.kept.diff().lt(0).all():
            raise ValueError("A schedule keeps less of the image with every step.")

    @property
    def steps(self) -> int:
        """T."""
        return len(self.kept)

    def add_noise(self, image: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return sqrt(kept) image + sqrt(1 - kept) noise; ``time`` (B,) may differ by sample."""
        kept = self.kept.to(image.device)[time].view(-1, *[1] * (image.ndim - 1))
        noisy = kept.sqrt() * image.double() + (1 - kept).sqrt() * noise.double()
        return noisy.to(image.dtype)

    def clean_image(self, noisy: Tensor, noise: Tensor, step: int) -> Tensor:
        """Return the image that this noise leaves, cut off at -1 and 1."""
        kept = float(self.kept[step])
        clean = (noisy - math.sqrt(1 - kept) * noise) / math.sqrt(kept)
        return clean.clamp(-1, 1)

    def noise_of(self, noisy: Tensor, clean: Tensor, step: int) -> Tensor:
        """Return the noise that leads from ``clean`` to ``noisy``."""
        kept = float(self.kept[step])
        return (noisy - math.sqrt(kept) * clean) / math.sqrt(1 - kept)


def cosine_schedule(steps: int = 1000) -> NoiseSchedule:
    """Return Nichol and Dhariwal's schedule, whose steps keep at least a thousandth.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for fewer than 2 steps.
    """
    if steps < 2:
        raise InputError(
            "ARCHITECTURE_ARGUMENTS", f"Got {steps!r} steps of noise.", "Take at least 2."
        )
    at = torch.arange(steps + 1, dtype=torch.float64, device="cpu") / steps  # not on "meta"
    level = torch.cos((at + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2).square()
    beta = (1 - level[1:] / level[:-1]).clamp(max=LARGEST_BETA)
    return NoiseSchedule((1 - beta).cumprod(0))


def denoising_loss(
    denoiser: Denoiser,
    target: Tensor,
    condition: Tensor,
    view: Tensor,
    schedule: NoiseSchedule,
    generator: torch.Generator,
    scheme: Scheme = "paper",
) -> Tensor:
    """Return the mean squared error of the predicted noise, at a random step for each sample.

    Args:
        denoiser: Under training.
        target: (B, 1, H, W) bone-suppressed images.
        condition: (B, 1, H, W) the radiographs.
        view: (B,) 0 for frontal, 1 for lateral.
        schedule: Of the noise.
        generator: On the CPU.
        scheme: See the module; ``released`` returns the error times its own value, held constant,
            so that the gradient is the published one.

    Raises:
        InputError: ``BAD_CONFIG`` for another scheme.
    """
    check_scheme(scheme)
    device = target.device
    time = torch.randint(schedule.steps, (len(target),), generator=generator).to(device)
    noise = _noise_like(target, generator)
    shown = condition
    if scheme == "released":
        shown = schedule.add_noise(condition, _noise_like(condition, generator), time)
    predicted = denoiser(schedule.add_noise(target, noise, time), shown, time, view)
    error = nn.functional.mse_loss(predicted.float(), noise.float())
    return error * error.detach() if scheme == "released" else error


def sample_ddim(
    denoiser: Denoiser,
    condition: Tensor,
    view: Tensor,
    schedule: NoiseSchedule,
    steps: int = 50,
    seed: int = 0,
    report: StepReport | None = None,
) -> Tensor:
    """Return images for radiographs in few steps; only the first noise is random.

    Args:
        denoiser: Trained.
        condition: (B, 1, H, W).
        view: (B,).
        schedule: That of training.
        steps: Evaluations of the denoiser, evenly spaced from the schedule's last step to its
            first.
        seed: Of the first noise.
        report: Called with (evaluations done, evaluations in all).

    Returns:
        (B, 1, H, W) in -1 to 1.

    Raises:
        InputError: ``BAD_CONFIG`` unless 1 <= steps <= T.
    """
    places = _places(schedule, steps)
    image = _noise_like(condition, torch.Generator().manual_seed(seed))
    for done, step in enumerate(places):
        clean, noise = _predicted(denoiser, image, condition, view, schedule, step)
        if done + 1 == steps:
            image = clean
        else:
            following = float(schedule.kept[places[done + 1]])
            image = math.sqrt(following) * clean + math.sqrt(1 - following) * noise
        if report is not None:
            report(done + 1, steps)
    return image


def sample_ddpm(
    denoiser: Denoiser,
    condition: Tensor,
    view: Tensor,
    schedule: NoiseSchedule,
    seed: int = 0,
    report: StepReport | None = None,
) -> Tensor:
    """Return images for radiographs through every step of the schedule, with noise in each.

    The variance is the posterior's for a known image. Arguments and result as in ``sample_ddim``.
    """
    generator = torch.Generator().manual_seed(seed)
    image = _noise_like(condition, generator)
    for step in range(schedule.steps - 1, -1, -1):
        clean, _ = _predicted(denoiser, image, condition, view, schedule, step)
        if step:
            kept, before = float(schedule.kept[step]), float(schedule.kept[step - 1])
            beta = 1 - kept / before
            mean = (
                math.sqrt(before) * beta * clean + math.sqrt(1 - beta) * (1 - before) * image
            ) / (1 - kept)
            spread = math.sqrt(beta * (1 - before) / (1 - kept))
            image = mean + spread * _noise_like(image, generator)
        else:
            image = clean
        if report is not None:
            report(schedule.steps - step, schedule.steps)
    return image


def sample_released(
    denoiser: Denoiser,
    condition: Tensor,
    view: Tensor,
    schedule: NoiseSchedule,
    steps: int = 1000,
    seed: int = 0,
    report: StepReport | None = None,
) -> Tensor:
    """Return images for radiographs as the published code of BS-Diff does, in T steps there.

    At every step the sample becomes the clean image that was predicted, and nothing is mixed in:
    no step but the first gets an image with as much noise as it was trained on. Arguments, result
    and error as in ``sample_ddim``.
    """
    image = _noise_like(condition, torch.Generator().manual_seed(seed))
    for done, step in enumerate(_places(schedule, steps)):
        image, _ = _predicted(denoiser, image, condition, view, schedule, step)
        if report is not None:
            report(done + 1, steps)
    return image


def check_scheme(scheme: str) -> None:
    """Refuse an unknown scheme.

    Raises:
        InputError: ``BAD_CONFIG``.
    """
    if scheme not in get_args(Scheme):
        raise InputError(
            "BAD_CONFIG",
            f"Got the diffusion scheme {scheme!r}.",
            f"Schemes are {', '.join(get_args(Scheme))}.",
        )


def _places(schedule: NoiseSchedule, steps: int) -> list[int]:
    """Return so many steps, evenly spaced from the schedule's last one to its first."""
    if not 1 <= steps <= schedule.steps:
        raise InputError(
            "BAD_CONFIG",
            f"Got {steps!r} sampling steps.",
            f"Sample in 1 to {schedule.steps} steps.",
        )
    places = torch.linspace(schedule.steps - 1, 0, steps, dtype=torch.float64).round()
    return [int(place) for place in places.tolist()]


def _predicted(
    denoiser: Denoiser,
    image: Tensor,
    condition: Tensor,
    view: Tensor,
    schedule: NoiseSchedule,
    step: int,
) -> tuple[Tensor, Tensor]:
    """Return the clean image, cut off at -1 and 1, and the noise that fits it."""
    time = torch.full((len(image),), step, device=image.device)
    predicted = denoiser(image, condition, time, view).to(image.dtype)
    clean = schedule.clean_image(image, predicted, step)
    return clean, schedule.noise_of(image, clean, step)


def _noise_like(image: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(image.shape, generator=generator, dtype=image.dtype).to(image.device)
