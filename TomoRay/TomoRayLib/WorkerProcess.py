"""The worker as a process of its own, with all its children, read without blocking."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import TomoRayCore

IS_WINDOWS = os.name == "nt"
READER_JOIN_S = 1.0


def defaultCommand() -> list[str]:
    """Return the command that runs the engine's worker; the job file is its last argument."""
    python = shutil.which("PythonSlicer") or sys.executable
    return [python, "-m", "TomoRayCore.worker"]


def workerEnvironment() -> dict[str, str]:
    """Return this process's environment, with the engine importable and output unbuffered."""
    engineFolder = str(Path(TomoRayCore.__file__).resolve().parents[1])
    paths = [engineFolder, os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }


class WorkerProcess:
    """A child process in its own session, so that it can be ended with all its descendants.

    PythonSlicer is only a launcher: ending it alone would leave the real worker running.
    """

    def __init__(self, command: list[str], folder: Path) -> None:
        """Start ``command`` in ``folder``.

        Raises:
            OSError: If the program cannot be started.
        """
        self._isClosed = False
        self._lines: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=workerEnvironment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **_ownSession(),
        )
        self._readers = [
            self._read("out", self._process.stdout),
            self._read("err", self._process.stderr),
        ]

    @property
    def pid(self) -> int:
        """The process id; on POSIX also that of its session and group."""
        return self._process.pid

    def takeLines(self) -> list[tuple[str, str]]:
        """Return what was printed since the last call, as (``out`` or ``err``, line)."""
        lines = []
        with contextlib.suppress(queue.Empty):
            while True:
                lines.append(self._lines.get_nowait())
        return lines

    def hasEnded(self) -> bool:
        """Say whether the worker itself has ended, without forgetting its process id."""
        if self._process.returncode is not None:
            return True
        if not hasattr(os, "waitid"):  # Windows, and macOS before Python 3.13
            return self._process.poll() is not None
        # WNOWAIT keeps the dead leader's id reserved, so the group can still be killed safely.
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, flags) is not None

    def close(self, graceSeconds: float = 0.5) -> int:
        """End the worker and all its descendants, and return its exit code.

        A worker that still runs is asked first and gets ``graceSeconds`` to tidy up.
        """
        if not self.hasEnded():
            self._ask()
            deadline = time.monotonic() + graceSeconds
            while not self.hasEnded() and time.monotonic() < deadline:
                time.sleep(0.01)
        self._killTree()
        code = self._process.wait()
        for reader in self._readers:
            reader.join(READER_JOIN_S)
        return code

    def _ask(self) -> None:
        if not IS_WINDOWS:
            _signalGroup(self._process.pid, signal.SIGTERM)

    def _killTree(self) -> None:
        if self._isClosed:
            return
        self._isClosed = True
        if not IS_WINDOWS:
            _signalGroup(self._process.pid, signal.SIGKILL)
        elif self._process.returncode is None:
            _taskkill(self._process.pid)

    def _read(self, name: str, stream) -> threading.Thread:
        def copyLines() -> None:
            with stream:
                for line in stream:
                    self._lines.put((name, line.decode("utf-8", errors="replace").rstrip()))

        reader = threading.Thread(target=copyLines, name=f"TomoRay-{name}", daemon=True)
        reader.start()
        return reader


def _ownSession() -> dict[str, object]:
    if IS_WINDOWS:
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return {"creationflags": flags}
    return {"start_new_session": True}


def _signalGroup(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _taskkill(pid: int) -> None:
    command = ["taskkill", "/PID", str(pid), "/T", "/F"]
    subprocess.run(command, capture_output=True, check=False)
