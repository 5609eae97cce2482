"""Nodes to engine objects and back; the only place where RAS meets LPS.

MRML holds volumes with an IJK-to-RAS matrix and, above them, transforms; the engine holds frozen
``Volume`` and ``Radiograph`` objects in LPS. Everything that crosses over does so here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import slicer
import vtk

from TomoRayCore.coordinates import lps_to_ras
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry
from TomoRayCore.presets import from_preset
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.volume import SYNTHETIC_KEY, Volume

VIEW = "TomoRay.View"
PIXEL_SPACING = "TomoRay.PixelSpacingMm"
QUANTITY = "TomoRay.Quantity"
ACQUISITION = "TomoRay.Acquisition"
SYNTHETIC = "TomoRay.Synthetic"
UNKNOWN = "unknown"

POSE_TOLERANCE_MM = 0.05
NOMINAL_POSE = "radiography"
"""Preset that places a measured radiograph in the scene while its true pose is unknown."""

_FRONTAL = ("AP", "PA")


def volumeFromNode(node) -> Volume:
    """Return a CT node's voxels and their place in the world, linear transforms applied.

    Raises:
        InputError: ``NO_IMAGE``, ``NONLINEAR_TRANSFORM``, or what ``Volume`` refuses.
    """
    metadata = {"name": node.GetName()}
    if node.GetAttribute(SYNTHETIC) == "true":
        metadata[SYNTHETIC_KEY] = "true"
    return Volume(arrayOf(node), lps_to_ras(ijkToWorldRas(node)), metadata)


def nodeFromVolume(volume: Volume, name: str, scene=None):
    """Add a scalar volume node with the volume's voxels, at its place in the world."""
    node = _newVolumeNode(name, scene)
    _setIjkToRas(node, lps_to_ras(volume.ijk_to_lps))
    slicer.util.updateVolumeFromArray(node, np.array(volume.array_hu))
    if volume.is_synthetic:
        node.SetAttribute(SYNTHETIC, "true")
    node.CreateDefaultDisplayNodes()
    return node


def radiographFromNode(node, view: str, spacingMm: float | None = None) -> Radiograph:
    """Return the projection image that a one-slice volume node holds.

    A node that TomoRay made says itself what it shows. Of any other node, row 0 counts as
    superior and larger values as more attenuation; a spacing of exactly 1 x 1 mm is what readers
    write for a picture that states none, so it counts as unknown.

    Args:
        node: Scalar volume node with one slice.
        view: ``AP`` or ``LAT``: what the caller takes it for.
        spacingMm: Detector pixel spacing where the node does not know it.

    Raises:
        InputError: ``NO_IMAGE``, ``NOT_2D``, ``VIEW_MISMATCH``, ``POSE_MISMATCH``,
            ``GEOMETRY_CONTRADICTION``, ``NONLINEAR_TRANSFORM``, or what ``Radiograph`` refuses.
    """
    pixels = _onlySlice(node)
    acquisition = _acquisitionOf(node)
    label = _checkedView(node, view)
    if acquisition is not None:
        _checkPose(node, acquisition.view(label), pixels.shape)
    return Radiograph(
        pixels=pixels,
        view=label,
        pixel_spacing_mm=_pixelSpacing(node, spacingMm),
        quantity=node.GetAttribute(QUANTITY) or "relative",
        provenance={"node": node.GetName()},
        acquisition=acquisition,
    )


def nodeFromRadiograph(radiograph: Radiograph, name: str, scene=None):
    """Add a one-slice volume node, standing where the detector stands.

    Without an acquisition geometry the node stands at a nominal pose about the world's origin.
    """
    node = _newVolumeNode(name, scene)
    _setIjkToRas(node, lps_to_ras(detectorIjkToLps(_viewGeometry(radiograph), radiograph.shape)))
    slicer.util.updateVolumeFromArray(node, np.array(radiograph.pixels)[np.newaxis])
    node.CreateDefaultDisplayNodes()
    spacing = radiograph.pixel_spacing_mm
    node.SetAttribute(VIEW, radiograph.view)
    node.SetAttribute(QUANTITY, radiograph.quantity)
    node.SetAttribute(PIXEL_SPACING, f"{spacing[0]!r} {spacing[1]!r}" if spacing else UNKNOWN)
    if radiograph.acquisition is not None:
        node.SetAttribute(ACQUISITION, radiograph.acquisition.to_json())
    return node


def detectorIjkToLps(view: ViewGeometry, shape: tuple[int, int]) -> np.ndarray:
    """Return the 4x4 affine of a one-slice volume on the detector: i along u, j along v."""
    view = view.resized(shape)
    rowMm, columnMm = view.pixel_spacing_mm
    affine = np.eye(4)
    affine[:3, 0] = np.array(view.u) * columnMm
    affine[:3, 1] = np.array(view.v) * rowMm
    affine[:3, 2] = np.cross(view.u, view.v)
    affine[:3, 3] = view.pixel_centres_lps()[0, 0]
    return affine


