"""From line integrals to what a detector would measure: spectrum, noise, scatter, blur, display.

Everything here is optional and works per pixel on projections that ``TomoRayCore.drr`` makes;
``simulate.simulate`` is the one door. Numpy and scipy only.
"""
