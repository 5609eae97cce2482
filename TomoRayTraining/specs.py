"""What an experiment's network sees and gives."""

from __future__ import annotations

from TomoRayCore.errors import InputError
from TomoRayCore.network_io import InputSpec, OutputSpec
from TomoRayTraining.config import Config

FINE_SPACING_MM = 2.0
"""Grid on which heads are varied, projected and evaluated; networks' are whole multiples."""


def specs_of(config: Config) -> tuple[InputSpec, OutputSpec]:
    """Return what an experiment's network sees and gives.

    Raises:
        InputError: ``BAD_CONFIG`` for sizes that are no whole numbers.
    """
    sizes = {}
    for name in ("input_size", "output_size"):
        size = sizes[name] = config.model.arguments.get(name, 128)
        if type(size) is not int:
            raise InputError(
                "BAD_CONFIG",
                f"model.arguments.{name} must be a whole number; got {size!r}.",
                "Correct the experiment's YAML file.",
            )
    field_mm = sizes["output_size"] * config.data.spacing_mm
    output = OutputSpec(
        network_size=sizes["output_size"],
        network_spacing_mm=config.data.spacing_mm,
        size=round(field_mm / FINE_SPACING_MM),
        spacing_mm=FINE_SPACING_MM,
        hu_window=config.data.hu_window,
    )
    return InputSpec(size=sizes["input_size"], field_mm=field_mm), output
