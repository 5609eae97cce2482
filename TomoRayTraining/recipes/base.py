"""What a training scheme is: networks, and the losses that move them, in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.utils.data import Dataset

from TomoRayCore.errors import InputError
from TomoRayCore.harmonise import ViewReference
from TomoRayCore.nets import DISCRIMINATORS, GENERATORS, build
from TomoRayTraining.cases import Case
from TomoRayTraining.config import Config, LossConfig
from TomoRayTraining.dataset import TrainingExamples
from TomoRayTraining.specs import specs_of
from TomoRayTraining.validate import validation

Batch = Mapping[str, Tensor]
Score = Callable[[nn.Module], dict[str, float]]


@dataclass(frozen=True)
class Update:
    """One optimiser step that a recipe asks for.

    Attributes:
        network: Name of the network that moves.
        also: Names of further networks that the same loss moves.
        loss: Scalar to differentiate.
        terms: Its parts, for the log.
    """

    network: str
    loss: Tensor
    terms: Mapping[str, Tensor]
    also: tuple[str, ...] = ()


class Recipe(nn.Module, ABC):
    """A training scheme.

    Its child modules are the networks that are trained and kept in checkpoints; ``generator`` is
    the one that is averaged, validated and exported. What is not trained (a perceptual backbone)
    must not be a child.

    Args:
        generator: Built from ``config.model`` by the recipe's ``REGISTRY``.
        config: The experiment.

    Raises:
        InputError: ``BAD_CONFIG`` for a loss weight or an adversary that the recipe does not know.
    """

    REGISTRY: ClassVar[Mapping[str, Callable[..., nn.Module]]] = GENERATORS
    WEIGHTS: ClassVar[frozenset[str]] = frozenset()
    """Names of the loss weights that the recipe uses."""

    ADVERSARIAL: ClassVar[bool] = False
    """Whether ``config.model.discriminator`` is used."""

    generator: nn.Module

    def __init__(self, generator: nn.Module, config: Config) -> None:
        super().__init__()
        self.generator = generator
        self.weights = config.loss
        _check_weights(config, self.WEIGHTS)
        if bool(config.model.discriminator) != self.ADVERSARIAL:
            word = "needs a" if self.ADVERSARIAL else "knows no"
            raise InputError(
                "BAD_CONFIG",
                f"The recipe {config.optimisation.recipe!r} {word} discriminator; "
                f"model.discriminator is {config.model.discriminator!r}.",
                f"Discriminators are {', '.join(DISCRIMINATORS)}.",
            )

    @abstractmethod
    def updates(self, batch: Batch) -> Iterator[Update]:
        """Yield the updates of one step, in order; each is applied before the next is asked for.

        ``batch`` holds ``images`` (B, V, S, S), ``view_matrices`` (B, V, 3, 4), ``target`` and
        ``mask`` (B, 1, D, H, W), or what the recipe's own ``examples`` give.
        """

    @classmethod
    def examples(
        cls, cases: Sequence[Case], config: Config, count: int
    ) -> Dataset[dict[str, Tensor]]:
        """Return examples 0 to ``count`` - 1, each a function of (seed, number) alone."""
        return TrainingExamples(cases, config, *specs_of(config), count)

    @classmethod
    def validation(
        cls, cases: Sequence[Case], config: Config, references: Sequence[ViewReference] = ()
    ) -> Score:
        """Return a scorer of averaged networks on the validation cases.

        ``references``: what films are matched to, from the training cases.
        """
        return validation(cases, config, references)


def build_discriminator(config: Config) -> nn.Module:
    """Return the experiment's adversary."""
    return build(config.model.discriminator, config.model.discriminator_arguments, DISCRIMINATORS)


@contextmanager
def frozen(network: nn.Module) -> Iterator[nn.Module]:
    """Let gradients pass through a network without collecting any in its weights."""
    trained = [p for p in network.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield network
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def weighted(weights: LossConfig, terms: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of the terms times the weights of the same names."""
    values = weights.weights()
    parts = [values[name] * term for name, term in terms.items()]
    return sum(parts[1:], start=parts[0])


def _check_weights(config: Config, known: frozenset[str]) -> None:
    defaults = LossConfig().weights()
    for name, value in config.loss.weights().items():
        if name not in known and value not in (0.0, defaults[name]):
            raise InputError(
                "BAD_CONFIG",
                f"The recipe {config.optimisation.recipe!r} knows no loss.{name}; it is {value:g}.",
                f"Remove it; this recipe knows {', '.join(sorted(known))}.",
            )
