"""Everything the module can do, for scripts: no widget, no main window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from TomoRayLib.BackgroundJob import BackgroundJob
from TomoRayLib.ComparePlan import ComparePlan
from TomoRayLib.CompareResult import CompareResult
from TomoRayLib.DrrOptions import DrrOptions
from TomoRayLib.DrrPlan import DrrPlan
from TomoRayLib.JobState import JobState
from TomoRayLib.ParameterNode import ParameterNode
from TomoRayLib.Plan import Plan
from TomoRayLib.PythonDependencies import ensurePackages
from TomoRayLib.ReconstructionPlan import ReconstructionPlan
from TomoRayLib.SampleData import downloadPhantomCt, downloadPhantomPair


class ReconstructionLogic(ScriptedLoadableModuleLogic):
    """Runs plans: blocking for scripts, or as a job in the event loop for the panel.

    Attributes:
        workerCommand: Instead of the engine's worker; the job file is appended to it.
        log: Lines of the last blocking run.
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        # Not derived from the class's name: the panel uses this class, scripts a subclass.
        self.moduleName = "TomoRay"
        self.workerCommand: list[str] | None = None
        self.log: list[str] = []

    def getParameterNode(self) -> ParameterNode:
        """Return the module's parameters in the scene."""
        return ParameterNode(super().getParameterNode())

    def reconstruct(
        self,
        ap: Any = None,
        lat: Any = None,
        *,
        ct: Any = None,
        model: str | None = None,
        device: str = "auto",
        spacingMm: float | None = None,
        preset: str = "cranial-biplanar",
        pixels: int = 128,
    ) -> Any:
        """Reconstruct a synthetic CT and return its volume node; blocks until it is there.

        Args:
            ap: Volume node with the frontal radiograph or DRR.
            lat: Volume node with the lateral one.
            ct: Instead of both: a CT whose DRRs are computed first.
            model: Model name or file; None: the default model.
            device: ``auto``, ``cpu`` or ``cuda``.
            spacingMm: Detector pixel spacing where the images do not state it.
            preset: Geometry of the DRRs of ``ct``.
            pixels: Detector pixels of the DRRs of ``ct``.

        Raises:
            InputError: For nodes or options that cannot be used.
            SetupError: When the machine lacks something.
        """
        options = DrrOptions(preset=preset, pixels=pixels)
        plan = ReconstructionPlan(
            ap, lat, ct, model=model, device=device, spacingMm=spacingMm, options=options
        )
        return self.run(plan).syntheticCt

    def generateDrrs(self, ct: Any, options: DrrOptions | None = None) -> tuple[Any, Any]:
        """Compute the AP and lateral DRR of a CT node and return both nodes; blocks."""
        drrs = self.run(DrrPlan(ct, options))
        return drrs["AP"], drrs["LAT"]

    def compare(self, syntheticCt: Any, groundTruth: Any, window: str = "full") -> CompareResult:
        """Compute metrics and difference of two volume nodes; blocks."""
        return self.run(ComparePlan(syntheticCt, groundTruth, window))

    def loadSampleCt(self) -> Any:
        """Compute the head phantom and return its volume node."""
        return downloadPhantomCt()

    def loadSampleRadiographs(self) -> tuple[Any, Any]:
        """Compute the phantom's AP and lateral DRR and return both nodes."""
        ap, lat = downloadPhantomPair()
        return ap, lat

    def run(self, plan: Plan) -> Any:
        """Run a plan to its end and return its outcome; needs no event loop."""
        ensurePackages(plan.requirements, interactive=False)
        job = BackgroundJob(plan, command=self.workerCommand)
        job.start()
        job.wait()
        self.log = list(job.log)
        if job.error is not None:
            raise job.error
        if job.state is not JobState.DONE:
            raise RuntimeError("The scene was closed while the job ran.")
        return job.result

    def start(
        self, plan: Plan, onChanged: Callable[[BackgroundJob], None] | None = None
    ) -> BackgroundJob:
        """Run a plan in the event loop and return its job at once."""
        from TomoRayLib.JobTimer import JobTimer

        job = BackgroundJob(plan, onChanged, self.workerCommand)
        job.start()
        job.timer = JobTimer(job)
        job.timer.start()
        return job
