"""Small fixtures that several tests of the engine share."""

from __future__ import annotations

from pathlib import Path

import drr_engines
import numpy as np
import pytest
from orientations import DIRECTIONS

from TomoRayCore.coordinates import compose_affine
from TomoRayCore.volume import Volume

SPACING_IJK_MM = (0.6, 0.9, 1.5)


def asymmetric_hu(shape: tuple[int, int, int] = (7, 9, 11)) -> np.ndarray:
    """Return int16 HU without any symmetry, from the whole range of CT numbers."""
    values = np.random.default_rng(3).integers(-1024, 3072, shape).astype(np.int16)
    values[0, 0, 0], values[-1, -1, -1] = -32768, 32767
    return values


@pytest.fixture(params=DIRECTIONS, ids=str)
def placed_volume(request: pytest.FixtureRequest) -> Volume:
    """A small anisotropic volume in each of the orientations that matter."""
    affine = compose_affine(DIRECTIONS[request.param], SPACING_IJK_MM, (-71.25, 33.5, 812.0625))
    return Volume(asymmetric_hu(), affine)


@pytest.fixture
def oblique_volume() -> Volume:
    """One oblique, anisotropic, odd-sized volume."""
    affine = compose_affine(DIRECTIONS["oblique"], SPACING_IJK_MM, (-71.25, 33.5, 812.0625))
    return Volume(asymmetric_hu(), affine)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file with a very slim, untrained network."""
    from tiny_model import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny.safetensors")


@pytest.fixture(scope="session")
def tiny_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A coarse head phantom as a NRRD file."""
    from TomoRayCore.io.volume_io import write_volume
    from TomoRayCore.phantom import make_phantom

    path = tmp_path_factory.mktemp("phantom") / "head.nrrd"
    write_volume(make_phantom(seed=3, size=64, spacing_mm=4.0).ct, path)
    return path


@pytest.fixture(scope="session")
def kernel_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the DRR kernel is compiled to, once for all tests."""
    return tmp_path_factory.mktemp("kernel")


@pytest.fixture(params=drr_engines.ENGINES)
def engine(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kernel_folder: Path
) -> str:
    """The implementation behind the numpy projector that is forced in this test."""
    drr_engines.force(request.param, monkeypatch, kernel_folder)
    return str(request.param)
