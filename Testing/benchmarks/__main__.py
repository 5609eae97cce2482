"""Time TomoRay beside other projectors: ``make bench``, or ``python -m Testing.benchmarks``.

Prints one JSON object a line; see ``docs/benchmarks.md`` for what the lines mean.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Run the benchmarks, or lay out the results of an earlier run."""
    parser = argparse.ArgumentParser(
        prog="python -m Testing.benchmarks", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="128 x 128 pixels, three rounds")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="only rows whose name contains this; may be given again",
    )
    parser.add_argument("--list", action="store_true", help="only print the rows' names")
    parser.add_argument("--markdown", action="store_true", help="print tables, not JSON")
    parser.add_argument(
        "--from",
        dest="results",
        metavar="FILE",
        type=Path,
        help="lay out the JSON lines of an earlier run instead of measuring",
    )
    arguments = parser.parse_args(argv)
    from Testing.benchmarks.one_thread import ONE_THREAD

    # Before numpy and torch are loaded, which read them once.
    os.environ.update(ONE_THREAD)
    from Testing.benchmarks.run import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
