"""One experiment as data: frozen dataclasses; ``config_file`` reads them from YAML."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from TomoRayCore.errors import InputError
from TomoRayCore.regions import REGIONS

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Of an experiment: it becomes a file's name."""

IMAGES = ("drr", "films", "realistic")

SCHEDULES = ("cosine", "linear", "steps", "constant")


@dataclass(frozen=True)
class ModelConfig:
    """What is trained."""

    architecture: str = "x2ct-biplanar"
    """Key of ``TomoRayCore.nets.GENERATORS``."""

    arguments: dict[str, Any] = field(default_factory=lambda: {"width": 0.25, "output_size": 64})
    """Its constructor's arguments."""

    discriminator: str = ""
    """Key of ``TomoRayCore.nets.DISCRIMINATORS``, for recipes with an adversary."""

    discriminator_arguments: dict[str, Any] = field(default_factory=dict)
    """Its constructor's arguments."""

    harmonise: bool = False
    """Match films to the line integrals of the training DRRs before the network sees them, in
    training and in use; DRRs never."""

    backbone: str = ""
    """A safetensors file whose weights the generator's encoder starts from (PerX2CT: ResNet-101 of
    ImageNet), for generators with ``load_backbone``; random weights where empty."""


@dataclass(frozen=True)
class DataConfig:
    """What it is trained on."""

    views: tuple[str, ...] = ("AP", "LAT")
    """Labels of the views, frontal first."""

    images: str = "drr"
    """``drr``; ``films``: the cases' own radiographs, of the cases that have them;
    ``realistic``: DRRs made to look like radiographs."""

    spacing_mm: float = 4.0
    """Voxel size of the network's cube."""

    hu_window: tuple[float, float] = (-1000.0, 1500.0)
    """HU of the network's 0 and 1; values beyond are clipped."""

    sad_mm: tuple[float, float] = (850.0, 1250.0)
    """Range from which each example's source-isocentre distance is drawn."""

    sdd_over_sad: float = 1.5
    """Detector distance; only the pixel size depends on it."""

    detector_size: int = 128
    """Pixels along an edge of the simulated detector."""

    shares: dict[str, float] = field(
        default_factory=lambda: {"whole": 0.1, "cut": 0.3, "completed": 0.45, "phantom": 0.15}
    )
    """How often each kind of case is drawn, relative to the kinds that there are."""

    soft_images: bool = False
    """Make bone-suppressed images too, for recipes with two branches or of bone suppression."""

    region: str = ""
    """Region of masked losses: ``skull``, ``intracranial`` or ``air``; none where empty."""

    points: int = 0
    """Random places at which an implicit network is trained; 0 is every voxel."""

    slices: int = 20
    """Slices that a slice generator is trained on in a step (PerX2CT: 20)."""

    zoom_share: float = 0.0
    """Share of steps in which a slice generator sees a random enlarged square of its slices
    (PerX2CT with context: 0.5)."""

    workers: int = 1
    """Processes that make examples."""


@dataclass(frozen=True)
class AugmentationConfig:
    """How a head is varied before it is projected, so that both views stay consistent."""

    rotation_deg: float = 8.0
    """Largest rotation about each axis."""

    translation_mm: float = 12.0
    """Largest shift along each axis."""

    scale: float = 0.08
    """Largest relative change of size, independently along each axis."""

    flip: bool = True
    """Mirror left and right in half of the examples."""

    cut_probability: float = 0.2
    """Share of heads whose vertex is cut off, as scans that end early are."""

    cut_mm: float = 70.0
    """Largest missing height below the top of the cube."""

    noise: float = 0.02
    """Largest standard deviation of noise on the normalised images."""

    image_flip: bool = False
    """Mirror the images of a translator in half of the examples, as CycleGAN's authors do with
    photographs; no radiograph looks like that."""


