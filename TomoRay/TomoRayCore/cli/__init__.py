"""The commands of ``tomoray``: one file a group, all built on ``pipeline`` and ``batch``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from TomoRayCore import __version__
from TomoRayCore.cli import drr, images, information, many
from TomoRayCore.cli.console import EXIT_CODES, Console, HelpFormatter
from TomoRayCore.failures import USAGE_OR_PARTLY_FAILED, exit_code, explain
from TomoRayCore.stopping import stoppable

DESCRIPTION = """\
Synthetic CT of the head from two radiographs, and what belongs to it: DRRs of a CT, comparison
with ground truth, many cases at once. For research; never for diagnosis."""

EXAMPLES = """\
examples:
  tomoray demo
  tomoray drr head.nrrd --out drr
  tomoray reconstruct --ap drr/ap.nrrd --lat drr/lat.nrrd --out sct.nrrd
  tomoray compare sct.nrrd head.nrrd --out comparison

'tomoray COMMAND --help' tells more about a command.

"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(
        prog="tomoray",
        description=DESCRIPTION,
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("-V", "--version", action="version", version=f"tomoray {__version__}")
    commands = top.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    for group in (drr, images, many, information):
        group.add_commands(commands)
    return top


def run(argv: Sequence[str]) -> int:
    """Parse and run one command; every failure becomes a message on stderr and an exit code."""
    top = parser()
    try:
        arguments = top.parse_args(list(argv))
    except SystemExit as stop:  # argparse has printed the help, the version or what is wrong
        return stop.code if isinstance(stop.code, int) else USAGE_OR_PARTLY_FAILED
    if arguments.command is None:
        top.print_help()
        return USAGE_OR_PARTLY_FAILED
    console = Console(quiet=arguments.quiet, as_json=arguments.json)
    if arguments.debug:
        import logging

        logging.basicConfig(level=logging.DEBUG)
    try:
        with stoppable() as raise_if_stopped:
            console.raise_if_stopped = raise_if_stopped
            code: int = arguments.run(arguments, console)
            return code
    except (Exception, KeyboardInterrupt) as error:
        console.end_progress()
        if arguments.debug:
            import traceback

            traceback.print_exc()
        console.error(explain(error))
        return exit_code(error)
