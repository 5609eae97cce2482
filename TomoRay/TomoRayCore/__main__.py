"""The command line: ``tomoray ...``, or ``python -m TomoRayCore ...`` (``PythonSlicer -m ...``)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from TomoRayCore.cli import run


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``argv`` is without the program's name."""
    return run(sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    sys.exit(main())
