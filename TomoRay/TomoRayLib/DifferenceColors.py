"""Colours of the difference row: blue where the synthetic CT is too low, red where too high."""

import numpy as np
import slicer

NAME = "TomoRay difference"
STEPS = 256
LEGEND_FONT_SIZE = 12
LOW, MIDDLE, HIGH = (0.10, 0.25, 0.85), (0.0, 0.0, 0.0), (0.90, 0.20, 0.10)
BRIGHT_LOW, BRIGHT_HIGH = (0.65, 0.90, 1.00), (1.00, 0.95, 0.55)


def differenceColorNode():
    """Return the scene's colour table for differences; create it on first use.

    It is symmetric about the middle, where it is black, so that agreement recedes.
    """
    node = slicer.mrmlScene.GetFirstNodeByName(NAME)
    if node is not None and node.IsA("vtkMRMLColorTableNode"):
        return node
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", NAME)
    node.SetTypeToUser()
    node.SetNumberOfColors(STEPS)
    positions = np.linspace(0, 1, STEPS)
    stops = np.array([BRIGHT_LOW, LOW, MIDDLE, HIGH, BRIGHT_HIGH])
    channels = [np.interp(positions, [0, 0.25, 0.5, 0.75, 1], stops[:, c]) for c in range(3)]
    for index, (red, green, blue) in enumerate(zip(*channels, strict=True)):
        name = f"{200 * positions[index] - 100:+.0f} %"
        node.SetColor(index, name, float(red), float(green), float(blue), 1.0)
    node.SetHideFromEditors(True)
    return node


def showDifferenceLegend(volume, viewName: str) -> None:
    """Give a difference volume a colour legend in one of the slice views."""
    legend = _legendOf(volume)
    if legend is None:
        legend = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorLegendDisplayNode")
        volume.AddAndObserveDisplayNodeID(legend.GetID())
    view = slicer.mrmlScene.GetSingletonNode(viewName, "vtkMRMLSliceNode")
    with slicer.util.NodeModify(legend):
        legend.SetAndObserveColorNodeID(differenceColorNode().GetID())
        # The view's title says the unit.
        legend.SetTitleText("")
        legend.SetLabelFormat("%.0f")
        legend.SetNumberOfLabels(5)
        legend.GetLabelTextProperty().SetFontSize(LEGEND_FONT_SIZE)
        legend.SetSize(0.12, 0.34)
        legend.SetPosition(0.97, 0.08)
        legend.SetViewNodeIDs([view.GetID()] if view is not None else [])
        legend.SetVisibility(True)


def _legendOf(volume):
    for index in range(volume.GetNumberOfDisplayNodes()):
        display = volume.GetNthDisplayNode(index)
        if display is not None and display.IsA("vtkMRMLColorLegendDisplayNode"):
            return display
    return None
