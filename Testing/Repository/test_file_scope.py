"""Slicer imports the module at every start: loading it runs nothing and needs nothing extra."""

import ast
import sys

import pytest

from Testing.Repository import tree

SLICER_SIDE = tree.under(
    "TomoRay/TomoRay.py", "TomoRay/TomoRayLib", "TomoRay/Scripts", suffix=".py"
)
BUNDLED = {"slicer", "qt", "ctk", "vtk", "SimpleITK", "numpy", "scipy"}
OURS = {"TomoRay", "TomoRayLib", "TomoRayCore"}
# They register a class or name an object and do no work; `_` is Slicer's translation mark.
HARMLESS = {"frozenset", "getLogger", "logging.getLogger", "namedtuple", "TypeVar", "_"}
HARMLESS |= {"Path", "Path(__file__).resolve", "hasattr"}


def work_at_file_scope(module: ast.Module) -> list[str]:
    """Calls and control flow that run when the file is imported, as `line: code`."""
    found = []
    for statement in module.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
            continue
        if isinstance(statement, ast.If) and _is_main_guard(statement):
            continue
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            continue
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
        if isinstance(statement, ast.Assign | ast.AnnAssign) and all(
            ast.unparse(call.func) in HARMLESS for call in calls
        ):
            continue
        found.append(f"{statement.lineno}: {ast.unparse(statement)[:80]}")
    return found


def _is_main_guard(statement: ast.If) -> bool:
    return ast.unparse(statement.test) == "__name__ == '__main__'"


def third_party_imports(module: ast.Module) -> set[str]:
    names: set[str] = set()
    for statement in module.body:
        if isinstance(statement, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            names.add((statement.module or "").partition(".")[0])
    return names - BUNDLED - OURS - set(sys.stdlib_module_names)


def test_there_is_a_slicer_side_to_check():
    assert tree.ROOT / "TomoRay" / "TomoRay.py" in SLICER_SIDE


@pytest.mark.parametrize("path", SLICER_SIDE, ids=tree.name)
def test_loading_the_module_does_no_work(path):
    assert not work_at_file_scope(tree.parse(path))


@pytest.mark.parametrize("path", SLICER_SIDE, ids=tree.name)
def test_loading_the_module_imports_only_what_slicer_bundles(path):
    assert not third_party_imports(tree.parse(path))


@pytest.mark.parametrize(
    "code",
    ["slicer.util.pip_install('x')", "for i in range(3):\n    pass", "TABLE = make_table()"],
)
def test_work_at_file_scope_is_noticed(code):
    assert work_at_file_scope(ast.parse(code))
