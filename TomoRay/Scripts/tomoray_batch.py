"""Many cases from a table, headless inside Slicer; the same as ``tomoray batch``.

    Slicer --no-splash --no-main-window --python-script tomoray_batch.py cases.csv out
    PythonSlicer -m TomoRayCore batch cases.csv out
    tomoray batch cases.csv out

All three give the same voxels, report and exit code: 0 all cases done, 1 every case failed or the
table cannot be used, 2 some cases failed or the command line is wrong, 3 the environment lacks
something. ``--help`` explains the table and the options.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

ENVIRONMENT = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tomoray batch`` with these arguments and return its exit code."""
    try:
        # Found because Slicer puts the module's folder on its path, or because it is installed.
        from TomoRayCore.__main__ import main as tomoray
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"tomoray: error [PACKAGE_MISSING] {error}\n"
            "  Install the TomoRay extension in this Slicer, or give its module folder with "
            "--additional-module-paths.\n"
        )
        return ENVIRONMENT
    return tomoray(["batch", *(sys.argv[1:] if argv is None else argv)])


def leave(code: int) -> None:
    """End the application with this code: Slicer ignores SystemExit from a script."""
    slicer = sys.modules.get("slicer")
    if slicer is not None and hasattr(slicer, "app"):
        slicer.util.exit(code)
    else:
        sys.exit(code)


if __name__ == "__main__":
    exit_code = 1
    try:
        exit_code = main()
    except Exception:  # whatever happens, Slicer must not stay open without a window
        traceback.print_exc()
    leave(exit_code)
