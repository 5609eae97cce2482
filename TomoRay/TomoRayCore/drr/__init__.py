"""Digitally reconstructed radiographs: line integrals of mu through a volume.

``project`` and its relatives need numpy and scipy alone, and use a compiled kernel where there is
one; ``torch_projector`` is the same operator, batched and differentiable. Both follow ``plan`` and
``shear_warp``, so they agree.
"""

from TomoRayCore.drr.adjoint import backproject_arrays
from TomoRayCore.drr.attenuation import PLASTIMATCH, WATER_60KEV, MuRule
from TomoRayCore.drr.projector import project, project_mu, project_structures
from TomoRayCore.drr.siddon import siddon_project
from TomoRayCore.drr.structures import BONE, SOFT_TISSUE, Structure

__all__ = [
    "BONE",
    "PLASTIMATCH",
    "SOFT_TISSUE",
    "WATER_60KEV",
    "MuRule",
    "Structure",
    "backproject_arrays",
    "project",
    "project_mu",
    "project_structures",
    "siddon_project",
]
