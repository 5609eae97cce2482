"""Texts on one slice view: what it shows, the synthetic notice, and orientation letters."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

FONT_SIZE, NOTICE_FONT_SIZE = 14, 11
MARGIN = 0.02
_POSITIVE, _NEGATIVE = "RAS", "LPI"
# The letters stand beside the crosshair's lines, the notice above the lowest letter.
_EDGES = {
    "left": (MARGIN, 0.51, "Left", "Bottom"),
    "right": (1 - MARGIN, 0.51, "Right", "Bottom"),
    "top": (0.51, 1 - MARGIN, "Left", "Top"),
    "bottom": (0.51, MARGIN, "Left", "Bottom"),
}
_CORNERS = {
    "title": (MARGIN, 1 - MARGIN, "Left", "Top"),
    "notice": (MARGIN, 3.5 * MARGIN, "Left", "Bottom"),
}


class ViewAnnotation:
    """Draws with text actors of its own: the corner annotation belongs to the application."""

    def __init__(self, sliceWidget) -> None:
        self._widget = sliceWidget
        self._node = sliceWidget.mrmlSliceNode()
        self._actors = {name: _actor(*place) for name, place in {**_EDGES, **_CORNERS}.items()}
        self._actors["notice"].GetTextProperty().SetColor(1.0, 0.78, 0.25)
        self._actors["notice"].GetTextProperty().SetFontSize(NOTICE_FONT_SIZE)
        for actor in self._actors.values():
            self._renderer().AddViewProp(actor)
        self._tag = self._node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onSliceModified)
        self._onSliceModified()

    def setTexts(self, title: str, notice: str = "") -> None:
        """Set the upper-left title and the lower-left notice."""
        self._actors["title"].SetInput(title)
        self._actors["notice"].SetInput(notice)
        self._widget.sliceView().scheduleRender()

    def texts(self) -> dict[str, str]:
        """Return all texts by place: title, notice, left, right, top, bottom."""
        return {name: actor.GetInput() or "" for name, actor in self._actors.items()}

    def remove(self) -> None:
        """Take everything off the view again."""
        self._node.RemoveObserver(self._tag)
        for actor in self._actors.values():
            self._renderer().RemoveViewProp(actor)
        self._widget.sliceView().scheduleRender()

    def _renderer(self):
        return self._widget.sliceView().renderWindow().GetRenderers().GetFirstRenderer()

    def _onSliceModified(self, _caller=None, _event=None) -> None:
        xyToRas = slicer.util.arrayFromVTKMatrix(self._node.GetSliceToRAS())[:3, :3]
        self._actors["right"].SetInput(_letter(xyToRas[:, 0]))
        self._actors["left"].SetInput(_letter(-xyToRas[:, 0]))
        self._actors["top"].SetInput(_letter(xyToRas[:, 1]))
        self._actors["bottom"].SetInput(_letter(-xyToRas[:, 1]))


def _letter(directionRas: np.ndarray) -> str:
    """Return the patient direction that a RAS vector points to most: R, L, A, P, S or I."""
    axis = int(np.argmax(np.abs(directionRas)))
    return (_POSITIVE if directionRas[axis] > 0 else _NEGATIVE)[axis]


def _actor(x: float, y: float, horizontal: str, vertical: str):
    actor = vtk.vtkTextActor()
    actor.SetInput("")
    actor.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
    actor.SetPosition(x, y)
    text = actor.GetTextProperty()
    text.SetFontSize(FONT_SIZE)
    text.SetColor(1.0, 1.0, 1.0)
    text.ShadowOn()
    getattr(text, f"SetJustificationTo{horizontal}")()
    getattr(text, f"SetVerticalJustificationTo{vertical}")()
    return actor
