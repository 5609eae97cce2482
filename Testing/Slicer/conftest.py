"""One harness per test process; each test starts from an empty scene and fails on slot errors."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "TomoRay" / "TomoRay.py"
HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items):
    """Mark everything here, so that ``-m slicer`` and ``-m "not slicer"`` work."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slicer)


@pytest.fixture(scope="session")
def harness():
    """Return the running ``slicer`` package with a main window."""
    slicer_harness = pytest.importorskip("slicer_harness")
    slicer = slicer_harness.start(testing=True)
    slicer.harness_test_window = slicer_harness.open_main_window(1300, 900)
    return slicer


@pytest.fixture
def slicer(harness):
    """Give an empty scene; an exception in a slot or an observer fails the test."""
    from slicer_harness.slot_errors import SlotErrors

    harness.mrmlScene.Clear(0)
    with SlotErrors() as errors:
        yield harness
        harness.app.processEvents()
    assert not errors.found, f"exceptions in slots: {errors.found}"


@pytest.fixture
def module(slicer):
    """Load TomoRay.py as Slicer's module factory does."""
    import slicer_harness

    return slicer_harness.load_module(MODULE)


@pytest.fixture
def logic(module):
    """Return a fresh logic of the module."""
    return sys.modules["TomoRay"].TomoRayLogic()


@pytest.fixture
def panel(slicer, module):
    """Return the module's Python widget, entered."""
    widget = module.widgetRepresentation()
    widget.enter()
    yield widget.self()
    widget.exit()
    widget.self().cleanup()


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory):
    """Return a model file with a slim, untrained network: everything runs, the result is noise."""
    torch = pytest.importorskip("torch")
    from TomoRayCore.bundle import write_bundle
    from TomoRayCore.geometry import from_preset
    from TomoRayCore.nets import build
    from TomoRayCore.network_io import InputSpec, OutputSpec

    torch.manual_seed(7)
    arguments = {"width": 0.0625, "output_size": 64}
    net = build("x2ct-biplanar", arguments)
    description = {
        "name": "tiny",
        "summary": "Untrained, for tests",
        "architecture": {"name": "x2ct-biplanar", "arguments": arguments},
        "input": InputSpec().to_dict(),
        "output": OutputSpec(64, 4.0, 64, 4.0).to_dict(),
        "geometry": from_preset().to_dict(),
        "tolerance": {"sad_mm": [700, 2000], "angle_deg": 10, "views": ["AP", "PA", "LAT"]},
        "training": {"data": "none"},
        "intended_use": "tests",
        "known_failures": ["everything"],
        "metrics": {"held_out": {"mae_hu": 1.5}},
        "seed": 7,
    }
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    write_bundle(path, description, {name: t.numpy() for name, t in net.state_dict().items()})
    return path


def pytest_unconfigure(config):
    """Let the application quit as it would, before the process ends."""
    slicer = sys.modules.get("slicer")
    if hasattr(slicer, "app"):
        slicer.app.aboutToQuit.emit()
        slicer.app.remove_temporary_files()
        _leave_without_teardown(config)


def _leave_without_teardown(config):
    """Destroying Qt and VTK objects in arbitrary order at the interpreter's exit may crash."""
    status = getattr(config, "tomoray_exit_status", None)
    if status is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(status))


def pytest_sessionfinish(session, exitstatus):
    """Remember the exit status for the end of the process."""
    session.config.tomoray_exit_status = exitstatus
