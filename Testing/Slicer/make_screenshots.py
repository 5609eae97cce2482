"""Photograph the module on the harness, with the phantom sample and the default model.

    python Testing/Slicer/make_screenshots.py [--out FOLDER] [--model FILE]

Writes ``panel.png`` (all sections) and ``compare.png`` (the panel beside synthetic CT, ground truth
and difference).
"""

import argparse
import os
import sys
import time
from pathlib import Path

import slicer_harness
from slicer_harness.screenshots import settle
from slicer_harness.slot_errors import SlotErrors

ROOT = Path(__file__).resolve().parents[2]
WINDOW_SIZE = (1440, 1080)
JOB_LIMIT_S = 600.0


def main() -> int:
    """Take the pictures; return 1 when a slot raised or a job failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "Resources" / "Screenshots")
    parser.add_argument("--model", default="", help="model name or file, instead of the default")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with SlotErrors() as errors:
        _photograph(options.out, options.model)
    return 1 if errors.found else 0


def _photograph(out: Path, model: str) -> None:
    slicer = slicer_harness.start(testing=True)
    window = slicer_harness.open_main_window(*WINDOW_SIZE)
    module = slicer_harness.load_module(ROOT / "TomoRay" / "TomoRay.py")
    slicer_harness.complete_startup()
    window.moduleSelector().selectModule("TomoRay")
    panel = module.widgetRepresentation().self()
    panel.ui.sampleCtButton.click()
    if model:
        panel._parameterNode.model = model
    panel.ui.generateButton.click()
    _finish(slicer, panel)
    panel.ui.applyButton.click()
    _finish(slicer, panel)
    panel.ui.showButton.click()
    _finish(slicer, panel)
    _save(window, out / "compare.png")
    _save(module.widgetRepresentation(), out / "panel.png")


def _finish(slicer, panel) -> None:
    deadline = time.monotonic() + JOB_LIMIT_S
    while panel.job.isRunning and time.monotonic() < deadline:
        slicer.app.processEvents()
        time.sleep(0.02)
    if panel.job.error is not None or panel.job.isRunning:
        raise SystemExit(f"{panel.job.plan.title}: {panel.job.error or 'not done in time'}")


def _save(widget, path: Path) -> None:
    settle()
    if not widget.grab().save(str(path)):
        raise SystemExit(f"{path} cannot be written")
    print(path)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Destroying Qt and VTK objects in arbitrary order at the interpreter's exit may crash.
    os._exit(code)
