"""The whole chain with the real worker: from nodes to a synthetic CT where the head is."""

import json
import time

import numpy as np
import pytest


@pytest.fixture
def add_ct(module):
    """Return a function that adds a CT node to the scene."""
    from TomoRayLib import MRMLBridge

    return lambda volume, name="head": MRMLBridge.nodeFromVolume(volume, name)


def finish(panel, slicer, seconds=240.0):
    """Let the event loop run until the panel's job has ended well."""
    deadline = time.monotonic() + seconds
    while panel.job.isRunning:
        assert time.monotonic() < deadline, list(panel.job.log)
        slicer.app.processEvents()
        time.sleep(0.01)
    assert panel.job.error is None, panel.job.error


def bead_on(slicer, drr):
    """Return (row, column) of the bead's shadow: the centre of the darkest air, brightest pixel."""
    pixels = slicer.util.arrayFromVolume(drr)[0]
    weights = np.where(pixels > 0.6 * pixels.max(), pixels, 0)
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    return np.array([(weights * rows).sum(), (weights * columns).sum()]) / weights.sum()


def expected_bead(drr, point_lps):
    """Return where geometry puts a point on a DRR node."""
    from TomoRayCore.geometry import AcquisitionGeometry

    acquisition = AcquisitionGeometry.from_json(drr.GetAttribute("TomoRay.Acquisition"))
    return acquisition.view(drr.GetAttribute("TomoRay.View")).project_points(point_lps)