@dataclass(frozen=True)
class OptimisationConfig:
    """How it is trained."""

    recipe: str = "regression"
    """Key of ``TomoRayTraining.recipes.RECIPES``."""

    steps: int = 3000
    """Optimiser steps; each sees ``batch_size`` times ``accumulate`` examples."""

    epochs: float = 0.0
    """Instead of ``steps``, where above 0: how often as many examples are drawn as there are
    training cases."""

    batch_size: int = 1
    """Examples in one forward pass."""

    accumulate: int = 1
    """Forward passes whose gradients are averaged into one step."""

    optimiser: str = "adam"
    """``adam`` or ``adamw``."""

    betas: tuple[float, float] = (0.5, 0.99)
    """Adam's."""

    weight_decay: float = 0.0
    """Adam's (an L2 term) or AdamW's (decoupled)."""

    learning_rate: float = 1e-3
    """Peak of the learning rate, after a linear warm-up."""

    discriminator_learning_rate: float = 0.0
    """The adversary's, where it differs from ``learning_rate``."""

    schedule: str = "cosine"
    """``cosine`` to zero; ``linear``: constant up to ``milestones``, then straight to zero;
    ``steps``: times ``decay`` at each of ``milestones``; ``constant``.

    All change from step to step. X2CT-GAN's code and its like lower the rate after each epoch, one
    epoch sooner, and train the last epoch at rate 0: of 100 epochs, with ``linear`` and 0.5, no
    step's rate differs from theirs by more than 0.04 of the highest."""

    milestones: tuple[float, ...] = (0.5,)
    """Shares of the run at which the schedule changes."""

    decay: float = 0.1
    """Factor of the schedule ``steps``."""

    warmup_steps: int = 50
    """Steps of the linear warm-up."""

    gradient_clip: float = 1.0
    """Largest norm of a network's gradient; 0 leaves gradients alone."""

    ema_decay: float = 0.995
    """Decay of the averaged weights, which are what is evaluated and exported; 0 takes the last
    weights, as the papers do."""

    checkpoint_every: int = 100
    """Steps between checkpoints."""

    validate_every: int = 500
    """Steps between validations."""


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms, on volumes in [0, 1] of the HU window.

    Each recipe says which ones it knows; setting another is an error.
    """

    mse: float = 10.0
    """Mean squared error over voxels (X2CT-GAN: 10)."""

    l1: float = 2.0
    """Mean absolute error over voxels (X2CT-GAN: none)."""

    projection: float = 10.0
    """Mean absolute error of the means along the three axes (X2CT-GAN: 10)."""

    adversarial: float = 0.0
    """The discriminator's verdict (X2CT-GAN: 0.1)."""

    adversary: str = "lsgan"
    """How logits become losses: ``lsgan``, ``lsgan-half`` or ``bce``."""

    perceptual: float = 0.0
    """Distance of a fixed network's features; needs ``backbone``."""

    masked_mse: float = 0.0
    """Squared error inside ``data.region``, over all voxels (DuoLift-GAN: 1)."""

    masked_l1: float = 0.0
    """Absolute error inside ``data.region``, over all voxels (DuoLift-GAN: 1)."""

    self_supervised: float = 0.0
    """Squared error of what a discriminator rebuilds (SdCT-GAN: 10)."""

    contrastive: float = 0.0
    """Perceptual distance of both branches' projections (DCT-Net); needs ``backbone``."""

    second_branch: float = 0.0
    """Mean squared error of the second branch (DCT-Net: none is stated)."""

    segmentation: float = 0.0
    """Cross entropy of a segmentation of ``data.region`` (RT-SRTS: 1)."""

    cycle: float = 0.0
    """Absolute error after translation there and back (CycleGAN: 10)."""

    identity: float = 0.0
    """Absolute change of an image that has the wanted style already (CycleGAN: 5, half of
    ``cycle``)."""

    edge: float = 0.0
    """How little the gradients of an image and of its translation correlate (CycleGAN: none)."""

    backbone: str = ""
    """A safetensors file with VGG-16's weights, or ``random`` for trying things out."""

    def weights(self) -> dict[str, float]:
        """Return the weights by name."""
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if not isinstance(value, str)}


