"""The compare views: linked rows, one window, a symmetric difference, the notice, and back."""

import time

import numpy as np
import pytest

ROWS = ("SyntheticCt", "GroundTruth", "Difference")
ORIENTATIONS = ("Axial", "Coronal", "Sagittal")
COLUMNS = pytest.mark.parametrize("orientation", ORIENTATIONS)


@pytest.fixture
def shown(panel, slicer, head_volume):
    """Show a synthetic CT (the head, shifted by 100 HU) over the head; return the panel."""
    from TomoRayCore.volume import SYNTHETIC_KEY, Volume
    from TomoRayLib import MRMLBridge

    node = panel._parameterNode
    node.groundTruth = MRMLBridge.nodeFromVolume(head_volume, "head")
    synthetic = Volume(
        np.minimum(head_volume.array_hu, 3000) + 100,
        head_volume.ijk_to_lps,
        {SYNTHETIC_KEY: "true"},
    )
    node.syntheticCt = MRMLBridge.nodeFromVolume(synthetic, "sct")
    before = slicer.app.layoutManager().layout
    panel.ui.showButton.click()
    yield panel
    if panel.job is not None:
        panel.job.cancel()
    panel.comparePanel.hide()
    assert slicer.app.layoutManager().layout == before


def finish(panel, slicer, seconds=180.0):
    """Let the event loop run until the panel's job has ended well."""
    deadline = time.monotonic() + seconds
    while panel.job.isRunning:
        assert time.monotonic() < deadline, list(panel.job.log)
        slicer.app.processEvents()
        time.sleep(0.01)
    assert panel.job.error is None, panel.job.error


def view(slicer, row, orientation):
    return slicer.app.layoutManager().sliceWidget(f"TomoRay{row}{orientation}")


def picture(slicer, row, orientation):
    """Return what a view shows, (rows, columns, 3)."""
    return view(slicer, row, orientation).offscreen_view().grab()


def test_rows_and_columns_are_in_their_places(shown, slicer):
    names = slicer.app.layoutManager().sliceViewNames()
    assert names == tuple(f"TomoRay{r}{o}" for r in ROWS for o in ORIENTATIONS)
    node = shown._parameterNode
    volumes = (node.syntheticCt, node.groundTruth, node.differenceVolume)
    for row, volume in zip(ROWS, volumes, strict=True):
        for orientation in ORIENTATIONS:
            widget = view(slicer, row, orientation)
            assert widget.mrmlSliceCompositeNode().GetBackgroundVolumeID() == volume.GetID()
            assert widget.mrmlSliceNode().GetOrientation() == orientation


@COLUMNS
def test_scrolling_one_row_scrolls_its_column_only(shown, slicer, orientation):
    others = [o for o in ORIENTATIONS if o != orientation]
    before = {o: view(slicer, "SyntheticCt", o).sliceLogic().GetSliceOffset() for o in others}
    logic = view(slicer, "GroundTruth", orientation).sliceLogic()
    wanted = logic.GetSliceOffset() + 11.0
    logic.StartSliceOffsetInteraction()
    logic.SetSliceOffset(wanted)
    logic.EndSliceOffsetInteraction()
    for row in ROWS:
        offset = view(slicer, row, orientation).sliceLogic().GetSliceOffset()
        assert offset == pytest.approx(wanted)
    for other, offset in before.items():
        assert view(slicer, "SyntheticCt", other).sliceLogic().GetSliceOffset() == offset


def test_mouse_wheel_in_one_row_scrolls_the_other(shown, slicer):
    widgets = [view(slicer, row, "Coronal") for row in ROWS]
    before = widgets[0].sliceLogic().GetSliceOffset()
    interactor = widgets[2].offscreen_view().interactor
    interactor.SetEventInformation(40, 40)
    interactor.InvokeEvent("MouseWheelForwardEvent")
    offsets = [widget.sliceLogic().GetSliceOffset() for widget in widgets]
    assert offsets[0] != before
    assert offsets == pytest.approx([offsets[0]] * 3)


def test_other_views_of_the_application_stay_where_they_are(shown, slicer):
    red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")
    before = slicer.util.arrayFromVTKMatrix(red.GetSliceToRAS())
    logic = view(slicer, "SyntheticCt", "Axial").sliceLogic()
    logic.StartSliceOffsetInteraction()
    logic.SetSliceOffset(logic.GetSliceOffset() + 20.0)
    logic.EndSliceOffsetInteraction()
    np.testing.assert_array_equal(slicer.util.arrayFromVTKMatrix(red.GetSliceToRAS()), before)


def test_rows_show_the_same_place_at_the_same_size(shown, slicer):
    for orientation in ORIENTATIONS:
        nodes = [view(slicer, row, orientation).mrmlSliceNode() for row in ROWS]
        scales = [n.GetFieldOfView()[0] / n.GetDimensions()[0] for n in nodes]
        assert scales == pytest.approx([scales[0]] * 3)
        places = [slicer.util.arrayFromVTKMatrix(n.GetSliceToRAS())[:3, 3] for n in nodes]
        np.testing.assert_allclose(places, [places[0]] * 3)


def test_both_rows_have_one_window(shown):
    from TomoRayCore.windows import WINDOWS

    node = shown._parameterNode
    displays = [node.syntheticCt.GetDisplayNode(), node.groundTruth.GetDisplayNode()]
    for name in ("brain", "bone", "full"):
        node.window = name
        for display in displays:
            assert display.GetWindow() == WINDOWS[name].width_hu
            assert display.GetLevel() == WINDOWS[name].level_hu
    displays[1].SetWindowLevel(321.0, 45.0)
    assert (displays[0].GetWindow(), displays[0].GetLevel()) == (321.0, 45.0)


