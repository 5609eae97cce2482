"""The two errors a user ever sees, each with a stable code and a way out."""

from __future__ import annotations


class TomoRayError(Exception):
    """Base of the errors that TomoRay raises on purpose.

    Attributes:
        code: Stable upper-case identifier that scripts may compare, e.g. ``SPACING_UNKNOWN``.
        message: What is wrong, with the offending value.
        remedy: What to do about it.
    """

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(code, message, remedy)
        self.code = code
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy} [{self.code}]"


class InputError(TomoRayError, ValueError):
    """Something the caller handed over cannot be used: a file, an image, an option."""


class SetupError(TomoRayError, RuntimeError):
    """The machine lacks something the job needs: a package, a GPU, a model file, disk space."""


class Cancelled(Exception):
    """The user stopped the job. Not an error: nothing half done may remain."""
