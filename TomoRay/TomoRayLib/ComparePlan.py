"""From a synthetic CT and its ground truth to a metrics table and a difference volume."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from TomoRayCore.errors import InputError
from TomoRayCore.radiograph import Radiograph
from TomoRayLib import MRMLBridge
from TomoRayLib.CompareResult import CompareResult
from TomoRayLib.DifferenceVolume import addDifferenceVolume
from TomoRayLib.MetricsTable import addMetricsTable
from TomoRayLib.Plan import CT_FILE, Plan, exportCt, requireNode, resultOf
from TomoRayLib.RadiographFile import radiographFile, writeRadiograph

SCT_FILE = "sct.nrrd"
OUTPUT_FOLDER = "comparison"


class ComparePlan(Plan):
    """Computes the metrics of a synthetic CT against a ground truth."""

    title = "Comparison"
    requirements = ("SimpleITK", "PIL", "skimage")

    def __init__(
        self, syntheticCt: Any, groundTruth: Any, window: str = "full", difference: Any = None
    ) -> None:
        self.syntheticCt, self.groundTruth = syntheticCt, groundTruth
        self.window, self.difference = window, difference
        self._films: list[Radiograph] = []

    def inputNodes(self) -> list[Any]:
        return [node for node in (self.syntheticCt, self.groundTruth) if node is not None]

    def check(self) -> list[str]:
        requireNode(self.syntheticCt, "a synthetic CT")
        requireNode(self.groundTruth, "a ground truth CT")
        if self.syntheticCt is self.groundTruth:
            raise InputError(
                "SAME_VOLUME",
                f"{self.syntheticCt.GetName()!r} would be compared with itself.",
                "Choose the measured CT as ground truth.",
            )
        for node in self.inputNodes():
            MRMLBridge.volumeFromNode(node)
        self._films = self._radiographs()
        return []

    def exportSteps(self, folder: Path) -> Iterator[str]:
        yield exportCt(self.syntheticCt, folder / SCT_FILE)
        yield exportCt(self.groundTruth, folder / CT_FILE)
        for film in self._films:
            writeRadiograph(folder / radiographFile(film), film)
            yield f"{film.view} radiograph written"

    def tasks(self) -> list[dict[str, Any]]:
        return [
            {
                "task": "compare",
                "sct": SCT_FILE,
                "ct": CT_FILE,
                "output_dir": OUTPUT_FOLDER,
                "window": self.window,
                "radiographs": {film.view: radiographFile(film) for film in self._films} or None,
            }
        ]

    def importResults(self, folder: Path, results: list[dict[str, Any]]) -> CompareResult:
        metrics = resultOf(results, "compare")["data"]["metrics"]
        table = addMetricsTable(metrics, self.syntheticCt, self.groundTruth, self.window)
        difference = self.difference or addDifferenceVolume(self.syntheticCt, self.groundTruth)
        return CompareResult(table, difference, metrics)

    def _radiographs(self) -> list[Radiograph]:
        """Return what the synthetic CT was made from, where that is still in the scene.

        With it the engine also compares the synthetic CT's own projections with the inputs.
        """
        films = []
        for view in ("AP", "LAT"):
            node = self.syntheticCt.GetNodeReference(f"TomoRay.{view}")
            try:
                film = MRMLBridge.radiographFromNode(node, view) if node is not None else None
            except InputError:
                # Moved or edited since: then there is nothing to compare the projections with.
                film = None
            if film is not None and film.acquisition is not None:
                films.append(film)
        return films
