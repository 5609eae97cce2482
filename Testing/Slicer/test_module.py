"""What Slicer asks of every module: metadata, panel without window, reload, samples, headless."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

HEADLESS_SCRIPT = """
import sys
import numpy as np
import slicer

widget = slicer.modules.tomoray.widgetRepresentation()
widget.enter()
heavy = sorted({"torch", "skimage"} & set(sys.modules))
assert not heavy, f"the panel imported {heavy}"
assert slicer.app.layoutManager() is None

from TomoRay import TomoRayLogic
from TomoRayCore.io.volume_io import read_volume
from TomoRayLib import MRMLBridge

ct = MRMLBridge.nodeFromVolume(read_volume(sys.argv[1]), "head")
logic = TomoRayLogic()
ap, lat = logic.generateDrrs(ct)
sct = logic.reconstruct(ap, lat, model=sys.argv[2], device="cpu")
np.save(sys.argv[3], slicer.util.arrayFromVolume(sct))
assert "torch" not in sys.modules, "torch belongs to the worker"
parameters = widget.self()._parameterNode
parameters.syntheticCt, parameters.groundTruth = sct, ct
widget.self().ui.showButton.click()
slicer.util.exit(5)
"""


@pytest.fixture
def reloadable():
    """Put the module's packages back as they were, for the tests that come after."""
    packages = ("TomoRay", "TomoRayLib", "TomoRayCore")
    before = {n: m for n, m in sys.modules.items() if n.partition(".")[0] in packages}
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] in packages]:
        del sys.modules[name]
    sys.modules.update(before)


def test_module_describes_itself(module):
    assert module.title == "TomoRay"
    assert module.categories == ["Tomographic Reconstruction"]
    assert module.contributors == ["TomoRay developers"]
    assert "not for diagnosis" in module.helpText
    assert module.acknowledgementText
    assert not module.icon.isNull()


def test_panel_survives_another_scene_and_back(slicer, module):
    widget = module.widgetRepresentation()
    other = slicer.vtkMRMLScene()
    widget.setMRMLScene(other)
    widget.setMRMLScene(slicer.mrmlScene)
    widget.self().cleanup()


def test_panel_can_be_built_twice(module):
    for _attempt in range(2):
        module.createNewWidgetRepresentation().self().cleanup()


def test_module_file_only_defines(slicer, module):
    import ast

    for path in [ROOT / "TomoRay/TomoRay.py", *(ROOT / "TomoRay/TomoRayLib").glob("*.py")]:
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
            loop = isinstance(statement, ast.For | ast.While | ast.With | ast.Try | ast.If)
            assert not call, f"{path.name}:{statement.lineno} calls something at file scope"
            assert not loop, f"{path.name}:{statement.lineno} does something at file scope"


def test_self_test_passes(slicer, module):
    slicer.selfTests["TomoRay"]()


def test_samples_are_registered_at_startup_and_need_no_network(slicer, module):
    import SampleData

    import slicer_harness

    slicer_harness.complete_startup()
    samples = SampleData.SampleDataLogic()
    (ct,) = samples.clickButton("TomoRayPhantomCT")
    assert slicer.util.arrayFromVolume(ct).shape == (128, 128, 128)
    ap, lat = samples.clickButton("TomoRayPhantomRadiographs")
    assert (ap.GetAttribute("TomoRay.View"), lat.GetAttribute("TomoRay.View")) == ("AP", "LAT")
    for name in ("TomoRayPhantomCT", "TomoRayPhantomRadiographs"):
        thumbnail = samples.sourceForSampleName(name).thumbnailFileName
        assert Path(thumbnail).is_file()


def test_reload_reads_everything_again(panel, slicer, reloadable):
    import TomoRayLib.CompareLayout

    before = TomoRayLib.CompareLayout.CompareLayout
    panel._parameterNode.sadMm = 912.0
    panel.onReload()
    reloaded = slicer.modules.TomoRayWidget
    assert reloaded is not panel
    assert type(reloaded.comparePanel.layout) is not before
    assert reloaded.ui.sadSpinBox.value == 912.0
    reloaded.ui.sadSpinBox.value = 913.0
    assert reloaded.logic.getParameterNode().sadMm == 913.0
    reloaded.cleanup()


