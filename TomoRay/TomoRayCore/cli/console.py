"""What the commands share: options, progress on stderr, results on stdout, error lines."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from TomoRayCore.errors import TomoRayError
from TomoRayCore.outputs import to_json
from TomoRayCore.progress import Step

EXIT_CODES = """\
exit codes:
  0  done
  1  failed: an input, an option's value or an output cannot be used (batch: every case failed)
  2  the command line is wrong (batch: some cases failed)
  3  the environment lacks something: a package, the default model, a GPU, memory, disk
  130  stopped by Ctrl-C or SIGTERM; nothing half written remains"""

BAR_WIDTH = 28
LINE_WIDTH = 100


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions and examples."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=LINE_WIDTH)


class Console:
    """Where a command's words go.

    Progress goes to stderr: one moving line on a terminal, one line a stage elsewhere. Results go
    to stdout, as text or as JSON.
    """

    def __init__(self, quiet: bool, as_json: bool, stderr: TextIO | None = None) -> None:
        self._quiet = quiet
        self._as_json = as_json
        self._stderr = sys.stderr if stderr is None else stderr
        self._terminal = self._stderr.isatty()
        self._stage = ""
        self._moving = False
        self.raise_if_stopped: Callable[[], None] = lambda: None

    def progress(self, step: Step) -> None:
        """Show a step; a ``Report``."""
        self.raise_if_stopped()
        if self._quiet:
            return
        if self._terminal:
            self._stderr.write("\r" + _bar(step, _line_width()))
            self._stderr.flush()
            self._moving = True
        elif step.stage != self._stage:
            self._stderr.write(f"{step.fraction:4.0%} {step.stage}: {step.message}\n")
        self._stage = step.stage

    def end_progress(self) -> None:
        """Clear the moving line."""
        if self._moving:
            self._stderr.write("\r" + " " * _line_width() + "\r")
            self._stderr.flush()
            self._moving = False

    def note(self, text: str) -> None:
        """Print a line for people on stderr, unless quiet."""
        self.end_progress()
        if not self._quiet:
            self._stderr.write(f"{text}\n")

    def warn(self, text: str) -> None:
        """Print a warning on stderr, also when quiet."""
        self.end_progress()
        self._stderr.write(f"tomoray: warning: {text}\n")

    def error(self, error: TomoRayError) -> None:
        """Print what went wrong and the way out."""
        self.end_progress()
        self._stderr.write(f"tomoray: error [{error.code}] {error.message}\n  {error.remedy}\n")

    def result(self, data: Mapping[str, Any], text: str) -> None:
        """Print the result on stdout: JSON when asked for, else text, else (quiet) nothing."""
        self.end_progress()
        if self._as_json:
            sys.stdout.write(to_json(data))
        elif not self._quiet:
            sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def add_common(command: argparse.ArgumentParser) -> None:
    """Add the options that every command has."""
    common = command.add_argument_group("output")
    common.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    common.add_argument("--quiet", action="store_true", help="no progress and no text result")
    common.add_argument("--debug", action="store_true", help="show tracebacks and debug messages")


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace, Console], int],
    *,
    summary: str,
    description: str,
    example: str,
) -> argparse.ArgumentParser:
    """Add a command with its help, its examples and the exit codes; return its parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"example:\n{_indented(example)}\n\n{EXIT_CODES}",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    command.set_defaults(run=run)
    return command


def outputs_text(result: Mapping[str, Any]) -> str:
    """Return one line for each output file."""
    outputs = result["outputs"]
    width = max(len(name) for name in outputs)
    return "\n".join(f"{name:<{width}}  {path}" for name, path in outputs.items())


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _line_width() -> int:
    """Return what fits in one line: a longer one would leave its remains on the terminal."""
    import shutil  # here: it loads every compression library

    return min(LINE_WIDTH, shutil.get_terminal_size().columns) - 1


def _bar(step: Step, width: int) -> str:
    filled = round(step.fraction * BAR_WIDTH)
    eta = "" if step.eta_s is None or step.fraction >= 1 else f" {_duration(step.eta_s)} left"
    line = f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {step.fraction:4.0%}{eta}  {step.message}"
    return line[:width].ljust(width)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60:02d} s"
