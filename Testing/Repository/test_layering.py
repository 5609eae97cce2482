"""Who may import whom: TomoRayLib -> TomoRayCore <- TomoRayTraining, and torch only where it is used."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from Testing.Repository import tree

CORE = "TomoRay/TomoRayCore"
SLICER_SIDE = ["slicer", "qt", "ctk", "vtk", "TomoRayLib"]

IMPORT_WITH_BLOCKED = """
import importlib, json, sys

class Blocked:
    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ImportError(f"blocked: {name}")

blocked, modules = json.loads(sys.argv[1])
sys.meta_path.insert(0, Blocked(set(blocked)))
for module in modules:
    importlib.import_module(module)
print(json.dumps(sorted(sys.modules)))
"""


def imported_at_module_level(path: Path) -> set[str]:
    """Top-level package names imported when the file itself is imported."""
    found: set[str] = set()
    waiting: list[ast.stmt] = list(tree.parse(path).body)
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            found.add((statement.module or "").partition(".")[0])
        elif isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test):
            waiting += statement.orelse
        elif isinstance(statement, ast.If | ast.Try | ast.With | ast.ClassDef):
            for part in ("body", "orelse", "finalbody"):
                waiting += getattr(statement, part, [])
    return found


def module_name(path: Path) -> str:
    parts = path.relative_to(tree.ROOT / "TomoRay").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_torch_layer(path: Path) -> bool:
    inside = path.relative_to(tree.ROOT / CORE)
    single = {"backproject.py", "devices.py", "inference.py"}
    return (
        inside.as_posix() in single
        or inside.parts[0] == "nets"
        or (inside.parts[0] == "drr" and inside.name.startswith(("torch_", "triton_")))
    )


def modules(torch_layer: bool) -> list[str]:
    paths = [path for path in tree.under(CORE, suffix=".py") if is_torch_layer(path) == torch_layer]
    # The CUDA kernels load where Triton is installed; triton_rays asks before it imports them.
    return [module_name(path) for path in paths if path.name != "triton_kernels.py"]


def import_fresh(names: list[str], blocked: list[str]) -> list[str]:
    """Import in a new interpreter with some packages out of reach; return what it then holds."""
    places = [str(tree.ROOT / "TomoRay"), str(tree.ROOT)]
    code = f"import sys; sys.path[:0] = {places!r}\n" + IMPORT_WITH_BLOCKED
    command = [sys.executable, "-c", code, json.dumps([blocked, names])]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_the_numpy_layer_loads_without_torch_slicer_qt_and_skimage():
    names = modules(torch_layer=False)
    assert "TomoRayCore.volume" in names
    assert "TomoRayCore.inference" not in names
    import_fresh(names, blocked=["torch", "skimage", "matplotlib", *SLICER_SIDE])


def test_the_torch_layer_loads_without_slicer_qt_and_skimage():
    import_fresh(modules(torch_layer=True), blocked=["skimage", "matplotlib", *SLICER_SIDE])


def test_importing_the_engine_alone_imports_nothing_heavy():
    loaded = import_fresh(["TomoRayCore"], blocked=[])
    assert not {"numpy", "torch", "scipy", "SimpleITK", "pydicom", "PIL"} & set(loaded)


@pytest.mark.parametrize("path", tree.under(CORE, suffix=".py"), ids=tree.name)
def test_an_engine_module_imports_torch_only_in_the_torch_layer(path):
    imports = imported_at_module_level(path)
    assert "torch" not in imports or is_torch_layer(path)
    assert not imports & {"skimage", "TomoRayTraining", "PySide6", *SLICER_SIDE}


@pytest.mark.parametrize("path", tree.under("TomoRayTraining", suffix=".py"), ids=tree.name)
def test_training_imports_nothing_of_the_slicer_side(path):
    assert not imported_at_module_level(path) & {"PySide6", *SLICER_SIDE}


@pytest.mark.skipif(
    shutil.which("ruff", path=str(Path(sys.executable).parent)) is None, reason="no ruff"
)
@pytest.mark.parametrize(
    ("place", "line", "rule"),
    [
        ("TomoRay/TomoRayCore/volume.py", "import torch", "TID253"),
        ("TomoRay/TomoRayCore/metrics.py", "import skimage", "TID253"),
        ("TomoRay/TomoRayCore/inference.py", "import slicer", "TID251"),
        ("TomoRay/TomoRayLib/Logic.py", "import torch", "TID253"),
        ("TomoRayTraining/train.py", "import TomoRayLib", "TID251"),
    ],
)
def test_the_linter_catches_a_forbidden_import(place, line, rule):
    ruff = Path(sys.executable).parent / "ruff"
    command = [str(ruff), "check", "--no-cache", "--stdin-filename", place, "-"]
    ran = subprocess.run(
        command, input=line + "\n", cwd=tree.ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert rule in ran.stdout