def test_difference_is_signed_and_its_colours_are_symmetric(shown, slicer):
    node = shown._parameterNode.differenceVolume
    difference = slicer.util.arrayFromVolume(node)
    assert np.median(difference) == 100
    assert difference.min() < -10000  # the bead is missing in the synthetic CT
    display = node.GetDisplayNode()
    assert display.GetLevel() == 0.0
    table = display.GetColorNode().GetLookupTable()
    colors = np.array([table.GetTableValue(i)[:3] for i in range(256)])
    assert colors[0, 2] > colors[0, 0]  # too low: blue
    assert colors[255, 0] > colors[255, 2]  # too high: red
    assert colors[127:129].max() < 0.05


def test_difference_row_can_be_switched_off_and_on(shown, slicer):
    shown.ui.differenceCheckBox.checked = False
    assert len(slicer.app.layoutManager().sliceViewNames()) == 6
    shown.ui.differenceCheckBox.checked = True
    assert len(slicer.app.layoutManager().sliceViewNames()) == 9


def test_synthetic_views_say_so(shown):
    texts = {name: item.texts() for name, item in shown.comparePanel.layout.annotations.items()}
    for name, text in texts.items():
        expected = "" if "GroundTruth" in name else "SYNTHETIC - not for diagnosis"
        assert text["notice"] == expected
    axial = texts["TomoRaySyntheticCtAxial"]
    assert [axial[edge] for edge in ("left", "right", "top", "bottom")] == ["R", "L", "A", "P"]
    coronal = texts["TomoRayGroundTruthCoronal"]
    assert [coronal[edge] for edge in ("left", "right", "top", "bottom")] == ["R", "L", "S", "I"]
    sagittal = texts["TomoRayDifferenceSagittal"]
    assert [sagittal[edge] for edge in ("left", "right", "top", "bottom")] == ["A", "P", "S", "I"]


def test_bead_is_seen_on_the_side_the_letters_say(shown, slicer, bead_lps):
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    crosshair.SetCrosshairMode(crosshair.NoCrosshair)
    shown._parameterNode.groundTruth.GetDisplayNode().SetWindowLevel(1000.0, 20000.0)
    logic = view(slicer, "GroundTruth", "Axial").sliceLogic()
    logic.SetSliceOffset(float(bead_lps[2]))
    pixels = picture(slicer, "GroundTruth", "Axial").astype(float).mean(axis=2)
    height, width = pixels.shape
    # Away from the letters in the corners and at the edges.
    inner = pixels[height // 8 : -height // 8, width // 8 : -width // 8]
    rows, columns = np.nonzero(inner > 200)
    assert columns.mean() > inner.shape[1] / 2  # patient left is on the right
    assert rows.mean() < inner.shape[0] / 2  # anterior is on top


def test_crosshair_comes_and_goes(shown, slicer):
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    assert crosshair.GetCrosshairMode() == crosshair.ShowBasic
    shown.ui.showButton.click()
    if shown.comparePanel.layout.isShown:
        pytest.fail("the button must return to the previous layout")
    assert crosshair.GetCrosshairMode() == crosshair.NoCrosshair


def test_metrics_arrive_in_a_table_and_in_the_panel(shown, slicer):
    finish(shown, slicer)
    table = shown._parameterNode.metricsTable
    rows = {
        table.GetCellText(r, 0): table.GetCellText(r, 1) for r in range(table.GetNumberOfRows())
    }
    assert float(rows["MAE (HU)"]) >= 100
    assert "MAE (HU)" in shown.ui.metricsLabel.text
    assert table.GetAttribute("TomoRay.Window") == "full"
    jobs = shown.job
    shown.ui.showButton.click()
    shown.ui.showButton.click()
    assert shown.job is jobs  # what is known is not computed again


def test_metrics_are_not_shown_for_another_pair(shown, slicer):
    finish(shown, slicer)
    shown._parameterNode.groundTruth = None
    assert shown.ui.metricsLabel.text == ""


def test_without_ground_truth_the_synthetic_ct_is_shown_alone(shown, slicer):
    shown._parameterNode.groundTruth = None
    assert slicer.app.layoutManager().sliceViewNames() == tuple(
        f"TomoRaySyntheticCt{o}" for o in ORIENTATIONS
    )


def test_another_volume_does_not_take_over_the_rows(shown, slicer, head_volume, monkeypatch):
    from TomoRayLib import MRMLBridge, SampleData

    other = MRMLBridge.nodeFromVolume(head_volume, "other")
    monkeypatch.setattr(SampleData, "downloadPhantomCt", lambda: other)
    shown.ui.sampleCtButton.click()
    assert shown._parameterNode.ctVolume is other
    for row, name in zip(ROWS[:2], ("sct", "head"), strict=True):
        background = view(slicer, row, "Axial").sliceLogic().GetBackgroundLayer().GetVolumeNode()
        assert background.GetName() == name


def test_closing_the_scene_leaves_the_compare_layout(shown, slicer):
    slicer.mrmlScene.Clear(0)
    assert not shown.comparePanel.layout.isShown
    assert not shown.comparePanel.layout.annotations


def test_leaving_the_module_leaves_the_compare_layout(shown, module):
    module.widgetRepresentation().exit()
    assert not shown.comparePanel.layout.isShown
    module.widgetRepresentation().enter()


def test_removing_a_shown_volume_is_survived(shown, slicer):
    slicer.mrmlScene.RemoveNode(shown._parameterNode.syntheticCt)
    assert not shown.comparePanel.layout.isShown
