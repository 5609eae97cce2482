"""What the repository holds: the files under version control, read once for all checks."""

from __future__ import annotations

import ast
import functools
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = {
    ".cmake",
    ".csv",
    ".json",
    ".md",
    ".py",
    ".sh",
    ".svg",
    ".toml",
    ".txt",
    ".ui",
    ".yaml",
    ".yml",
}


@functools.cache
def files() -> tuple[Path, ...]:
    """Every file that git tracks or would track, as absolute paths."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return tuple(sorted({ROOT / name for name in listing.split("\0") if (ROOT / name).is_file()}))


def under(*folders: str, suffix: str = "") -> list[Path]:
    """The files below these folders (or these files themselves), by name ending."""
    tops = [ROOT / folder for folder in folders]
    return [
        path
        for path in files()
        if path.name.endswith(suffix) and any(top == path or top in path.parents for top in tops)
    ]


def text_files() -> list[Path]:
    """The files that people read and edit."""
    plain = {"Makefile", "LICENSE", "run", ".gitignore"}
    return [path for path in files() if path.suffix in TEXT or path.name in plain]


def name(path: Path) -> str:
    """A path as it is written in this repository."""
    return path.relative_to(ROOT).as_posix()


def parse(path: Path) -> ast.Module:
    """The syntax tree of one Python file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=name(path))


def dotted(node: ast.expr) -> str:
    """`a.b.c` for a chain of names, the empty text for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""
