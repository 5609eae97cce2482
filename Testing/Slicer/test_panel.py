"""The panel: widgets and scene say the same, and what is wrong is said inline."""

import time

import numpy as np
import pytest


@pytest.fixture
def ct(panel, head_volume):
    """Return a CT node, chosen in the panel."""
    from TomoRayLib import MRMLBridge

    node = MRMLBridge.nodeFromVolume(head_volume, "head")
    panel._parameterNode.ctVolume = node
    return node


@pytest.fixture
def films(panel):
    """Return two radiograph nodes without spacing and geometry, chosen in the panel."""
    from TomoRayCore.radiograph import Radiograph
    from TomoRayLib import MRMLBridge

    nodes = {}
    for seed, view in enumerate(("AP", "LAT")):
        pixels = np.random.default_rng(seed).random((40, 30))
        nodes[view] = MRMLBridge.nodeFromRadiograph(Radiograph(pixels, view, None), f"film {view}")
    panel._parameterNode.apRadiograph = nodes["AP"]
    panel._parameterNode.latRadiograph = nodes["LAT"]
    return nodes


def finish(panel, slicer, seconds=180.0):
    """Let the event loop run until the panel's job has ended."""
    deadline = time.monotonic() + seconds
    while panel.job.isRunning:
        assert time.monotonic() < deadline, list(panel.job.log)
        slicer.app.processEvents()
        time.sleep(0.01)


def test_every_bound_widget_names_a_parameter(panel):
    names = [
        widget.property("SlicerParameterName")
        for widget in vars(panel.ui).values()
        if widget.property("SlicerParameterName")
    ]
    assert len(names) == len(set(names)) == 14
    assert set(names) <= set(panel._parameterNode.allParameters)


@pytest.mark.parametrize(
    ("widget", "parameter", "value"),
    [
        ("sadSpinBox", "sadMm", 850.5),
        ("sddSpinBox", "sddMm", 1234.0),
        ("pixelsSpinBox", "detectorPixels", 96),
        ("spacingSpinBox", "pixelSpacingMm", 0.143),
    ],
)
def test_numbers_bind_both_ways(panel, widget, parameter, value):
    control, node = getattr(panel.ui, widget), panel._parameterNode
    control.value = value
    assert getattr(node, parameter) == value
    default = node.default(parameter)
    setattr(node, parameter, default)
    assert control.value == default


@pytest.mark.parametrize(
    ("widget", "parameter", "value"),
    [
        ("presetComboBox", "preset", "parallel"),
        ("deviceComboBox", "device", "cpu"),
        ("windowComboBox", "window", "brain"),
    ],
)
def test_choices_bind_both_ways(panel, widget, parameter, value):
    control, node = getattr(panel.ui, widget), panel._parameterNode
    control.setCurrentIndex(control.findText(value))
    assert getattr(node, parameter) == value
    setattr(node, parameter, node.default(parameter))
    assert control.currentText == node.default(parameter)


def test_check_boxes_bind_both_ways(panel):
    node = panel._parameterNode
    for box, parameter in (
        ("invertCheckBox", "invertRadiograph"),
        ("differenceCheckBox", "showDifference"),
    ):
        control = getattr(panel.ui, box)
        control.checked = not control.checked
        assert getattr(node, parameter) == control.checked
        setattr(node, parameter, not control.checked)
        assert control.checked == getattr(node, parameter)


@pytest.mark.parametrize(
    ("selector", "parameter"),
    [
        ("ctSelector", "ctVolume"),
        ("apSelector", "apRadiograph"),
        ("latSelector", "latRadiograph"),
        ("syntheticSelector", "syntheticCt"),
        ("truthSelector", "groundTruth"),
    ],
)
def test_nodes_bind_both_ways(panel, ct, selector, parameter):
    control, node = getattr(panel.ui, selector), panel._parameterNode
    setattr(node, parameter, None)
    control.setCurrentNode(ct)
    assert getattr(node, parameter) is ct
    setattr(node, parameter, None)
    assert control.currentNode() is None


def test_model_binds_both_ways(panel):
    node, box = panel._parameterNode, panel.ui.modelComboBox
    node.model = "some/where/else.safetensors"
    assert (box.currentText, box.itemData(box.currentIndex)) == ("else", node.model)
    box.setCurrentIndex(0)
    assert node.model == ""


def test_preset_fills_in_its_distances(panel):
    panel._parameterNode.preset = "radiography"
    panel.ui.presetComboBox.activated.emit(1)
    assert (panel.ui.sadSpinBox.value, panel.ui.sddSpinBox.value) == (1000.0, 1150.0)


def test_apply_says_what_is_missing(panel, ct, films):
    node, button = panel._parameterNode, panel.ui.applyButton
    assert button.enabled
    assert "film AP" in button.toolTip
    node.apRadiograph = None
    assert not button.enabled
    assert "AP" in button.toolTip
    node.latRadiograph = None
    assert button.enabled
    assert "DRRs of head" in button.toolTip
    node.ctVolume = None
    assert not button.enabled
    assert "CT" in button.toolTip


def test_previews_show_the_chosen_radiographs(panel, films):
    assert panel.ui.apPreview.pixmap.width() > 50
    panel._parameterNode.apRadiograph = None
    assert panel.ui.apPreview.text == "AP"


def test_research_use_is_always_said(panel):
    assert "not for diagnosis" in panel.ui.researchLabel.text


