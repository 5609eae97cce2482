"""From a CT node to its AP and lateral DRR nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from TomoRayLib import MRMLBridge
from TomoRayLib.DrrOptions import DrrOptions
from TomoRayLib.Plan import CT_FILE, DRR_FOLDER, Plan, exportCt, importDrrs, requireNode, resultOf


class DrrPlan(Plan):
    """Computes the DRRs of a CT; its outcome is a dictionary of nodes by view."""

    title = "DRRs"
    requirements = ("SimpleITK", "scipy", "PIL")

    def __init__(self, ct: Any, options: DrrOptions | None = None) -> None:
        self.ct = ct
        self.options = options or DrrOptions()

    def inputNodes(self) -> list[Any]:
        return [self.ct] if self.ct is not None else []

    def check(self) -> list[str]:
        requireNode(self.ct, "a CT volume")
        MRMLBridge.volumeFromNode(self.ct)
        self.options.check()
        return []

    def exportSteps(self, folder: Path) -> Iterator[str]:
        yield exportCt(self.ct, folder / CT_FILE)

    def tasks(self) -> list[dict[str, Any]]:
        return [self.options.task(CT_FILE, DRR_FOLDER)]

    def importResults(self, folder: Path, results: list[dict[str, Any]]) -> dict[str, Any]:
        return importDrrs(folder, resultOf(results, "drr"), self.ct)
