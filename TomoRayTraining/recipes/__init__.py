"""Training schemes by name; each is one file, readable top to bottom."""

from __future__ import annotations

from TomoRayTraining.recipes.regression import RegressionRecipe

RECIPES = {"regression": RegressionRecipe}
