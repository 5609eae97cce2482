"""What shipped code never does: run what it reads, go through a shell, hide errors."""

import ast
from pathlib import Path

import pytest

from Testing.Repository import tree

SHIPPED = tree.under("TomoRay", "TomoRayTraining", suffix=".py")
SERIALIZERS = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.startfile",
    "torch.load", "torch.save", "torch.hub.load", "yaml.load", "yaml.unsafe_load",
    "yaml.full_load", "sys.path.append", "sys.path.insert", "sys.path.extend",
}  # fmt: skip
# Programs for the command line talk through stdout; nothing else does.
MAY_PRINT = {"__main__.py", "build.py", "worker.py", "tomoray_batch.py"}


def faults(module: ast.Module, may_print: bool = False) -> list[str]:
    """Each forbidden construct as `line: what`."""
    return [
        f"{node.lineno}: {fault}"
        for node in ast.walk(module)
        if (fault := _fault(node, may_print)) is not None
    ]


def _fault(node: ast.AST, may_print: bool) -> str | None:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return _import_fault(node)
    if isinstance(node, ast.Call):
        return _call_fault(node, may_print)
    if isinstance(node, ast.ExceptHandler) and node.type is None:
        return "except without a class"
    if isinstance(node, ast.Assert):
        return "assert"
    return None


def _import_fault(node: ast.Import | ast.ImportFrom) -> str | None:
    names = [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        names = [node.module or ""]
    bad = SERIALIZERS & {name.partition(".")[0] for name in names}
    return f"import of {', '.join(sorted(bad))}" if bad else None


def _call_fault(node: ast.Call, may_print: bool) -> str | None:
    called = tree.dotted(node.func)
    if called in CALLS or (called == "print" and not may_print):
        return f"{called}(...)"
    for keyword in node.keywords:
        is_true = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
        if keyword.arg in {"shell", "allow_pickle"} and is_true:
            return f"{called}({keyword.arg}=True)"
    return None


def may_print(path: Path) -> bool:
    return path.name in MAY_PRINT or "command" in path.name


@pytest.mark.parametrize("path", SHIPPED, ids=tree.name)
def test_shipped_code_is_safe_and_quiet(path):
    assert faults(tree.parse(path), may_print(path)) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from joblib import load", "torch.load(path)", "eval(text)",
        "subprocess.run(line, shell=True)", "np.load(path, allow_pickle=True)", "print(1)",
        "yaml.load(text)", "try:\n    f()\nexcept:\n    pass", "assert x", "sys.path.insert(0, p)",
    ],
)  # fmt: skip
def test_a_planted_fault_is_noticed(code):
    assert faults(ast.parse(code))
