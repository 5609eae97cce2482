"""Progress bar, stage, remaining time and log of a job; renders its state and holds none of it."""

from __future__ import annotations

from slicer.i18n import tr as _

from TomoRayLib.JobState import JobState


class JobView:
    """Shows a job in the widgets of the Reconstruction section."""

    def __init__(self, ui) -> None:
        self._ui = ui
        self._logLines = 0

    def render(self, job) -> None:
        """Show where the job is."""
        bar = self._ui.progressBar
        bar.value = round(1000 * job.fraction)
        self._ui.stageLabel.text = self._stageText(job)
        if len(job.log) != self._logLines or job.state.isEnd:
            self._logLines = len(job.log)
            self._ui.logText.setPlainText("\n".join(job.log))

    def _stageText(self, job) -> str:
        if job.state is JobState.RUNNING:
            parts = [job.message or job.stage, remainingText(job.etaSeconds)]
            return " · ".join(part for part in parts if part)
        if job.state is JobState.DONE:
            return _("Done in {time}").format(time=durationText(job.seconds))
        if job.state is JobState.FAILED:
            return _("Failed: {code}").format(code=job.error.code)
        return job.message


def remainingText(etaSeconds: float | None) -> str:
    """Return the remaining time in words, or nothing while it is unknown."""
    if etaSeconds is None:
        return ""
    return _("about {time} left").format(time=durationText(etaSeconds))


def durationText(seconds: float) -> str:
    """Return a time such as ``8 s`` or ``2 min 5 s``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s"
