"""Everything that takes part in the timed rounds, ours and the peers', by name."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from Testing.benchmarks.measure import Contender, child_cpu_ms, used_ms
from Testing.benchmarks.peers import Diffdrr, Nanodrr, Plastimatch
from Testing.benchmarks.scene import Scene, facing, single, turned
from TomoRayCore.drr import PLASTIMATCH, WATER_60KEV, MuRule, kernel, project, project_mu
from TomoRayCore.drr.torch_projector import Projector
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.io.drr_out import write_drr
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.presets import from_preset
from TomoRayCore.volume import Grid, Volume

Run = Callable[[], float | None]

NEW_PROCESS = """
import sys
from TomoRayCore.drr import PLASTIMATCH, project
from TomoRayCore.io.drr_out import write_drr
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.presets import from_preset

ct, size = sys.argv[1], int(sys.argv[2])
geometry = from_preset(sad_mm=1000.0, sdd_mm=1500.0, detector_mm=400.0, size=size)
images = project(read_volume(ct), geometry, rule=PLASTIMATCH)
for view, image in zip(geometry.views, images, strict=True):
    write_drr(view.label + ".nrrd", image, geometry, view.label)
"""


def contenders(scene: Scene, size: int) -> dict[str, Callable[[], Contender]]:
    """Return name -> maker, so that only what a run asks for is set up.

    Those that are compared with a single image report one view's share, the mean over two views.
    """
    flat, oblique = facing(size), turned(size)
    pictures = 12 if size < 256 else 3
    slow = 1 if size < 256 else 2
    return {
        "kernel": lambda: Contender(_views(scene.volume, flat)),
        "numpy": lambda: Contender(_no_kernel(_views(scene.volume, flat))),
        "kernel, noisy air": lambda: Contender(_views(_noisy(scene), flat, WATER_60KEV)),
        "kernel, mu": lambda: Contender(_views_of_mu(scene, flat)),
        "torch": lambda: _torch_forward(scene, flat),
        "kernel, any pose": lambda: Contender(_views(scene.volume, oblique)),
        "numpy, any pose": lambda: Contender(_no_kernel(_views(scene.volume, oblique))),
        "torch, any pose": lambda: _torch_forward(scene, oblique),
        "gradient": lambda: _torch_gradient(scene, flat),
        "pair, memory": lambda: Contender(lambda: _nothing(_project(scene, flat))),
        "pair, numpy": lambda: Contender(_no_kernel(lambda: _nothing(_project(scene, flat)))),
        "pair, running Python": lambda: Contender(lambda: _from_file(scene.file, flat)),
        "pair, new Python": lambda: Contender(lambda: _new_python(scene.file, size)),
        "pair, tomoray drr": lambda: Contender(lambda: _command_line(scene.file, size)),
        "4 views, one call": lambda: Contender(lambda: _nothing(_project(scene, _four(size)))),
        "4 views, four calls": lambda: Contender(lambda: _four_calls(scene, _four(size))),
        "torch, 4 volumes, one call": lambda: _torch_batch(scene, flat, together=True),
        "torch, 4 volumes, four calls": lambda: _torch_batch(scene, flat, together=False),
        "plastimatch": lambda: _plastimatch_render(scene, flat, 90.0, pictures),
        "plastimatch, any pose": lambda: _plastimatch_render(scene, flat, 37.0, pictures),
        "plastimatch, pair, two calls": lambda: Contender(
            lambda: Plastimatch(scene.file).pair_ms(flat)
        ),
        "plastimatch, pair, one call": lambda: Contender(
            lambda: Plastimatch(scene.file).rotation_ms(flat)
        ),
        "nanodrr": lambda: _marchers(Nanodrr(scene.mu_per_mm, scene.grid), flat, slow),
        "nanodrr, gradient": lambda: _nanodrr_gradient(scene, flat, 2 * slow),
        "DiffDRR": lambda: _marchers(Diffdrr(scene.mu_per_mm, scene.grid), flat, 2 * slow),
    }


def _views(volume: Volume, geometry: AcquisitionGeometry, rule: MuRule = PLASTIMATCH) -> Run:
    """One view's share of projecting each on its own, from HU in memory."""
    singles = [single(geometry, view) for view in geometry.views]

    def run() -> None:
        for one in singles:
            project(volume, one, rule=rule)

    return _shared(run, len(singles))


def _views_of_mu(scene: Scene, geometry: AcquisitionGeometry) -> Run:
    """The same from mu in memory."""

    def run() -> None:
        for view in geometry.views:
            project_mu(scene.mu_per_mm, scene.grid, view)

    return _shared(run, len(geometry.views))