def world_ras(slicer, node, row, column):
    """Return the world position of a pixel of a one-slice volume node."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return (slicer.util.arrayFromVTKMatrix(matrix) @ (column, row, 0, 1))[:3]


@pytest.mark.parametrize("orientation", ["upright", "tilted"])
def test_drr_of_a_ct_in_any_orientation_shows_the_bead_where_it_is(
    slicer, logic, add_ct, head_volume, tilted_head_volume, bead_lps, orientation
):
    volume = head_volume if orientation == "upright" else tilted_head_volume
    for drr in logic.generateDrrs(add_ct(volume)):
        np.testing.assert_allclose(bead_on(slicer, drr), expected_bead(drr, bead_lps), atol=0.8)


def test_drr_of_a_ct_under_a_transform_follows_it(slicer, logic, add_ct, head_volume, bead_lps):
    ct = add_ct(head_volume)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = (31.0, -12.0, 8.0)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    ct.SetAndObserveTransformNodeID(transform.GetID())
    moved_lps = bead_lps + np.array([-31.0, 12.0, 8.0])
    for drr in logic.generateDrrs(ct):
        np.testing.assert_allclose(bead_on(slicer, drr), expected_bead(drr, moved_lps), atol=0.8)
    assert ct.GetParentTransformNode() is transform


def test_bead_its_shadow_and_the_source_lie_on_one_line(
    slicer, logic, add_ct, head_volume, bead_lps
):
    from TomoRayCore.geometry import AcquisitionGeometry

    for drr in logic.generateDrrs(add_ct(head_volume)):
        shadow = world_ras(slicer, drr, *bead_on(slicer, drr)) * (-1, -1, 1)
        acquisition = AcquisitionGeometry.from_json(drr.GetAttribute("TomoRay.Acquisition"))
        source = np.array(acquisition.view(drr.GetAttribute("TomoRay.View")).source_lps)
        ray = (shadow - source) / np.linalg.norm(shadow - source)
        distance = np.linalg.norm(np.cross(bead_lps - source, ray))
        assert distance < 2.0


def test_reconstruction_through_the_panel_from_a_ct_alone(
    panel, slicer, add_ct, tilted_head_volume, tiny_bundle
):
    node = panel._parameterNode
    node.ctVolume = ct = add_ct(tilted_head_volume)
    node.model = str(tiny_bundle)
    panel.ui.applyButton.click()
    finish(panel, slicer)
    sct = node.syntheticCt
    assert node.groundTruth is ct
    assert "SYNTHETIC" in sct.GetName()
    assert "not for diagnosis" in sct.GetDescription()
    assert slicer.util.arrayFromVolume(sct).dtype == np.int16
    assert panel.ui.stageLabel.text.startswith("Done in")
    names = {item.GetName() for item in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")}
    assert names == {"head", "AP DRR head", "LAT DRR head", "head sCT (SYNTHETIC)"}
    drrs = [sct.GetNodeReference(f"TomoRay.{view}") for view in ("AP", "LAT")]
    again = panel.logic.reconstruct(*drrs, model=str(tiny_bundle))
    np.testing.assert_array_equal(
        slicer.util.arrayFromVolume(again), slicer.util.arrayFromVolume(sct)
    )


def test_synthetic_ct_lies_about_the_isocentre_beside_its_input_and_says_how_it_came_about(
    slicer, logic, add_ct, head_volume, tiny_bundle
):
    ct = add_ct(head_volume)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(ct), study)
    sct = logic.reconstruct(ct=ct, model=str(tiny_bundle), device="cpu")
    geometry = json.loads(sct.GetAttribute("TomoRay.Geometry"))
    bounds = [0.0] * 6
    sct.GetRASBounds(bounds)
    centre_lps = [
        -(bounds[0] + bounds[1]) / 2,
        -(bounds[2] + bounds[3]) / 2,
        (bounds[4] + bounds[5]) / 2,
    ]
    np.testing.assert_allclose(centre_lps, geometry["isocentre_lps"], atol=1e-3)
    attributes = {
        name: sct.GetAttribute("TomoRay." + name)
        for name in ("Model", "ModelSha256", "Seed", "Device", "Seconds", "Version", "Synthetic")
    }
    assert attributes["Model"] == "tiny"
    assert len(attributes["ModelSha256"]) == 64
    assert (attributes["Seed"], attributes["Device"], attributes["Synthetic"]) == (
        "0",
        "cpu",
        "true",
    )
    assert float(attributes["Seconds"]) > 0
    assert attributes["Version"]
    assert sct.GetNodeReference("TomoRay.CT") is ct
    assert sct.GetNodeReference("TomoRay.AP").GetAttribute("TomoRay.View") == "AP"
    for node in (sct, sct.GetNodeReference("TomoRay.AP"), sct.GetNodeReference("TomoRay.LAT")):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study


def test_films_of_unknown_geometry_reconstruct_once_their_spacing_is_given(
    slicer, logic, module, tiny_bundle
):
    from TomoRayCore.errors import InputError
    from TomoRayCore.radiograph import Radiograph
    from TomoRayLib import MRMLBridge

    rng = np.random.default_rng(8)
    films = [
        MRMLBridge.nodeFromRadiograph(Radiograph(rng.random((200, 160)), view, None), view)
        for view in ("AP", "LAT")
    ]
    with pytest.raises(InputError, match="SPACING_UNKNOWN"):
        logic.reconstruct(*films, model=str(tiny_bundle))
    for spacing in (1.0, 1.7):
        sct = logic.reconstruct(*films, model=str(tiny_bundle), spacingMm=spacing)
        assert "SYNTHETIC" in sct.GetName()


def test_cancel_of_the_real_worker_leaves_nothing(panel, slicer, add_ct, head_volume, tiny_bundle):
    node = panel._parameterNode
    node.ctVolume, node.model = add_ct(head_volume), str(tiny_bundle)
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    panel.ui.applyButton.click()
    deadline = time.monotonic() + 120
    while panel.job.fraction < 0.05 and time.monotonic() < deadline:
        slicer.app.processEvents()
        time.sleep(0.01)
    folder = panel.job.folder
    started = time.monotonic()
    panel.ui.applyButton.click()
    assert time.monotonic() - started < 2.0
    assert not folder.exists()
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert node.syntheticCt is None


def test_scene_keeps_everything(panel, slicer, add_ct, head_volume, tiny_bundle, tmp_path):
    node = panel._parameterNode
    node.ctVolume, node.model = add_ct(head_volume), str(tiny_bundle)
    node.sadMm, node.detectorPixels, node.window = 950.0, 96, "brain"
    panel.ui.generateButton.click()
    finish(panel, slicer)
    panel.ui.applyButton.click()
    finish(panel, slicer)
    panel.ui.showButton.click()
    finish(panel, slicer)
    panel.ui.showButton.click()
    metrics = panel.ui.metricsLabel.text
    voxels = slicer.util.arrayFromVolume(node.syntheticCt).copy()
    slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    assert panel._parameterNode.syntheticCt is None
    assert panel.ui.sadSpinBox.value == 1000.0
    slicer.util.loadScene(str(tmp_path / "scene.mrb"), {})
    node = panel._parameterNode
    assert (node.sadMm, node.detectorPixels, node.window) == (950.0, 96, "brain")
    assert (panel.ui.sadSpinBox.value, panel.ui.windowComboBox.currentText) == (950.0, "brain")
    assert panel.ui.modelComboBox.currentText == "tiny"
    assert "MAE" in metrics
    assert panel.ui.metricsLabel.text == metrics
    colors = node.differenceVolume.GetDisplayNode().GetColorNode()
    assert colors.GetName() == "TomoRay difference"
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node.syntheticCt), voxels)
    assert node.syntheticCt.GetAttribute("TomoRay.Model") == "tiny"
    assert panel.ui.apSelector.currentNode().GetName() == "AP DRR head"
    assert node.groundTruth.GetName() == "head"
    from TomoRayLib.ReconstructionPlan import ReconstructionPlan

    plan = ReconstructionPlan(node.apRadiograph, node.latRadiograph, model=node.model)
    assert plan.check() == []