def arrayOf(node) -> np.ndarray:
    """Return the voxels of a scalar volume node, shape (D, H, W), without a copy.

    Raises:
        InputError: ``NO_IMAGE`` for a node without voxels.
    """
    if node is None or node.GetImageData() is None or node.GetImageData().GetPointData() is None:
        name = node.GetName() if node is not None else "(none)"
        raise InputError(
            "NO_IMAGE", f"The node {name!r} holds no image.", "Choose a volume that is loaded."
        )
    return slicer.util.arrayFromVolume(node)


def ijkToWorldRas(node) -> np.ndarray:
    """Return the 4x4 voxel-to-world matrix in RAS mm, all linear parent transforms applied.

    Raises:
        InputError: ``NONLINEAR_TRANSFORM`` for a node under a warping transform.
    """
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    ijkToRas = slicer.util.arrayFromVTKMatrix(matrix)
    transform = node.GetParentTransformNode()
    if transform is None:
        return ijkToRas
    if not transform.IsTransformToWorldLinear():
        raise InputError(
            "NONLINEAR_TRANSFORM",
            f"{node.GetName()!r} lies under the non-linear transform {transform.GetName()!r}.",
            "Harden the transform on the volume, or take the volume out of it.",
        )
    transform.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix) @ ijkToRas


def _newVolumeNode(name: str, scene):
    scene = scene or slicer.mrmlScene
    return scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))


def _setIjkToRas(node, ijkToRas: np.ndarray) -> None:
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijkToRas))


def _onlySlice(node) -> np.ndarray:
    array = arrayOf(node)
    if array.ndim != 3 or array.shape[0] != 1:
        raise InputError(
            "NOT_2D",
            f"{node.GetName()!r} has the shape {array.shape}, not one slice of grey values.",
            "Choose a radiograph or DRR; a CT belongs into the CT selector.",
        )
    return array[0]


def _acquisitionOf(node) -> AcquisitionGeometry | None:
    text = node.GetAttribute(ACQUISITION)
    return AcquisitionGeometry.from_json(text) if text else None


def _checkedView(node, view: str) -> str:
    own = node.GetAttribute(VIEW) or view
    if own != view and not (own in _FRONTAL and view in _FRONTAL):
        raise InputError(
            "VIEW_MISMATCH",
            f"{node.GetName()!r} is a {own} image but was chosen as {view}.",
            "Swap the two radiographs, or load the file again as the other view.",
        )
    return own


def _pixelSpacing(node, spacingMm: float | None) -> tuple[float, float] | None:
    text = node.GetAttribute(PIXEL_SPACING)
    if text and text != UNKNOWN:
        row, column = (float(part) for part in text.split())
        return row, column
    columnMm, rowMm, _sliceMm = node.GetSpacing()
    if text is None and (rowMm, columnMm) != (1.0, 1.0):
        return rowMm, columnMm
    return (float(spacingMm), float(spacingMm)) if spacingMm else None


def _checkPose(node, view: ViewGeometry, shape: tuple[int, int]) -> None:
    """Refuse a DRR that was cropped or moved: its geometry would no longer be true."""
    if shape != view.size:
        raise InputError(
            "GEOMETRY_CONTRADICTION",
            f"{node.GetName()!r} has {shape[0]} x {shape[1]} pixels, the detector it was made "
            f"for {view.size[0]} x {view.size[1]}.",
            "Generate the DRRs again: cropping or resizing one makes its geometry false.",
        )
    expected = detectorIjkToLps(view, shape)
    actual = lps_to_ras(ijkToWorldRas(node))
    corners = np.array([(i, j, 0, 1) for i in (0, shape[1] - 1) for j in (0, shape[0] - 1)]).T
    off = np.abs((expected - actual) @ corners).max()
    if off > POSE_TOLERANCE_MM:
        raise InputError(
            "POSE_MISMATCH",
            f"{node.GetName()!r} stands {off:.3g} mm away from the detector it was made for.",
            "Remove the transform from the radiograph, or generate the DRRs again.",
        )


def _viewGeometry(radiograph: Radiograph) -> ViewGeometry:
    if radiograph.acquisition is not None:
        return radiograph.acquisition.view(radiograph.view)
    nominal = from_preset(NOMINAL_POSE, views=[radiograph.view]).views[0]
    return replace(
        nominal,
        size=radiograph.shape,
        pixel_spacing_mm=radiograph.pixel_spacing_mm or (1.0, 1.0),
    )
