"""The metrics of a comparison as a table node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import slicer
import vtk

from TomoRayCore.metrics import DEFINITIONS, LABELS
from TomoRayLib.SubjectHierarchy import placeBeside

COLUMNS = ("Metric", "Value", "Definition")
SUMMARY = ("mae_hu", "psnr_db", "ssim")
"""Rows that the panel shows."""


def addMetricsTable(
    metrics: Mapping[str, Any], syntheticCt: Any, groundTruth: Any, window: str
) -> Any:
    """Add a table node with one row a metric.

    Args:
        metrics: As the engine's comparison states them.
        syntheticCt: What was compared.
        groundTruth: With what.
        window: Name of the engine's HU window.
    """
    name = slicer.mrmlScene.GenerateUniqueName(f"{syntheticCt.GetName()} metrics")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    columns = [vtk.vtkStringArray() for _title in COLUMNS]
    for column, title in zip(columns, COLUMNS, strict=True):
        column.SetName(title)
    for row in metricRows(metrics):
        for column, text in zip(columns, row, strict=True):
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


def metricRows(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield label, value and definition of each metric, and how they were computed."""
    infinite = metrics.get("infinite", ())
    for name, definition in DEFINITIONS.items():
        value = metrics.get(name)
        if value is None:
            text = "infinite" if name in infinite else "undefined"
        else:
            text = f"{value:.4g}"
        yield LABELS[name], text, definition
    for view, value in (metrics.get("reprojection_correlation") or {}).items():
        definition = f"correlation of the synthetic CT's own {view} projection with the input"
        yield f"Reprojection {view}", f"{value:.4f}", definition
    low, high = metrics["window_low_hu"], metrics["window_high_hu"]
    yield "Window", f"{metrics['window']} [{low:g}, {high:g}] HU", "HU window of PSNR and SSIM"
    share = f"{100 * metrics['evaluated_share']:.1f} %"
    yield "Evaluated", share, "share of the synthetic CT that the ground truth covers"


def belongsTo(node: Any, syntheticCt: Any, groundTruth: Any, window: str | None = None) -> bool:
    """Say whether a table or difference was computed from these two volumes (in this window)."""
    return (
        node is not None
        and node.GetNodeReference("TomoRay.SyntheticCt") is syntheticCt
        and node.GetNodeReference("TomoRay.GroundTruth") is groundTruth
        and window in (None, node.GetAttribute("TomoRay.Window"))
    )


def summaryOf(table: Any) -> str:
    """Return a metrics table as one line: the main numbers, and their window."""
    texts = {
        table.GetCellText(row, 0): table.GetCellText(row, 1)
        for row in range(table.GetNumberOfRows())
    }
    parts = [f"{LABELS[name]}: {texts.get(LABELS[name], '')}" for name in SUMMARY]
    parts += [f"{name}: {text}" for name, text in texts.items() if name.startswith("Reprojection")]
    return " · ".join(parts) + f" · window: {table.GetAttribute('TomoRay.Window')}"
