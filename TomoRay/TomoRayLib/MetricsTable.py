"""The metrics of a comparison as a table node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer
import vtk

from TomoRayLib.SubjectHierarchy import placeBeside

COLUMNS = ("Metric", "Value", "Unit")


def addMetricsTable(
    metrics: Mapping[str, Any], syntheticCt: Any, groundTruth: Any, window: str
) -> Any:
    """Add a table node with one row a metric.

    Args:
        metrics: As the engine's comparison states them: numbers and texts by name.
        syntheticCt: What was compared.
        groundTruth: With what.
        window: Name of the engine's HU window.
    """
    name = slicer.mrmlScene.GenerateUniqueName(f"{syntheticCt.GetName()} metrics")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    columns = [vtk.vtkStringArray() for _name in COLUMNS]
    for column, title in zip(columns, COLUMNS, strict=True):
        column.SetName(title)
    for metric, value in metrics.items():
        for column, text in zip(columns, metricRow(metric, value), strict=True):
            column.InsertNextValue(text)
    for column in columns:
        node.AddColumn(column)
    node.SetLocked(True)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetDescription("Synthetic CT against ground truth. SYNTHETIC, not for diagnosis.")
    node.SetAttribute("TomoRay.Synthetic", "true")
    node.SetAttribute("TomoRay.Window", window)
    node.SetNodeReferenceID("TomoRay.SyntheticCt", syntheticCt.GetID())
    node.SetNodeReferenceID("TomoRay.GroundTruth", groundTruth.GetID())
    placeBeside(node, syntheticCt)
    return node


def belongsTo(node: Any, syntheticCt: Any, groundTruth: Any, window: str | None = None) -> bool:
    """Say whether a table or difference was computed from these two volumes (in this window)."""
    return (
        node is not None
        and node.GetNodeReference("TomoRay.SyntheticCt") is syntheticCt
        and node.GetNodeReference("TomoRay.GroundTruth") is groundTruth
        and window in (None, node.GetAttribute("TomoRay.Window"))
    )


def metricRow(name: str, value: Any) -> tuple[str, str, str]:
    """Return name, value and unit of one metric as texts; the unit comes from the name's end."""
    stem, _underscore, ending = name.rpartition("_")
    unit = {"hu": "HU", "db": "dB", "mm": "mm"}.get(ending, "")
    title = (stem if unit else name).replace("_", " ")
    if isinstance(value, float):
        return title, f"{value:.4g}", unit
    if isinstance(value, list | tuple):
        return title, " to ".join(f"{item:g}" for item in value), unit
    return title, str(value), unit


def summaryOf(table: Any) -> str:
    """Return a metrics table as one line: the first numbers with their units."""
    parts = []
    for row in range(table.GetNumberOfRows()):
        name, value, unit = (table.GetCellText(row, column) for column in range(len(COLUMNS)))
        parts.append(f"{name} {value} {unit}".strip())
    return " · ".join(parts)
