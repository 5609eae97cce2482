"""Files appear whole or not at all: written beside their place, then renamed into it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from TomoRayCore.errors import InputError, SetupError

TEMPORARY_MARK = ".tomoray-"
"""Stands in the name of every unfinished file, so that leftovers of a killed process are known."""

REPLACE_WAITS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
"""Windows virus scanners and indexers hold a new file open for a moment; 2.5 s outlast them."""

SHARING_VIOLATIONS = {5, 32, 33}
"""Windows error numbers of a file that another process holds open."""

NO_ROOM = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
NO_RIGHT = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
}


def full_suffix(path: Path) -> str:
    """Return the suffix by which formats are told apart: ``.nii.gz`` is one suffix."""
    lower = path.name.lower()
    for double in (".nii.gz",):
        if lower.endswith(double):
            return path.name[-len(double) :]
    return path.suffix


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path to write to; on success it becomes ``path``, on error it vanishes.

    The temporary file lies in the same folder and has the same suffix, so that writers which pick
    the format by suffix work, and the rename stays on one file system. A missing folder is made.

    Args:
        path: Where the finished file shall be. An existing file is replaced.

    Raises:
        InputError: ``NOT_WRITABLE`` when the folder cannot be made or written to.
        SetupError: ``DISK_FULL``.
    """
    target = Path(path)
    suffix = full_suffix(target)
    stem = target.name[: len(target.name) - len(suffix)]
    temporary = target.with_name(f".{stem[:60]}{TEMPORARY_MARK}{os.urandom(4).hex()}{suffix}")
    try:
        _check_folder(target)
        yield temporary
        _sync(temporary)
        _replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        own = {str(p) for p in (temporary, target, target.parent)}
        if error.errno in NO_ROOM:
            raise _disk_full(target) from error
        if error.errno in NO_RIGHT and str(error.filename) in own:
            raise _not_writable(target, error) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text with Unix line ends, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _check_folder(target: Path) -> None:
    folder = target.parent
    folder.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder has this name", str(target))
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, "the folder is write-protected", str(folder))


def _disk_full(target: Path) -> SetupError:
    return SetupError(
        "DISK_FULL",
        f"There is no room left for {target.name}.",
        "Free some disk space, or choose another output folder.",
    )


def _not_writable(target: Path, error: OSError) -> InputError:
    return InputError(
        "NOT_WRITABLE",
        f"{target} cannot be written: {error.strerror}.",
        "Choose an output file in a folder that you may write to.",
    )


def _sync(path: Path) -> None:
    # "r+b": Windows refuses to flush a file that is open for reading only.
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(temporary: Path, target: Path) -> None:
    for wait_s in (*REPLACE_WAITS_S, None):
        try:
            temporary.replace(target)
            return
        except PermissionError as error:
            held = getattr(error, "winerror", None) in SHARING_VIOLATIONS
            if wait_s is None or not held:
                raise
            time.sleep(wait_s)
