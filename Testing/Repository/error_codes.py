"""Keep the table of error codes in docs/troubleshooting.md in the words of the source.

python Testing/Repository/error_codes.py --write   writes the table anew

A code, its message and its remedy are read from the calls of InputError and SetupError; what is
known only while the program runs appears as an ellipsis.
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
HEADING = "## All codes\n"
FOLDERS = ("TomoRay", "TomoRayTraining")
ERRORS = {"InputError", "SetupError", "TomoRayError"}
INTRODUCTION = """
As the source says them; … stands for what depends on the case. Written by
`python Testing/Repository/error_codes.py --write`.

| code | message | way out |
| --- | --- | --- |
"""


def errors_in_source() -> dict[str, list[tuple[str, str]]]:
    """Code -> its (message, remedy) pairs, in the order of the source."""
    found: dict[str, list[tuple[str, str]]] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and _name(node.func) in ERRORS:
                    _add(found, node)
    return dict(sorted(found.items()))


def _add(found: dict[str, list[tuple[str, str]]], call: ast.Call) -> None:
    parts = [_words(argument) for argument in call.args]
    parts += [_words(keyword.value) for keyword in call.keywords]
    if len(parts) == 3 and parts[0].isupper():
        pair = (parts[1], parts[2])
        pairs = found.setdefault(parts[0], [])
        if pair not in pairs:
            pairs.append(pair)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _words(node: ast.expr) -> str:
    """The text that an expression is bound to give, with … for the rest."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_words(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _words(node.left) + _words(node.right)
    if isinstance(node, ast.Call) and _name(node.func) in {"_", "tr", "format"}:
        inner = node.func.value if isinstance(node.func, ast.Attribute) else node.args[0]
        return _words(inner)
    return "…"


def table() -> str:
    """The rows, one a code; of several messages the first three."""
    rows = []
    for code, pairs in errors_in_source().items():
        messages = _joined([message for message, _ in pairs])
        remedies = _joined([remedy for _, remedy in pairs])
        rows.append(f"| `{code}` | {messages} | {remedies} |\n")
    return "".join(rows)


def _joined(texts: list[str]) -> str:
    different = [text for text in dict.fromkeys(texts) if text.strip("… .")] or ["…"]
    return " / ".join(_in_a_cell(text) for text in different[:3])


def _in_a_cell(text: str) -> str:
    text = " ".join(text.split())
    for sign in ("\\", "|", "*", "<", "`"):
        text = text.replace(sign, "\\" + sign)
    return text


def main(argv: list[str]) -> int:
    """Write the table, or print it."""
    parser = argparse.ArgumentParser(description="Write the table of error codes.")
    parser.add_argument("--write", action="store_true", help="into docs/troubleshooting.md")
    if not parser.parse_args(argv).write:
        print(table(), end="")
        return 0
    before = PAGE.read_text(encoding="utf-8").partition(HEADING)[0]
    PAGE.write_text(before + HEADING + INTRODUCTION + table(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
