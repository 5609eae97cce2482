"""Small heads, small networks: training that takes a second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn

from TomoRayCore.io.volume_io import write_volume
from TomoRayCore.nets import GENERATORS
from TomoRayCore.phantom import make_phantom
from TomoRayCore.volume import Volume
from TomoRayTraining.cases import Case, write_cases
from TomoRayTraining.config import Config, ModelConfig
from TomoRayTraining.config_file import read_config

SPLITS = ("train", "train", "val", "test", "test")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Sums in one order, and no quarrel over cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def heads() -> list[Volume]:
    return [make_phantom(seed, size=64, spacing_mm=4.0).ct for seed in range(1, 6)]


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory, heads: list[Volume]) -> Path:
    """A case table with two training heads, one for validation, two for testing."""
    folder = tmp_path_factory.mktemp("cases")
    cases = []
    for number, (head, split) in enumerate(zip(heads, SPLITS, strict=True), start=1):
        write_volume(head, folder / f"head{number}.nrrd")
        cases.append(
            Case(f"head{number}", f"patient{number}", split, "phantom", Path(f"head{number}.nrrd"))
        )
    write_cases(folder / "cases.csv", cases)
    return folder / "cases.csv"


TINY = {
    "name": "tiny",
    "seed": 4,
    "model": {"arguments": {"width": 0.0625, "output_size": 64}},
    "data": {"workers": 0, "detector_size": 64},
    "optimisation": {
        "steps": 4,
        "warmup_steps": 1,
        "checkpoint_every": 2,
        "validate_every": 2,
    },
}


@pytest.fixture(scope="session")
def tiny_yaml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("experiment") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny(tiny_yaml: Path) -> Config:
    return read_config(tiny_yaml)


class Toy(nn.Module):
    """Two images repeated along their rays, two convolutions: a generator that costs nothing."""

    def __init__(self, output_size: int = 64) -> None:
        super().__init__()
        self.shrink = nn.AvgPool2d(128 // output_size)
        self.mix = nn.Conv3d(2, 3, 3, padding=1)
        self.drop = nn.Dropout(0.2)
        self.output = nn.Conv3d(3, 1, 1)
        self.unused = nn.Linear(2, 2)

    def forward(self, images: Tensor, view_matrices: Tensor | None = None) -> Tensor:
        frontal, lateral = self.shrink(images).unbind(dim=1)  # (B, S, S) each
        size = frontal.shape[-1]
        lifted = [
            frontal[:, :, None, :].expand(-1, -1, size, -1),
            lateral[:, :, :, None].expand(-1, -1, -1, size),
        ]
        return self.output(self.drop(self.mix(torch.stack(lifted, dim=1)).relu())).abs()


@pytest.fixture(scope="session")
def toy(tiny: Config) -> Iterator[Config]:
    """The tiny experiment with the toy generator instead of a real one."""
    GENERATORS["toy"] = Toy
    yield replace(tiny, name="toy", model=ModelConfig("toy", {"output_size": 64}))
    del GENERATORS["toy"]
