"""Documentation keeps its word: commands, options, links, names and error codes exist."""

import ast
import importlib
import os
import re
import subprocess
import sys

import pytest

from Testing.Repository import error_codes, tree
from TomoRayCore import cli

PAGES = tree.under("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", suffix=".md")
TROUBLESHOOTING = tree.ROOT / "docs" / "troubleshooting.md"
CODE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
COMMAND = re.compile(r"(?:^|[\s/])(?:tomoray|-m TomoRayCore)\s+([a-z][a-z-]*)?(.*)$")


def fenced_blocks(text: str, language: str = "") -> list[str]:
    pattern = rf"^```{language}[^\n]*\n(.*?)^```"
    return re.findall(pattern, text, flags=re.MULTILINE | re.DOTALL)


def shell_lines(text: str) -> list[str]:
    """Lines of fenced blocks, with continued lines joined, and inline code."""
    lines = [line for block in fenced_blocks(text) for line in _joined(block)]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return lines + re.findall(r"`([^`\n]+)`", prose)


def _joined(block: str) -> list[str]:
    return re.sub(r"\\\n\s*", " ", block).splitlines()


def documented_commands() -> list[tuple[str, str, str]]:
    """(page, command, its options) of every call of `tomoray` in the documentation."""
    return [
        (tree.name(page), match[1], match[2].partition("#")[0])
        for page in PAGES
        for line in shell_lines(page.read_text(encoding="utf-8"))
        if (match := COMMAND.search(line)) and (match[1] or "--" in match[2])
    ]


def help_of(command: str | None, capsys: pytest.CaptureFixture[str]) -> str:
    code = cli.run([command, "--help"] if command else ["--help"])
    text = capsys.readouterr().out
    assert code == 0, f"tomoray has no command {command!r}"
    return text


def test_every_documented_command_and_option_exists(capsys):
    calls = documented_commands()
    assert len(calls) > 10
    wrong = []
    for page, command, rest in calls:
        text = help_of(command, capsys)
        options = re.findall(r"(?<![\w-])--[a-z][\w-]*", rest)
        known = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))
        wrong += [
            f"{page}: tomoray {command} {option}" for option in options if option not in known
        ]
    assert wrong == []


def test_every_option_named_in_the_text_exists(capsys):
    commands = sorted({command for _, command, _ in documented_commands() if command})
    helps = " ".join(help_of(command, capsys) for command in commands)
    known = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", helps)) | {"--help", "--version"}
    wrong = [
        f"{tree.name(page)}: {option}"
        for page in PAGES
        for option in re.findall(r"`(--[a-z][\w-]*)`", page.read_text(encoding="utf-8"))
        if option not in known
    ]
    assert wrong == []


def test_every_command_is_documented(capsys):
    commands = re.findall(r"^    ([a-z]+)\s", help_of(None, capsys), flags=re.MULTILINE)
    assert {"demo", "drr", "reconstruct", "compare", "batch", "models", "doctor"} <= set(commands)
    documented = {command for _, command, _ in documented_commands()}
    assert set(commands) <= documented


def test_every_documented_module_of_training_runs():
    modules = {
        match
        for page in PAGES
        for line in shell_lines(page.read_text(encoding="utf-8"))
        for match in re.findall(r"-m (TomoRayTraining[\w.]*)", line)
    }
    for module in sorted(modules):
        command = [sys.executable, "-m", module, "--help"]
        places = os.pathsep.join([str(tree.ROOT / "TomoRay"), str(tree.ROOT)])
        environment = {**os.environ, "PYTHONPATH": places}
        ran = subprocess.run(
            command, cwd=tree.ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"{module}: {ran.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=tree.name)
def test_relative_links_lead_somewhere(page):
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        goal = (page.parent / file).resolve() if file else page
        if not goal.exists() or (anchor and anchor not in anchors_of(goal.read_text("utf-8"))):
            dead.append(target)
    assert dead == []


def anchors_of(text: str) -> set[str]:
    """The anchors that headings get on the usual hosts of Markdown pages."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=tree.name)
def test_make_targets_exist(page):
    makefile = (tree.ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, flags=re.MULTILINE))
    for line in shell_lines(page.read_text(encoding="utf-8")):
        if line.startswith("make "):
            words = line.partition("#")[0].split()[1:]
            assert {w for w in words if "=" not in w and w[0] != "-"} <= targets, line


@pytest.mark.parametrize("page", PAGES, ids=tree.name)
def test_python_examples_name_things_that_exist(page):
    for block in fenced_blocks(page.read_text(encoding="utf-8"), "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("TomoRayCore"):
                module = importlib.import_module(node.module or "")
                missing = [a.name for a in node.names if not hasattr(module, a.name)]
                assert not missing, f"{node.module} has no {missing}"


def test_every_error_code_is_explained():
    text = TROUBLESHOOTING.read_text(encoding="utf-8")
    explained = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", text))
    unexplained = sorted(set(error_codes.errors_in_source()) - explained)
    assert unexplained == [], "run: python Testing/Repository/error_codes.py --write"


def test_every_explained_code_exists():
    text = TROUBLESHOOTING.read_text(encoding="utf-8")
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for path in tree.under("TomoRay", "TomoRayTraining", suffix=".py")
    )
    explained = set(CODE.findall(" ".join(re.findall(r"`([A-Z][A-Z0-9_]+)`", text))))
    assert sorted(c for c in explained if c not in source and c[:4] != "OMP_") == []
