"""Nodes and engine objects are the same thing in two frames; needs slicer-core only, no Qt."""

import numpy as np
import pytest

slicer_core = pytest.importorskip("slicer")

import vtk  # noqa: E402

from TomoRayCore.coordinates import compose_affine  # noqa: E402
from TomoRayCore.errors import InputError  # noqa: E402
from TomoRayCore.presets import from_preset  # noqa: E402
from TomoRayCore.radiograph import Radiograph  # noqa: E402
from TomoRayCore.volume import SYNTHETIC_KEY, Volume  # noqa: E402
from TomoRayLib import MRMLBridge  # noqa: E402


def rotation(degrees, axis):
    """Return a rotation matrix about one world axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    i, j = [k for k in range(3) if k != axis]
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


DIRECTIONS = {
    "identity": np.eye(3),
    "RAS": np.diag([-1.0, -1.0, 1.0]),
    "sagittal": np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]], float),
    "oblique": rotation(17, 0) @ rotation(-31, 2),
}


@pytest.fixture(params=DIRECTIONS)
def volume(request):
    """A small volume without any symmetry."""
    array = np.random.default_rng(5).integers(-1000, 2000, (5, 7, 9)).astype(np.int16)
    return Volume(array, compose_affine(DIRECTIONS[request.param], (0.7, 1.1, 2.3), (-12, 34, 56)))


@pytest.fixture
def scene():
    """An empty scene."""
    return slicer_core.vtkMRMLScene()


@pytest.fixture
def drr():
    """A DRR with its geometry, without any symmetry."""
    acquisition = from_preset(isocentre_lps=(5, -8, 13), size=32)
    pixels = np.random.default_rng(6).random((32, 32)).astype(np.float32)
    view = acquisition.view("LAT")
    return Radiograph(pixels, "LAT", view.pixel_spacing_mm, "line_integral", {}, acquisition)


def test_volume_survives_the_scene_in_any_orientation(volume, scene):
    back = MRMLBridge.volumeFromNode(MRMLBridge.nodeFromVolume(volume, "ct", scene))
    np.testing.assert_allclose(back.ijk_to_lps, volume.ijk_to_lps, atol=1e-9)
    np.testing.assert_array_equal(back.array_hu, volume.array_hu)


def test_voxel_has_the_same_place_in_the_scene(volume, scene):
    node = MRMLBridge.nodeFromVolume(volume, "ct", scene)
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in volume.shape[::-1]])).reshape(3, -1)
    lps = volume.ijk_to_lps[:3, :3] @ corners + volume.ijk_to_lps[:3, 3:]
    ras = lps * np.array([[-1], [-1], [1]])
    np.testing.assert_allclose(bounds[0::2], ras.min(axis=1), atol=1e-6)
    np.testing.assert_allclose(bounds[1::2], ras.max(axis=1), atol=1e-6)


def test_linear_transforms_above_a_volume_are_applied_and_the_node_stays_as_it_is(scene):
    volume = Volume(np.zeros((3, 4, 5), np.int16), np.eye(4))
    node = MRMLBridge.nodeFromVolume(volume, "ct", scene)
    outer = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    inner = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    turn = np.eye(4)
    turn[:3, :3] = rotation(90, 2)
    shift = np.eye(4)
    shift[:3, 3] = (10, 20, 30)
    outer.SetMatrixTransformToParent(slicer_core.util.vtkMatrixFromArray(shift))
    inner.SetMatrixTransformToParent(slicer_core.util.vtkMatrixFromArray(turn))
    inner.SetAndObserveTransformNodeID(outer.GetID())
    node.SetAndObserveTransformNodeID(inner.GetID())
    lps_to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    expected = lps_to_ras @ shift @ turn @ lps_to_ras
    np.testing.assert_allclose(MRMLBridge.volumeFromNode(node).ijk_to_lps, expected, atol=1e-9)
    assert node.GetParentTransformNode() is inner


def test_warped_volume_is_refused(scene):
    node = MRMLBridge.nodeFromVolume(Volume(np.zeros((3, 4, 5), np.int16), np.eye(4)), "ct", scene)
    warp = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetBasisToR()
    points = [vtk.vtkPoints(), vtk.vtkPoints()]
    for index in range(4):
        for which, cloud in enumerate(points):
            cloud.InsertNextPoint(index, index * index, which * index)
    spline.SetSourceLandmarks(points[0])
    spline.SetTargetLandmarks(points[1])
    warp.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(InputError, match="NONLINEAR_TRANSFORM"):
        MRMLBridge.volumeFromNode(node)


def test_empty_node_is_refused(scene):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    with pytest.raises(InputError, match="NO_IMAGE"):
        MRMLBridge.volumeFromNode(node)


def test_nan_is_refused(scene):
    node = MRMLBridge.nodeFromVolume(
        Volume(np.zeros((3, 4, 5), np.float32) + 0.5, np.eye(4)), "ct", scene
    )
    slicer_core.util.arrayFromVolume(node)[1, 2, 3] = np.nan
    with pytest.raises(InputError, match="NON_FINITE"):
        MRMLBridge.volumeFromNode(node)


def test_synthetic_mark_goes_both_ways(scene):
    volume = Volume(np.zeros((3, 4, 5), np.int16), np.eye(4), {SYNTHETIC_KEY: "true"})
    node = MRMLBridge.nodeFromVolume(volume, "sct", scene)
    assert node.GetAttribute("TomoRay.Synthetic") == "true"
    assert MRMLBridge.volumeFromNode(node).is_synthetic


def test_drr_stands_at_its_detector(drr, scene):
    node = MRMLBridge.nodeFromRadiograph(drr, "drr", scene)
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    ijk_to_ras = slicer_core.util.arrayFromVTKMatrix(matrix)
    centres = drr.acquisition.view("LAT").pixel_centres_lps()
    for row, column in ((0, 0), (3, 30), (31, 7)):
        ras = ijk_to_ras @ (column, row, 0, 1)
        np.testing.assert_allclose(ras[:3] * (-1, -1, 1), centres[row, column], atol=1e-6)
    assert np.linalg.det(ijk_to_ras[:3, :3]) > 0


def test_drr_survives_the_scene(drr, scene):
    back = MRMLBridge.radiographFromNode(MRMLBridge.nodeFromRadiograph(drr, "drr", scene), "LAT")
    assert back.acquisition == drr.acquisition
    assert back.pixel_spacing_mm == drr.pixel_spacing_mm
    assert (back.view, back.quantity) == ("LAT", "line_integral")
    np.testing.assert_array_equal(back.pixels, drr.pixels)


def test_drr_in_the_wrong_place_is_refused(drr, scene):
    node = MRMLBridge.nodeFromRadiograph(drr, "drr", scene)
    with pytest.raises(InputError, match="VIEW_MISMATCH"):
        MRMLBridge.radiographFromNode(node, "AP")


def test_moved_drr_is_refused(drr, scene):
    node = MRMLBridge.nodeFromRadiograph(drr, "drr", scene)
    origin = np.array(node.GetOrigin())
    node.SetOrigin(origin + np.array([0, 0, 0.5]))
    with pytest.raises(InputError, match="POSE_MISMATCH"):
        MRMLBridge.radiographFromNode(node, "LAT")


def test_unknown_pixel_spacing_stays_unknown(scene):
    pixels = np.random.default_rng(1).random((20, 30))
    node = MRMLBridge.nodeFromRadiograph(Radiograph(pixels, "AP", None), "film", scene)
    assert MRMLBridge.radiographFromNode(node, "AP").pixel_spacing_mm is None
    assert MRMLBridge.radiographFromNode(node, "AP", 0.25).pixel_spacing_mm == (0.25, 0.25)


def test_known_pixel_spacing_is_not_overruled(scene):
    pixels = np.random.default_rng(1).random((20, 30))
    node = MRMLBridge.nodeFromRadiograph(Radiograph(pixels, "AP", (0.2, 0.3)), "film", scene)
    assert MRMLBridge.radiographFromNode(node, "AP", 0.25).pixel_spacing_mm == (0.2, 0.3)
    assert node.GetSpacing()[:2] == pytest.approx((0.3, 0.2))


def test_node_of_another_reader_gives_its_spacing_unless_that_is_the_default(scene):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "foreign")
    slicer_core.util.updateVolumeFromArray(node, np.arange(600.0).reshape(1, 20, 30))
    assert MRMLBridge.radiographFromNode(node, "AP").pixel_spacing_mm is None
    node.SetSpacing(0.4, 0.5, 1.0)
    assert MRMLBridge.radiographFromNode(node, "AP").pixel_spacing_mm == (0.5, 0.4)


def test_ct_as_radiograph_is_refused(scene):
    node = MRMLBridge.nodeFromVolume(
        Volume(np.zeros((20, 20, 20), np.int16), np.eye(4)), "ct", scene
    )
    with pytest.raises(InputError, match="NOT_2D"):
        MRMLBridge.radiographFromNode(node, "AP")
