"""TomoRay's engine: radiographs in, synthetic CT out; knows nothing of 3D Slicer.

The numpy layer (volumes, radiographs, geometry, files, metrics, DRRs) works without torch; the
torch layer (networks, differentiable DRRs, reconstruction) imports it on use. Importing this
package alone imports neither.
"""

__version__ = "0.1.0"
