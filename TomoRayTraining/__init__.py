"""Headless training and evaluation; shares TomoRayCore's networks, geometry and DRRs."""
