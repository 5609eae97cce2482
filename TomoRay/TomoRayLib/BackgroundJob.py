"""One piece of long work: from checking the nodes to importing what the worker computed.

The job owns its process, its private folder and its observers; the panel only shows its state.
It advances by ``poll``, from a timer or in a loop, one short step at a time, so that it can be
cancelled between any two of them.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator
from pathlib import Path

import slicer
from slicer.util import VTKObservationMixin

from TomoRayCore.errors import InputError, SetupError, TomoRayError
from TomoRayLib.JobState import JobState
from TomoRayLib.SceneTransaction import SceneTransaction
from TomoRayLib.WorkerProcess import WorkerProcess, defaultCommand

JOB_SCHEMA = 1
LOG_LINES = 2000
BLOCKING_POLL_S = 0.02
WORKER_FAULT_REMEDY = "Open the log for the worker's own words; report them if they do not help."


class BackgroundJob(VTKObservationMixin):
    """Runs a plan: check, export, compute in a worker process, import.

    A plan has ``title``, ``inputNodes()``, ``check()`` (returns warnings), ``exportSteps(folder)``
    (an iterator that writes one file a step and yields a message), ``tasks()`` (for the job file)
    and ``importResults(folder, results)`` (adds nodes and returns the outcome).

    Attributes:
        state: Where the job is.
        stage: Short name of what the worker does.
        fraction: Done share, 0 to 1.
        etaSeconds: Estimated seconds to go, or None.
        message: One line for people.
        warnings: What the user should know although the work goes on.
        log: The worker's lines, the last ``LOG_LINES`` of them.
        error: Why the job failed, or None.
        result: What the plan's import returned, or None.
        seconds: Time from start to end.
        timer: What polls the job, kept alive by it; None in a blocking run.
    """

    def __init__(
        self,
        plan,
        onChanged: Callable[[BackgroundJob], None] | None = None,
        command: list[str] | None = None,
    ) -> None:
        VTKObservationMixin.__init__(self)
        self.plan = plan
        self.state = JobState.IDLE
        self.stage, self.message = "", ""
        self.fraction, self.etaSeconds = 0.0, None
        self.warnings: list[str] = []
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self.error: TomoRayError | None = None
        self.result = None
        self.seconds = 0.0
        self.timer = None
        self._onChanged = onChanged
        self._command = command
        self._started = 0.0
        self._folder: Path | None = None
        self._process: WorkerProcess | None = None
        self._results: list[dict] = []
        self._workerError: dict | None = None
        self._steps = self._run()
        self._isStepping = False
        self._inputIds: list[str] = []
        self._stopReason: TomoRayError | JobState | None = None

    @property
    def isRunning(self) -> bool:
        """Whether the job has started and not ended."""
        return self.state is not JobState.IDLE and not self.state.isEnd

    @property
    def folder(self) -> Path | None:
        """The private folder, as long as it exists."""
        return self._folder

    @property
    def workerPid(self) -> int | None:
        """The worker's process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Begin; the work itself happens in ``poll``."""
        if self.state is not JobState.IDLE:
            raise RuntimeError("A job runs once; make a new one.")
        self._started = time.monotonic()
        self._observe()
        self._enter(JobState.CHECKING, "Checking the inputs")

    def poll(self) -> None:
        """Advance by one step; return at once when there is nothing to do."""
        if not self.isRunning or self._isStepping:
            return
        self._isStepping = True
        try:
            next(self._steps)
        except StopIteration:
            if self._stopReason is None:
                self._end(JobState.DONE)
        except TomoRayError as error:
            self._fail(error)
        except Exception as error:
            logging.exception("TomoRay: the job stopped unexpectedly")
            remedy = "Please report this with the application's log."
            self._fail(InputError("INTERNAL", f"{type(error).__name__}: {error}.", remedy))
        finally:
            self._isStepping = False
        if self._stopReason is not None:
            self._stop()

    def wait(self) -> None:
        """Poll until the end, without an event loop; an interrupt cancels the job."""
        try:
            while self.isRunning:
                self.poll()
                if self.state is JobState.RUNNING:
                    time.sleep(BLOCKING_POLL_S)
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Stop now; nothing of the job stays behind. Does nothing once the job has ended."""
        self._stopReason = self._stopReason or JobState.CANCELLED
        if not self._isStepping:
            self._stop()

    def _run(self) -> Generator[None, None, None]:
        yield
        self.warnings += self.plan.check()
        yield
        self._enter(JobState.EXPORTING, "Writing the inputs")
        self._folder = Path(tempfile.mkdtemp(prefix="TomoRay-"))
        for message in self.plan.exportSteps(self._folder):
            self._tell(message)
            yield
        yield from self._compute(self._writeJobFile())
        self._enter(JobState.IMPORTING, "Adding the results to the scene")
        yield
        with SceneTransaction(slicer.mrmlScene) as transaction:
            self.result = self.plan.importResults(self._folder, self._results)
            if self._stopReason is not None:
                transaction.undo()

    def _writeJobFile(self) -> Path:
        path = self._folder / "job.json"
        job = {"schema": JOB_SCHEMA, "tasks": self.plan.tasks()}
        path.write_text(json.dumps(job, indent=2), encoding="utf-8")
        return path

    def _compute(self, jobFile: Path) -> Generator[None, None, None]:
        command = [*(self._command or defaultCommand()), str(jobFile)]
        self._enter(JobState.RUNNING, "Starting the worker")
        try:
            self._process = WorkerProcess(command, self._folder)
        except OSError as error:
            raise SetupError(
                "WORKER_START", f"{command[0]} cannot be started: {error}.", WORKER_FAULT_REMEDY
            ) from error
        while not self._process.hasEnded():
            self._readWorker()
            yield
        code = self._process.close()
        self._readWorker()
        self._process = None
        self._raiseWorkerError(code)

    def _readWorker(self) -> None:
        lines = self._process.takeLines()
        for stream, line in lines:
            event = _eventOf(line) if stream == "out" else None
            if event is None:
                self.log.append(line)
            else:
                self._onEvent(event)
        if lines:
            self._notify()

    def _onEvent(self, event: dict) -> None:
        kind = event["event"]
        if kind == "progress":
            self.stage = str(event.get("stage") or "")
            self.fraction = max(0.0, min(float(event.get("fraction") or 0.0), 1.0))
            self.etaSeconds = event.get("eta_s")
            self.message = str(event.get("message") or self.stage)
            if not self.log or self.log[-1] != self.message:
                self.log.append(self.message)
        elif kind == "warning":
            self.warnings.append(str(event.get("message")))
            self.log.append(f"Warning: {event.get('message')}")
        elif kind == "result":
            self._results.append(event)
        elif kind == "error":
            self._workerError = event

    def _raiseWorkerError(self, code: int) -> None:
        if self._workerError is not None:
            kind = SetupError if code == 3 else InputError
            texts = [str(self._workerError.get(key, "")) for key in ("code", "message", "remedy")]
            raise kind(*texts)
        if code != 0:
            last = next((line for line in reversed(self.log) if line), "it said nothing")
            raise SetupError(
                "WORKER_DIED",
                f"The worker ended with code {code} before it was done: {last}.",
                WORKER_FAULT_REMEDY + " A code of -9 usually means too little memory.",
            )

    def _observe(self) -> None:
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneClose)
        self.addObserver(scene, scene.NodeRemovedEvent, self._onNodeRemoved)
        self._inputIds = [node.GetID() for node in self.plan.inputNodes()]

    def _onSceneClose(self, _caller, _event) -> None:
        self.cancel()

    def _onNodeRemoved(self, _caller, _event) -> None:
        if any(slicer.mrmlScene.GetNodeByID(nodeId) is None for nodeId in self._inputIds):
            self._stopReason = self._stopReason or InputError(
                "INPUT_REMOVED",
                "An input of the running job was removed from the scene.",
                "Choose the inputs again and press Apply.",
            )
            if not self._isStepping:
                self._stop()

    def _stop(self) -> None:
        if not self.isRunning:
            return
        if isinstance(self._stopReason, TomoRayError):
            self._fail(self._stopReason)
        else:
            self._end(JobState.CANCELLED)

    def _fail(self, error: TomoRayError) -> None:
        self.error = error
        self.log.append(f"{error}")
        self._end(JobState.FAILED)

    def _end(self, state: JobState) -> None:
        self._release()
        self.seconds = time.monotonic() - self._started
        self.etaSeconds = None
        self.fraction = 1.0 if state is JobState.DONE else self.fraction
        self._enter(state, state.value)

    def _release(self) -> None:
        """Let go of process, folder and observers; safe to call at any stage."""
        self.removeObservers()
        if not self._isStepping:
            self._steps.close()
        if self._process is not None:
            self._process.close()
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _enter(self, state: JobState, message: str) -> None:
        self.state = state
        self._tell(message)

    def _tell(self, message: str) -> None:
        self.message = message
        self.log.append(message)
        self._notify()

    def _notify(self) -> None:
        if self._onChanged is not None:
            self._onChanged(self)


def _eventOf(line: str) -> dict | None:
    """Return the event that a line of the worker states, or None for other text."""
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None
