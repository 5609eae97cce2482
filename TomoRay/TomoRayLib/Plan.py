"""What a background job does, and what the plans have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from TomoRayCore.errors import InputError
from TomoRayCore.io.radiograph_io import read_radiograph
from TomoRayCore.io.volume_io import write_volume
from TomoRayLib import MRMLBridge
from TomoRayLib.SubjectHierarchy import placeBeside

CT_FILE = "ct.nrrd"
DRR_FOLDER = "drr"


class Plan(ABC):
    """Base of the plans: checks nodes, writes files, states tasks, imports results."""

    title = ""
    requirements: tuple[str, ...] = ()
    """Python packages that the worker imports for it, by import name."""

    @abstractmethod
    def inputNodes(self) -> list[Any]:
        """Return the nodes that must stay in the scene while the job runs."""

    @abstractmethod
    def check(self) -> list[str]:
        """Return warnings; refuse what cannot work, before anything is written.

        Raises:
            InputError: For nodes or options that cannot be used.
            SetupError: When the machine lacks something.
        """

    @abstractmethod
    def exportSteps(self, folder: Path) -> Iterator[str]:
        """Write the inputs, one file a step; yield what was written."""

    @abstractmethod
    def tasks(self) -> list[dict[str, Any]]:
        """Return the worker's tasks; paths are relative to the job's folder."""

    @abstractmethod
    def importResults(self, folder: Path, results: list[dict[str, Any]]) -> Any:
        """Add the results to the scene and return what the caller gets."""


def requireNode(node: Any, what: str) -> None:
    """Refuse a missing input.

    Raises:
        InputError: ``INPUT_MISSING``.
    """
    if node is None:
        raise InputError("INPUT_MISSING", f"{what} is missing.", f"Choose {what} under Inputs.")


def exportCt(node: Any, path: Path) -> str:
    """Write a CT node where the worker finds it, and return a line for the log."""
    write_volume(MRMLBridge.volumeFromNode(node), path)
    return f"{node.GetName()} written"


def resultOf(results: list[dict[str, Any]], task: str) -> Mapping[str, Any]:
    """Return a task's result event.

    Raises:
        InputError: ``WORKER_SILENT`` when the worker reported none.
    """
    for result in results:
        if result.get("task") == task:
            return result
    raise InputError(
        "WORKER_SILENT",
        f"The worker ended well but reported no result of the task {task!r}.",
        "Install the module anew: its parts do not belong together.",
    )


def importDrrs(folder: Path, result: Mapping[str, Any], ctNode: Any) -> dict[str, Any]:
    """Add the DRRs of a ``drr`` task to the scene, each at its detector's pose.

    Returns:
        Volume nodes by view.
    """
    nodes = {}
    for view in ("AP", "LAT"):
        radiograph = read_radiograph(folder / result["outputs"][view], view)
        node = MRMLBridge.nodeFromRadiograph(radiograph, f"{view} DRR {ctNode.GetName()}")
        node.SetDescription(f"DRR ({view}) computed by TomoRay from {ctNode.GetName()}.")
        node.SetNodeReferenceID("TomoRay.CT", ctNode.GetID())
        placeBeside(node, ctNode)
        nodes[view] = node
    return nodes
