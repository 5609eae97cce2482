"""Bone suppression of radiographs by conditional diffusion, as a stage before reconstruction.

Chen et al., "BS-Diff", ISBI 2024, first stage; used by DCT-Net for its second branch. The published
model knows frontal chest films; this one is trained on pairs of projections of a CT and of the same
CT with bone replaced by soft tissue, frontal and lateral (``TomoRayTraining.synthesis``).

Departures: DDIM sampling in few steps (``scheme="released"`` samples as the published code does, in
which 1000 steps are usual), one network for both views, and 0-to-1 images outside, as
reconstruction networks have.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets.diffusion import (
    Scheme,
    StepReport,
    check_scheme,
    cosine_schedule,
    denoising_loss,
    sample_ddim,
    sample_released,
)
from TomoRayCore.nets.diffusion_unet import (
    ATTENTION,
    CHANNELS,
    RESIDUAL_BLOCKS,
    VIEWS,
    DenoisingUNet,
)


class BoneSuppression(nn.Module):
    """Radiographs to the same without bone: (B, V, H, W) to (B, V, H, W), in and out 0 to 1.

    Views are in canonical order, V being 1 (frontal) or 2. Values above 1 are cut off.

    Args:
        width: Of the denoiser, as the next three.
        channels: Of each level.
        residual_blocks: A level.
        attention: For each level.
        steps: Steps of noise in training, T.
        sampling_steps: Evaluations of the denoiser that ``forward`` makes.
        seed: Of the noise that ``forward`` starts from.
        scheme: ``paper`` or ``released``, see ``TomoRayCore.nets.diffusion``.

    Attributes:
        denoiser: What is trained.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` or ``BAD_CONFIG`` for impossible values.
    """

    def __init__(
        self,
        width: float = 1.0,
        channels: Sequence[int] = CHANNELS,
        residual_blocks: int = RESIDUAL_BLOCKS,
        attention: Sequence[bool] = ATTENTION,
        steps: int = 1000,
        sampling_steps: int = 50,
        seed: int = 0,
        scheme: Scheme = "paper",
    ) -> None:
        super().__init__()
        check_scheme(scheme)
        self.schedule = cosine_schedule(steps)
        if not 1 <= sampling_steps <= steps:
            raise InputError(
                "ARCHITECTURE_ARGUMENTS",
                f"Got {sampling_steps!r} sampling steps of {steps!r}.",
                "Sample in at least one step and at most as many as in training.",
            )
        self.denoiser = DenoisingUNet(width, channels, residual_blocks, attention)
        self.sampling_steps, self.seed, self.scheme = sampling_steps, seed, scheme

    def forward(self, images: Tensor) -> Tensor:
        """Return ``suppress(images)``."""
        return self.suppress(images)

    @torch.no_grad()
    def suppress(
        self,
        images: Tensor,
        sampling_steps: int | None = None,
        seed: int | None = None,
        report: StepReport | None = None,
    ) -> Tensor:
        """Return the images without bone, sampled with DDIM or, by scheme, as released.

        Args:
            images: (B, V, H, W).
            sampling_steps: Instead of the network's own.
            seed: Instead of the network's own.
            report: Called with (evaluations done, evaluations in all).

        Raises:
            InputError: ``BAD_SHAPE`` or ``BAD_CONFIG``.
        """
        films, view = self._films(images)
        sample = sample_released if self.scheme == "released" else sample_ddim
        clean = sample(
            self.denoiser,
            films,
            view,
            self.schedule,
            self.sampling_steps if sampling_steps is None else sampling_steps,
            self.seed if seed is None else seed,
            report,
        )
        return (clean.reshape(images.shape) + 1) / 2

    def loss(self, images: Tensor, without_bone: Tensor, generator: torch.Generator) -> Tensor:
        """Return the training loss of pairs (B, V, H, W), by the network's scheme.

        Args:
            images: The radiographs, 0 to 1.
            without_bone: The same without bone, normalised as they are.
            generator: Of steps and noise, on the CPU.

        Raises:
            InputError: ``BAD_SHAPE``.
        """
        films, view = self._films(images)
        targets, _ = self._films(without_bone)
        return denoising_loss(
            self.denoiser, targets, films, view, self.schedule, generator, self.scheme
        )

    def _films(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B V, 1, H, W) in -1 to 1, and the view of each."""
        if images.ndim != 4 or not 1 <= images.shape[1] <= VIEWS:
            raise InputError(
                "BAD_SHAPE",
                f"Got images of shape {tuple(images.shape)}.",
                "Give (batch, 1 or 2, H, W): frontal, then lateral.",
            )
        batch, views = images.shape[:2]
        view = torch.arange(views, device=images.device).repeat(batch)
        return 2 * images.clamp(0, 1).reshape(batch * views, 1, *images.shape[2:]) - 1, view
