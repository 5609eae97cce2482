"""Digitally reconstructed radiographs: line integrals of mu through a volume.

``project`` is the numpy route and needs no torch; ``torch_separable`` is the same operator,
batched and differentiable. Both follow ``plan``, so they agree.
"""

from TomoRayCore.drr.separable import project, project_mu
from TomoRayCore.drr.siddon import siddon_project

__all__ = ["project", "project_mu", "siddon_project"]
