"""One harness per test process; each test starts from an empty scene and fails on slot errors."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "TomoRay" / "TomoRay.py"
HERE = Path(__file__).resolve().parent


ISOCENTRE_LPS = np.array([14.0, -9.0, 33.0])
BEAD_LPS = ISOCENTRE_LPS + np.array([22.0, -35.0, 27.0])
BEAD_RADIUS_MM = 7.0
BEAD_HU = 30000


def rotation(degrees_xyz):
    """Return the rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, degrees in enumerate(degrees_xyz):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        turn[i, i] = turn[j, j] = c
        turn[i, j], turn[j, i] = -s, s
        matrix = turn @ matrix
    return matrix


def head_with_bead(direction, spacing=(3.0, 3.5, 4.0)):
    """Return a bony shell around soft tissue with one metal bead, on a grid in any direction."""
    from TomoRayCore.coordinates import compose_affine
    from TomoRayCore.volume import Volume

    size_ijk = np.ceil(220.0 / np.array(spacing)).astype(int)
    middle = (size_ijk - 1) / 2 * spacing
    affine = compose_affine(direction, spacing, ISOCENTRE_LPS - direction @ middle)
    indices = np.stack(np.meshgrid(*[np.arange(n) for n in size_ijk], indexing="ij"), axis=-1)
    world = indices @ affine[:3, :3].T + affine[:3, 3]
    radius = np.linalg.norm((world - ISOCENTRE_LPS) / (72.0, 88.0, 80.0), axis=-1)
    array = np.full(radius.shape, -1000, np.int16)
    array[radius < 1.0] = 40
    array[(radius < 0.95) & (radius > 0.85)] = 900
    array[np.linalg.norm(world - BEAD_LPS, axis=-1) < BEAD_RADIUS_MM] = BEAD_HU
    return Volume(array.transpose(2, 1, 0), affine)


@pytest.fixture
def head_volume():
    """Return a small head-like CT on an upright grid."""
    return head_with_bead(np.eye(3))


@pytest.fixture
def tilted_head_volume():
    """Return the same head on a grid that is tilted about all three axes."""
    return head_with_bead(rotation((17.0, -11.0, 29.0)))


@pytest.fixture
def bead_lps():
    """Return where the head's metal bead is in the world."""
    return BEAD_LPS


@pytest.fixture
def fake_worker():
    """Return a function from a mode to the command of the fake worker."""
    return lambda mode: [sys.executable, str(HERE / "fake_worker.py"), mode]


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
    pytest.importorskip("torch")
    from tiny_model import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny.safetensors")


@pytest.hookimpl(trylast=True)
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
