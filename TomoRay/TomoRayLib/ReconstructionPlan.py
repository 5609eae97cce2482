"""From two radiographs, or from a CT by way of its DRRs, to a synthetic CT node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from TomoRayCore.checks import check_radiographs
from TomoRayCore.errors import InputError
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.radiograph import Radiograph
from TomoRayLib import MRMLBridge
from TomoRayLib.DrrOptions import DrrOptions
from TomoRayLib.ModelCatalogue import modelFile
from TomoRayLib.Plan import CT_FILE, DRR_FOLDER, Plan, exportCt, importDrrs, requireNode, resultOf
from TomoRayLib.Provenance import NAME_SUFFIX, stampSynthetic
from TomoRayLib.RadiographFile import radiographFile, writeRadiograph
from TomoRayLib.ReconstructionResult import ReconstructionResult
from TomoRayLib.SubjectHierarchy import placeBeside

SCT_FILE = "sct.nrrd"


class ReconstructionPlan(Plan):
    """Reconstructs from ``ap`` and ``lat``; without them, first computes the DRRs of ``ct``."""

    title = "Reconstruction"
    requirements = ("SimpleITK", "scipy", "PIL", "safetensors", "torch")

    def __init__(
        self,
        ap: Any = None,
        lat: Any = None,
        ct: Any = None,
        groundTruth: Any = None,
        model: str | None = None,
        device: str = "auto",
        spacingMm: float | None = None,
        options: DrrOptions | None = None,
    ) -> None:
        self.ap, self.lat, self.ct = ap, lat, ct
        self.groundTruth = groundTruth or ct
        self.model = model or None
        self.device = device
        self.spacingMm = spacingMm or None
        self.options = options or DrrOptions()
        self._radiographs: dict[str, Radiograph] = {}

    @property
    def startsFromCt(self) -> bool:
        """Whether the radiographs are yet to be computed."""
        return self.ap is None and self.lat is None and self.ct is not None

    def inputNodes(self) -> list[Any]:
        nodes = [self.ct] if self.startsFromCt else [self.ap, self.lat]
        return [node for node in nodes if node is not None]

    def check(self) -> list[str]:
        modelFile(self.model)
        if self.startsFromCt:
            MRMLBridge.volumeFromNode(self.ct)
            self.options.check()
            return []
        requireNode(self.ap, "an AP radiograph or a CT volume")
        requireNode(self.lat, "a lateral radiograph")
        self._refuseSameNode()
        self._radiographs = {
            "AP": MRMLBridge.radiographFromNode(self.ap, "AP", self.spacingMm),
            "LAT": MRMLBridge.radiographFromNode(self.lat, "LAT", self.spacingMm),
        }
        check_radiographs(list(self._radiographs.values()))
        for radiograph in self._radiographs.values():
            _requireSpacing(radiograph)
        return self._otherCtWarning()

    def exportSteps(self, folder: Path) -> Iterator[str]:
        if self.startsFromCt:
            yield exportCt(self.ct, folder / CT_FILE)
        for radiograph in self._radiographs.values():
            writeRadiograph(folder / radiographFile(radiograph), radiograph)
            yield f"{radiograph.view} radiograph written"

    def tasks(self) -> list[dict[str, Any]]:
        task = {
            "task": "reconstruct",
            "model": self.model,
            "device": self.device,
            "output": SCT_FILE,
        }
        if self.startsFromCt:
            files = {view: f"{DRR_FOLDER}/{view.lower()}.nrrd" for view in ("AP", "LAT")}
            return [self.options.task(CT_FILE, DRR_FOLDER), {**task, "radiographs": files}]
        radiographs = self._radiographs.values()
        files = {radiograph.view: radiographFile(radiograph) for radiograph in radiographs}
        return [{**task, "radiographs": files, "spacing_mm": _spacingToSpell(radiographs)}]

    def importResults(self, folder: Path, results: list[dict[str, Any]]) -> ReconstructionResult:
        if self.startsFromCt:
            drrs = importDrrs(folder, resultOf(results, "drr"), self.ct)
            source, ap, lat = self.ct, drrs["AP"], drrs["LAT"]
        else:
            source, ap, lat = self.ap, self.ap, self.lat
        result = resultOf(results, "reconstruct")
        volume = read_volume(folder / result["outputs"]["sct"])
        node = MRMLBridge.nodeFromVolume(volume, f"{self._caseName()} {NAME_SUFFIX}")
        inputs = {"AP": ap, "LAT": lat, "CT": self.ct if self.startsFromCt else None}
        stampSynthetic(node, result["data"]["provenance"], inputs)
        placeBeside(node, source)
        return ReconstructionResult(node, ap, lat, self.groundTruth)

    def _caseName(self) -> str:
        """Return what the result is named after: the CT, where one is behind the images."""
        made = self.ct if self.startsFromCt else self.ap.GetNodeReference("TomoRay.CT")
        return (made or self.ap).GetName()

    def _refuseSameNode(self) -> None:
        if self.ap is self.lat:
            raise InputError(
                "IDENTICAL_VIEWS",
                f"{self.ap.GetName()!r} is chosen both as AP and as lateral radiograph.",
                "Choose two different radiographs.",
            )

    def _otherCtWarning(self) -> list[str]:
        made = self.ap.GetNodeReference("TomoRay.CT")
        if self.ct is None or made is None or made is self.ct:
            return []
        return [
            f"The radiographs were computed from {made.GetName()!r}, "
            f"not from the chosen CT {self.ct.GetName()!r}."
        ]


def _spacingToSpell(radiographs: Iterable[Radiograph]) -> float | None:
    """Return a spacing of exactly 1 mm, which in a file counts as unknown, or None."""
    measured = [radiograph for radiograph in radiographs if radiograph.acquisition is None]
    spacings = {radiograph.pixel_spacing_mm for radiograph in measured}
    return 1.0 if spacings == {(1.0, 1.0)} else None


def _requireSpacing(radiograph: Radiograph) -> None:
    if radiograph.acquisition is None and radiograph.pixel_spacing_mm is None:
        raise InputError(
            "SPACING_UNKNOWN",
            f"The detector pixel spacing of the {radiograph.view} radiograph is unknown.",
            "Enter the pixel spacing in mm under Inputs.",
        )
