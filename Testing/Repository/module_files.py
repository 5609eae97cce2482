"""Keep the file lists of TomoRay/CMakeLists.txt equal to the folder that they describe.

python Testing/Repository/module_files.py           says whether they agree (exit code 1: no)
python Testing/Repository/module_files.py --write   writes the lists anew
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

MODULE = Path(__file__).resolve().parents[2] / "TomoRay"
SCRIPTS = "MODULE_PYTHON_SCRIPTS"
RESOURCES = "MODULE_PYTHON_RESOURCES"
NEVER_INSTALLED = {"CMakeLists.txt"}
COMPILED = {".so", ".dylib", ".dll"}
"""Built on the spot from a source that is listed, and installed by a rule of its own."""


def files_of(module: Path) -> dict[str, list[str]]:
    """Sort the files of a module folder into CMake's two lists, as relative POSIX paths."""
    found: dict[str, list[str]] = {SCRIPTS: [], RESOURCES: []}
    for path in module.rglob("*"):
        relative = path.relative_to(module)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if path.is_file() and not hidden and _is_source(relative):
            found[SCRIPTS if path.suffix == ".py" else RESOURCES].append(relative.as_posix())
    # The module file first, then by name, so that the list reads like the folder.
    for name in found:
        found[name].sort(key=lambda entry: ("/" in entry, entry))
    return found


def _is_source(path: Path) -> bool:
    return path.name not in NEVER_INSTALLED and path.suffix not in COMPILED


def listed(text: str) -> dict[str, list[str]]:
    """Read the two lists from the text of a CMakeLists.txt."""
    return {name: _block(name).search(text)["files"].split() for name in (SCRIPTS, RESOURCES)}  # type: ignore[index]


def with_lists(text: str, files: dict[str, list[str]]) -> str:
    """Return the text of a CMakeLists.txt with its two lists replaced."""
    for name, entries in files.items():
        body = "".join(f"  {entry}\n" for entry in entries)
        text = _block(name).sub(lambda match, body=body: match["head"] + body + match["tail"], text)
    return text


def _block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<head>set\({name}\n)(?P<files>[^)]*?)(?P<tail>  \))")


def main(argv: list[str]) -> int:
    """Compare, or write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="write the lists anew")
    arguments = parser.parse_args(argv)
    path = MODULE / "CMakeLists.txt"
    text = path.read_text(encoding="utf-8")
    files = files_of(MODULE)
    if arguments.write:
        path.write_text(with_lists(text, files), encoding="utf-8")
        return 0
    return 0 if listed(text) == files else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
