"""The states of a background job."""

from enum import Enum


class JobState(Enum):
    """Where a job is; the last three are ends."""

    IDLE = "Idle"
    CHECKING = "Checking"
    EXPORTING = "Exporting"
    RUNNING = "Running"
    IMPORTING = "Importing"
    DONE = "Done"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def isEnd(self) -> bool:
        """Whether nothing more will happen."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