def test_reload_ends_a_running_job(panel, slicer, head_volume, fake_worker, reloadable):
    from TomoRayLib import MRMLBridge

    panel.logic.workerCommand = fake_worker("hang")
    panel._parameterNode.ctVolume = MRMLBridge.nodeFromVolume(head_volume, "head")
    panel.ui.generateButton.click()
    job = panel.job
    panel.onReload()
    assert not job.isRunning
    assert job.workerPid is None
    slicer.modules.TomoRayWidget.cleanup()


def run_headless(script, *arguments):
    """Run a script as ``Slicer --no-main-window --python-script`` does, and return the process."""
    paths = [str(ROOT / "TomoRay"), str(ROOT / "Testing/SlicerHarness")]
    command = [sys.executable, "-m", "slicer_harness", "run", str(ROOT / "TomoRay/TomoRay.py")]
    options = ["--no-main-window", "--testing", "--python-script"]
    return subprocess.run(
        [*command, *options, str(script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_same_voxels_without_a_main_window(tmp_path, head_volume, logic, tiny_bundle, slicer):
    """The console's call runs headless, and gives what the windowed application gives."""
    from TomoRayCore.io.volume_io import write_volume
    from TomoRayLib import MRMLBridge

    write_volume(head_volume, tmp_path / "head.nrrd")
    script = tmp_path / "script.py"
    script.write_text(HEADLESS_SCRIPT, encoding="utf-8")
    finished = run_headless(script, tmp_path / "head.nrrd", tiny_bundle, tmp_path / "sct.npy")
    assert finished.returncode == 5, finished.stderr
    ct = MRMLBridge.nodeFromVolume(head_volume, "head")
    sct = logic.reconstruct(ct=ct, model=str(tiny_bundle), device="cpu")
    np.testing.assert_array_equal(np.load(tmp_path / "sct.npy"), slicer.util.arrayFromVolume(sct))


def test_same_voxels_as_the_command_line(tmp_path, head_volume, logic, tiny_bundle, slicer):
    from TomoRayCore.__main__ import main
    from TomoRayCore.io.volume_io import read_volume, write_volume
    from TomoRayLib import MRMLBridge

    write_volume(head_volume, tmp_path / "head.nrrd")
    drrs, out = tmp_path / "drrs", tmp_path / "sct.nrrd"
    assert main(["drr", str(tmp_path / "head.nrrd"), "--out", str(drrs), "--quiet"]) == 0
    views = ["--ap", str(drrs / "ap.nrrd"), "--lat", str(drrs / "lat.nrrd")]
    model = ["--model", str(tiny_bundle), "--device", "cpu"]
    assert main(["reconstruct", *views, *model, "--out", str(out), "--quiet"]) == 0
    ct = MRMLBridge.nodeFromVolume(head_volume, "head")
    sct = logic.reconstruct(ct=ct, model=str(tiny_bundle), device="cpu")
    expected = read_volume(out)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(sct), expected.array_hu)
    assert MRMLBridge.volumeFromNode(sct).grid.same_as(expected.grid)


def test_batch_script_runs_without_a_main_window_and_says_what_failed(
    tmp_path, head_volume, tiny_bundle
):
    from TomoRayCore.io.volume_io import write_volume

    write_volume(head_volume, tmp_path / "head.nrrd")
    (tmp_path / "cases.csv").write_text("case,ct\ngood,head.nrrd\nbad,missing.nrrd\n")
    script = ROOT / "TomoRay/Scripts/tomoray_batch.py"
    out = tmp_path / "out"
    finished = run_headless(script, tmp_path / "cases.csv", out, "--model", tiny_bundle)
    assert finished.returncode == 2, finished.stderr
    assert (out / "good" / "sct.nrrd").is_file()
    assert not (out / "bad").exists()
    assert "FILE_NOT_FOUND" in (out / "report.csv").read_text()