def _noisy(scene: Scene) -> Volume:
    """The head with noise of 20 HU everywhere, so that no air is exactly without attenuation."""
    noise = np.random.default_rng(1).normal(0, 20, scene.volume.shape).astype(np.float32)
    array_hu = np.rint(scene.volume.array_hu + noise).astype(np.int16)
    return Volume(array_hu, scene.volume.ijk_to_lps)


def _project(scene: Scene, geometry: AcquisitionGeometry) -> list[np.ndarray]:
    return project(scene.volume, geometry, rule=PLASTIMATCH)


def _from_file(ct: Path, geometry: AcquisitionGeometry) -> None:
    """From the CT's file to one file a view, as in a Python that runs already."""
    with tempfile.TemporaryDirectory() as folder:
        images = project(read_volume(ct), geometry, rule=PLASTIMATCH)
        for view, image in zip(geometry.views, images, strict=True):
            write_drr(Path(folder) / f"{view.label}.nrrd", image, geometry, view.label)


def _new_python(ct: Path, size: int) -> float:
    """The same in a Python that starts for it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", NEW_PROCESS, str(ct), str(size)]
        return child_cpu_ms(command, Path(folder))


def _command_line(ct: Path, size: int) -> float:
    """The command line, which also checks the CT and writes pictures; told where the head is."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "TomoRayCore", "drr", str(ct), "--out", "drr"]
        command += ["--size", str(size), "--isocentre=0,0,0"]
        return child_cpu_ms(command, Path(folder))


def _four(size: int) -> AcquisitionGeometry:
    return from_preset(size=size, views=("AP", "LAT", "30", "-40"))


def _four_calls(scene: Scene, geometry: AcquisitionGeometry) -> None:
    for view in geometry.views:
        _project(scene, single(geometry, view))


def _torch_forward(scene: Scene, geometry: AcquisitionGeometry) -> Contender:
    projector = Projector(scene.grid, geometry)
    volume = torch.from_numpy(scene.mu_per_mm)[None, None]
    return Contender(_shared(lambda: projector.forward(volume), len(geometry.views)))


def _torch_gradient(scene: Scene, geometry: AcquisitionGeometry) -> Contender:
    """Projection and gradient with respect to the volume, of the frontal view."""
    projector = Projector(scene.grid, single(geometry, geometry.views[0]))

    def run() -> None:
        volume = torch.from_numpy(scene.mu_per_mm)[None, None].requires_grad_(True)
        projector(volume).sum().backward()

    return Contender(run)


def _torch_batch(scene: Scene, geometry: AcquisitionGeometry, together: bool) -> Contender:
    """Four volumes of 128^3 on the pair, as training does."""
    small = scene.mu_per_mm[::2, ::2, ::2]
    volumes = torch.from_numpy(np.stack([small] * 4))[:, None]
    to_lps = scene.grid.ijk_to_lps @ np.diag([2.0, 2.0, 2.0, 1.0])
    projector = Projector(Grid(small.shape, to_lps), geometry)

    def run() -> None:
        for part in [volumes] if together else volumes.split(1):
            projector.forward(part)

    return Contender(run)


def _plastimatch_render(
    scene: Scene, geometry: AcquisitionGeometry, step_deg: float, pictures: int
) -> Contender:
    return Contender(lambda: Plastimatch(scene.file).render_ms(geometry, step_deg, pictures))


def _marchers(peer: Nanodrr | Diffdrr, geometry: AcquisitionGeometry, every: int) -> Contender:
    renderers = [peer.renderer(view) for view in geometry.views]

    def run() -> None:
        with torch.no_grad():
            for render in renderers:
                render()

    return Contender(_shared(run, len(renderers)), every)


def _nanodrr_gradient(scene: Scene, geometry: AcquisitionGeometry, every: int) -> Contender:
    gradient = Nanodrr(scene.mu_per_mm, scene.grid).gradient(geometry.views[0])
    return Contender(lambda: _nothing(gradient()), every)


def _shared(run: Callable[[], object], views: int) -> Run:
    """Return a run that reports one view's share of the CPU ms."""
    return lambda: used_ms(run) / views


def _no_kernel(run: Run) -> Run:
    """Return the run with the compiled kernel switched off."""

    def switched() -> float | None:
        os.environ[kernel.OFF] = "1"
        try:
            return run()
        finally:
            del os.environ[kernel.OFF]

    return switched


def _nothing(_: object) -> None:
    """Tell the clock that the work did not time itself."""
