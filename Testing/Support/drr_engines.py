"""The two implementations behind the numpy projector, to be forced by tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from TomoRayCore.drr import build, kernel

ENGINES = ("numpy", "kernel")


def force(engine: str, patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make one implementation the one in use; skip where the kernel cannot be compiled.

    Args:
        engine: Of ``ENGINES``.
        patch: Undoes it.
        folder: Where the kernel is compiled to, once.
    """
    patch.setenv(kernel.OFF, "1" if engine == "numpy" else "")
    if engine == "kernel":
        if build.find_compiler() is None:
            pytest.skip("no C compiler on this machine")
        library = folder / kernel.LIBRARY.name
        patch.setattr(kernel, "LIBRARY", library if library.exists() else build.build(library))
    if kernel.available() != (engine == "kernel"):
        raise RuntimeError(f"The {engine} implementation could not be forced.")
