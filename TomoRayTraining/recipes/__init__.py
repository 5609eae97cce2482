"""Training schemes by name; each is one file, readable top to bottom."""

from __future__ import annotations

from TomoRayCore.errors import InputError
from TomoRayTraining.recipes.base import Recipe
from TomoRayTraining.recipes.cyclegan import CycleGanRecipe
from TomoRayTraining.recipes.diffusion import DiffusionRecipe
from TomoRayTraining.recipes.dual_branch import DualBranchRecipe
from TomoRayTraining.recipes.duolift import DuoLiftCnnRecipe, DuoLiftGanRecipe
from TomoRayTraining.recipes.gan import GanRecipe
from TomoRayTraining.recipes.implicit import ImplicitRecipe
from TomoRayTraining.recipes.regression import RegressionRecipe
from TomoRayTraining.recipes.sdct import SdctRecipe
from TomoRayTraining.recipes.segmented import SegmentedRecipe
from TomoRayTraining.recipes.slices import SliceRecipe
from TomoRayTraining.recipes.xrecon import XReconRecipe

RECIPES: dict[str, type[Recipe]] = {
    "regression": RegressionRecipe,
    "gan": GanRecipe,
    "implicit": ImplicitRecipe,
    "duolift-cnn": DuoLiftCnnRecipe,
    "duolift-gan": DuoLiftGanRecipe,
    "slices": SliceRecipe,
    "segmented": SegmentedRecipe,
    "xrecon": XReconRecipe,
    "sdct": SdctRecipe,
    "dual-branch": DualBranchRecipe,
    "cyclegan": CycleGanRecipe,
    "diffusion": DiffusionRecipe,
}


def recipe(name: str) -> type[Recipe]:
    """Return the recipe of this name.

    Raises:
        InputError: ``BAD_CONFIG`` when there is none.
    """
    if name not in RECIPES:
        raise InputError(
            "BAD_CONFIG",
            f"There is no recipe {name!r}.",
            f"optimisation.recipe is one of {', '.join(RECIPES)}.",
        )
    return RECIPES[name]
