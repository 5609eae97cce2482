"""Every failure as one code, one message, one remedy and one exit code, alike for all doors."""

from __future__ import annotations

import errno

from TomoRayCore.errors import Cancelled, InputError, SetupError, TomoRayError

DONE = 0
FAILED = 1
USAGE_OR_PARTLY_FAILED = 2
ENVIRONMENT = 3
INTERRUPTED = 130

PACKAGE_OF_MODULE = {
    "numpy": "numpy",
    "SimpleITK": "SimpleITK",
    "pydicom": "pydicom",
    "torch": "torch",
    "safetensors": "safetensors",
    "skimage": "scikit-image",
    "scipy": "scipy",
    "PIL": "Pillow",
}
"""The name to install, by the name to import."""


def explain(error: BaseException) -> TomoRayError:
    """Turn any exception into an error with a code and a remedy.

    Errors raised on purpose come back unchanged. A missing package, too little memory or a full
    disk become a ``SetupError``, an unreadable or unwritable file an ``InputError``; whatever is
    left is a mistake in TomoRay and gets the code ``INTERNAL``.
    """
    if isinstance(error, TomoRayError):
        return error
    if isinstance(error, Cancelled | KeyboardInterrupt):
        return TomoRayError("CANCELLED", "The work was stopped.", "Start it again when needed.")
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _missing_package(error.name)
    # torch's own class is not imported here: naming it would load torch in the numpy layer.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return SetupError(
            "OUT_OF_MEMORY",
            "There is not enough memory for this job.",
            "Close other programs, use --device cpu, or take a smaller model or detector.",
        )
    if isinstance(error, OSError):
        return _file_trouble(error)
    return TomoRayError(
        "INTERNAL",
        f"Unexpected {type(error).__name__}: {_first_line(error)}",
        "This is a mistake in TomoRay: run again with --debug and report the traceback.",
    )


def exit_code(error: BaseException) -> int:
    """Return the exit code that every door gives for this failure."""
    explained = explain(error)
    if explained.code == "CANCELLED":
        return INTERRUPTED
    return ENVIRONMENT if isinstance(explained, SetupError) else FAILED


def _missing_package(module: str) -> SetupError:
    top = module.partition(".")[0]
    if top == "TomoRayCore":
        return SetupError(
            "INSTALLATION_INCOMPLETE",
            f"This installation of TomoRay lacks its part {module}.",
            "Install TomoRay again.",
        )
    package = PACKAGE_OF_MODULE.get(top, top)
    return SetupError(
        "PACKAGE_MISSING",
        f"The Python package {package} is not installed.",
        f"Install it: 'pip install {package}', or in Slicer by the Apply button of TomoRay.",
    )


def _file_trouble(error: OSError) -> TomoRayError:
    subject = f": {error.filename}" if error.filename else ""
    reason = error.strerror or _first_line(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return SetupError("DISK_FULL", f"The disk is full{subject}.", "Free some space.")
    if isinstance(error, FileNotFoundError):
        return InputError(
            "FILE_NOT_FOUND", f"There is no such file{subject}.", "Check the path's spelling."
        )
    if isinstance(error, PermissionError):
        return InputError(
            "NO_PERMISSION",
            f"Reading or writing is not permitted{subject}.",
            "Check the file's permissions, or choose another folder.",
        )
    return InputError(
        "FILE_TROUBLE", f"{reason}{subject}.", "Check the path and that the disk is reachable."
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"
