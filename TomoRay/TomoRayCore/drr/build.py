"""Compile the DRR kernel into the package's folder: ``python -m TomoRayCore.drr.build``.

Optional: without it numpy does the work. Any C compiler will do; ``CC`` names one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from TomoRayCore.drr import kernel
from TomoRayCore.errors import InputError, SetupError
from TomoRayCore.io.atomic import atomic_path

COMPILERS = ("cc", "gcc", "clang", "cl")


def build(target: Path = kernel.LIBRARY) -> Path:
    """Compile ``kernel.c`` and return the library's path.

    Raises:
        SetupError: ``NO_COMPILER``, or ``KERNEL_NOT_BUILT`` with the compiler's own words.
    """
    compiler = find_compiler()
    if compiler is None:
        raise SetupError(
            "NO_COMPILER",
            "No C compiler was found, so the DRR kernel was not built; numpy does its work.",
            "Install gcc or clang, or name a compiler in the environment variable CC.",
        )
    try:
        with atomic_path(target) as output:
            result = subprocess.run(
                _command(compiler, output), capture_output=True, text=True, check=False, timeout=300
            )
            if result.returncode:
                raise _not_built((result.stderr or result.stdout).strip()[-2000:])
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _not_built(str(error)) from error
    return target


def find_compiler() -> list[str] | None:
    """Return the command of a C compiler, ``CC`` first; None when there is none."""
    for command in (os.environ.get("CC", "").split(), *([name] for name in COMPILERS)):
        if command and shutil.which(command[0]):
            return command
    return None


def main() -> int:
    """Build, say what happened, and return the exit code: 0, or 3 when it could not be built."""
    try:
        path = build()
    except (InputError, SetupError) as error:
        print(f"{error.code}: {error.message} {error.remedy}", file=sys.stderr)
        return 3
    print(f"Built {path.name}; DRRs now use: {kernel.state()}")
    return 0


def _command(compiler: list[str], output: Path) -> list[str]:
    digest = kernel.source_digest()
    if Path(compiler[0]).stem.lower() == "cl":
        flags = ["/nologo", "/O2", "/LD", "/std:c11", f'/DTOMORAY_SOURCE=\\"{digest}\\"']
        return [*compiler, *flags, f"/Fo{output}.obj", f"/Fe{output}", str(kernel.SOURCE)]
    flags = ["-O3", "-std=c99", "-shared", "-fPIC", f'-DTOMORAY_SOURCE="{digest}"']
    return [*compiler, *flags, "-o", str(output), str(kernel.SOURCE)]


def _not_built(reason: str) -> SetupError:
    return SetupError(
        "KERNEL_NOT_BUILT",
        f"The DRR kernel was not built; numpy does its work. {reason}",
        "Mend what the compiler says, or go on without the kernel.",
    )


if __name__ == "__main__":
    sys.exit(main())