def test_missing_spacing_is_said_inline_with_its_code(panel, slicer, films, tiny_bundle):
    panel._parameterNode.model = str(tiny_bundle)
    panel.ui.applyButton.click()
    finish(panel, slicer)
    assert "[SPACING_UNKNOWN]" in panel.ui.statusLabel.text
    assert panel.ui.applyButton.text == "Apply"


def test_same_node_for_both_views_is_said_inline(panel, slicer, films, tiny_bundle):
    panel._parameterNode.model = str(tiny_bundle)
    panel._parameterNode.latRadiograph = films["AP"]
    panel.ui.applyButton.click()
    finish(panel, slicer)
    assert "[IDENTICAL_VIEWS]" in panel.ui.statusLabel.text


def test_nan_is_said_inline(panel, slicer, ct, tiny_bundle):
    panel._parameterNode.model = str(tiny_bundle)
    array = slicer.util.arrayFromVolume(ct).astype(np.float32)
    array[0, 0, 0] = np.nan
    slicer.util.updateVolumeFromArray(ct, array)
    panel.ui.applyButton.click()
    finish(panel, slicer)
    assert "[NON_FINITE]" in panel.ui.statusLabel.text
    assert panel._parameterNode.syntheticCt is None


def test_missing_model_is_said_inline(panel, slicer, ct):
    panel._parameterNode.model = "no-such-model"
    panel.ui.applyButton.click()
    finish(panel, slicer)
    assert "[MODEL_NOT_FOUND]" in panel.ui.statusLabel.text


def test_impossible_distances_are_said_inline(panel, slicer, ct):
    panel._parameterNode.sadMm = 2000.0
    panel.ui.generateButton.click()
    finish(panel, slicer)
    assert "[BAD_GEOMETRY]" in panel.ui.statusLabel.text


def test_missing_package_is_said_inline(panel, ct, monkeypatch):
    from TomoRayLib import PythonDependencies

    monkeypatch.setattr(PythonDependencies, "missingPackages", lambda names: ["torch"])
    monkeypatch.setattr(PythonDependencies, "_installTorch", lambda: None)
    panel.ui.applyButton.click()
    assert "[INSTALL_FAILED]" in panel.ui.statusLabel.text
    assert panel.job is None


def test_script_is_told_to_install_instead_of_asked(logic, ct, monkeypatch):
    from TomoRayCore.errors import SetupError
    from TomoRayLib import PythonDependencies

    monkeypatch.setattr(PythonDependencies, "missingPackages", lambda names: ["torch"])
    with pytest.raises(SetupError, match="PACKAGE_MISSING"):
        logic.reconstruct(ct=ct)


def test_colour_photo_is_refused_inline(panel, tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(2).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cat.png")
    panel.loadRadiograph("AP", tmp_path / "cat.png")
    assert panel.status.kind == "error"
    assert panel._parameterNode.apRadiograph is None


def test_radiograph_file_is_loaded_without_the_applications_readers(panel, slicer, tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(2).integers(0, 255, (40, 50)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "film.png")
    panel.loadRadiograph("LAT", tmp_path / "film.png")
    node = panel._parameterNode.latRadiograph
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node)[0], pixels)
    assert node.GetAttribute("TomoRay.View") == "LAT"
    assert node.GetAttribute("TomoRay.PixelSpacingMm") == "unknown"
    panel._parameterNode.invertRadiograph = True
    panel._parameterNode.pixelSpacingMm = 0.2
    panel.loadRadiograph("AP", tmp_path / "film.png")
    inverted = slicer.util.arrayFromVolume(panel._parameterNode.apRadiograph)[0]
    np.testing.assert_array_equal(inverted, float(pixels.max()) + pixels.min() - pixels)
    assert panel._parameterNode.apRadiograph.GetAttribute("TomoRay.PixelSpacingMm") == "0.2 0.2"


def test_apply_becomes_cancel_and_back(panel, slicer, ct, fake_worker):
    panel.logic.workerCommand = fake_worker("hang")
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    panel.ui.generateButton.click()
    assert panel.ui.applyButton.text == "Cancel"
    assert not panel.ui.generateButton.enabled
    deadline = time.monotonic() + 60
    while panel.job.stage != "child" and time.monotonic() < deadline:
        slicer.app.processEvents()
        time.sleep(0.01)
    assert panel.ui.progressBar.value == 250
    assert "about 1 min 15 s left" in panel.ui.stageLabel.text
    panel.ui.applyButton.click()
    assert panel.ui.applyButton.text == "Apply"
    assert panel.ui.generateButton.enabled
    assert "cancelled" in panel.ui.statusLabel.text
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes


def test_job_goes_on_while_the_user_is_elsewhere(panel, slicer, ct, module):
    panel.ui.generateButton.click()
    module.widgetRepresentation().exit()
    finish(panel, slicer)
    module.widgetRepresentation().enter()
    assert panel.ui.apSelector.currentNode().GetName() == "AP DRR head"
    assert panel.ui.latSelector.currentNode().GetName() == "LAT DRR head"


def test_log_holds_what_the_worker_said(panel, slicer, ct):
    panel.ui.generateButton.click()
    finish(panel, slicer)
    assert "head written" in panel.ui.logText.toPlainText()


def test_sample_buttons_fill_the_selectors(panel):
    panel.ui.sampleCtButton.click()
    panel.ui.samplePairButton.click()
    node = panel._parameterNode
    assert node.ctVolume.GetName() == "Phantom head CT"
    assert (
        node.apRadiograph.GetAttribute("TomoRay.View"),
        node.latRadiograph.GetAttribute("TomoRay.View"),
    ) == ("AP", "LAT")
