"""The main steps of a reconstruction, timed on their own; they have no peer here."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from Testing.benchmarks.measure import cpu_ms
from TomoRayCore.bundle import read_bundle
from TomoRayCore.drr import project
from TomoRayCore.inference import load_network, reconstruct
from TomoRayCore.io.volume_io import read_volume, write_volume
from TomoRayCore.metrics import compare
from TomoRayCore.nets import build
from TomoRayCore.phantom import make_phantom
from TomoRayCore.presets import from_preset
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.resample import resample

REPEAT = 3


def timed() -> Iterator[tuple[str, float]]:
    """Yield each step's name and CPU ms: the best of several, after one that does not count."""
    with tempfile.TemporaryDirectory() as folder:
        for name, step in _steps(Path(folder)):
            step()
            yield name, min(cpu_ms(lambda run=step: _done(run())) for _ in range(REPEAT))


def _steps(folder: Path) -> list[tuple[str, Callable[[], object]]]:
    head = make_phantom(seed=1).ct
    geometry = from_preset()
    drrs = project(head, geometry)
    radiographs = [
        Radiograph(image, view.label, view.pixel_spacing_mm, "line_integral", {}, geometry)
        for image, view in zip(drrs, geometry.views, strict=True)
    ]
    bundle = read_bundle(None)
    sct = reconstruct(radiographs, geometry, bundle, "cpu").sct
    truth = resample(head, sct.grid)
    images = torch.rand(1, 2, 128, 128)
    net, published = load_network(bundle), build("x2ct-biplanar").eval()
    write_volume(head, folder / "head.nrrd")
    return [
        ("phantom, 128³ at 2 mm", lambda: make_phantom(seed=2)),
        ("read a 128³ NRRD", lambda: read_volume(folder / "head.nrrd")),
        ("two DRRs 128² of 128³", lambda: project(head, geometry)),
        (f"network of {bundle.name}", torch.inference_mode()(lambda: net(images))),
        ("X2CT generator as published, 128³", torch.inference_mode()(lambda: published(images))),
        (
            "reconstruct, from images to sCT",
            lambda: reconstruct(radiographs, geometry, bundle, "cpu"),
        ),
        ("metrics of 128³ against 128³", lambda: compare(sct, truth)),
    ]


def _done(_: object) -> None:
    """Tell the clock that the step did not time itself."""