@dataclass(frozen=True)
class Config:
    """One experiment.

    Raises:
        InputError: ``BAD_CONFIG`` for a value that cannot be.
    """

    name: str
    """Name of the run and of the model."""

    seed: int = 0
    """Everything random follows from it."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    optimisation: OptimisationConfig = field(default_factory=OptimisationConfig)
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise bad_config(f"name must be letters, digits, dots, dashes; got {self.name!r}.")
        low, high = self.data.sad_mm
        if not 0 < low <= high < math.inf:
            raise bad_config(f"data.sad_mm must be a rising range of distances; got {low}, {high}.")
        low, high = self.data.hu_window
        if not -32768 <= low < high <= 32767:
            raise bad_config(f"data.hu_window must be a rising range of HU; got {low}, {high}.")
        if any(not 0 <= share <= 1 for share in self.optimisation.milestones):
            raise bad_config("optimisation.milestones are shares of the run, from 0 to 1.")
        for name, word, choices in self._choices():
            if word not in choices:
                raise bad_config(f"{name} is one of {', '.join(choices)}; got {word!r}.")
        for name, value, lowest, highest in self._ranges():
            if not lowest <= value <= highest:
                raise bad_config(f"{name} must be from {lowest:g} to {highest:g}; got {value}.")
        for kind, share in self.data.shares.items():
            if type(share) not in (int, float) or not 0 <= share < math.inf:
                raise bad_config(f"data.shares.{kind} must be a number from 0; got {share!r}.")

    def _choices(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Return name, value and possible values of all settings that are words."""
        optimisation = self.optimisation
        return [
            ("optimisation.optimiser", optimisation.optimiser, ("adam", "adamw")),
            ("optimisation.schedule", optimisation.schedule, SCHEDULES),
            ("data.region", self.data.region, ("", *REGIONS)),
            ("data.images", self.data.images, IMAGES),
            ("loss.adversary", self.loss.adversary, ("lsgan", "lsgan-half", "bce")),
        ]

    def _ranges(self) -> list[tuple[str, float, float, float]]:
        """Return name, value, least and greatest of all numbers that are bounded."""
        data, varied, optimisation = self.data, self.augmentation, self.optimisation
        return [
            ("seed", self.seed, 0, 2**63 - 1),
            ("data.spacing_mm", data.spacing_mm, 0.1, 50),
            ("data.sdd_over_sad", data.sdd_over_sad, 1.01, 10),
            ("data.detector_size", data.detector_size, 16, 4096),
            ("data.points", data.points, 0, 10**8),
            ("data.slices", data.slices, 1, 4096),
            ("data.zoom_share", data.zoom_share, 0, 1),
            ("data.workers", data.workers, 0, 256),
            ("augmentation.rotation_deg", varied.rotation_deg, 0, 180),
            ("augmentation.translation_mm", varied.translation_mm, 0, 500),
            ("augmentation.scale", varied.scale, 0, 0.9),
            ("augmentation.cut_probability", varied.cut_probability, 0, 1),
            ("augmentation.cut_mm", varied.cut_mm, 0, 250),
            ("augmentation.noise", varied.noise, 0, 1),
            ("optimisation.steps", optimisation.steps, 1, 10**9),
            ("optimisation.epochs", optimisation.epochs, 0, 1e6),
            ("optimisation.batch_size", optimisation.batch_size, 1, 4096),
            ("optimisation.accumulate", optimisation.accumulate, 1, 4096),
            ("optimisation.betas", min(optimisation.betas), 0, 1 - 1e-9),
            ("optimisation.betas", max(optimisation.betas), 0, 1 - 1e-9),
            ("optimisation.weight_decay", optimisation.weight_decay, 0, 10),
            ("optimisation.learning_rate", optimisation.learning_rate, 0, 10),
            (
                "optimisation.discriminator_learning_rate",
                optimisation.discriminator_learning_rate,
                0,
                10,
            ),
            ("optimisation.decay", optimisation.decay, 0, 1),
            ("optimisation.gradient_clip", optimisation.gradient_clip, 0, 1e9),
            ("optimisation.warmup_steps", optimisation.warmup_steps, 0, 10**9),
            ("optimisation.ema_decay", optimisation.ema_decay, 0, 1 - 1e-9),
            ("optimisation.checkpoint_every", optimisation.checkpoint_every, 1, 10**9),
            ("optimisation.validate_every", optimisation.validate_every, 1, 10**9),
            *((f"loss.{name}", value, 0, 1e6) for name, value in self.loss.weights().items()),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain types, as in the YAML file."""
        return dataclasses.asdict(self)

    def fingerprint(self) -> str:
        """Return a short hash of all settings; a checkpoint belongs to one of them."""
        text = json.dumps(self.to_dict(), sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def bad_config(message: str) -> InputError:
    """Return the error for settings that make no experiment."""
    return InputError("BAD_CONFIG", message, "Correct the experiment's YAML file.")
