"""Polls a job from the application's event loop."""

from __future__ import annotations

import qt
import slicer

INTERVAL_MS = 50


class JobTimer:
    """Keeps a job going while the user works; cancels it when the application quits."""

    def __init__(self, job) -> None:
        self._job = job
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._onTimeout)

    def start(self) -> None:
        """Start polling; it stops by itself at the job's end."""
        slicer.app.connect("aboutToQuit()", self._onAboutToQuit)
        self._timer.start()

    def stop(self) -> None:
        """Stop polling."""
        self._timer.stop()
        slicer.app.disconnect("aboutToQuit()", self._onAboutToQuit)

    def _onTimeout(self) -> None:
        self._job.poll()
        if not self._job.isRunning:
            self.stop()

    def _onAboutToQuit(self) -> None:
        self._job.cancel()
        self.stop()
