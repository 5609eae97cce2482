"""The compare layout: synthetic CT over ground truth over their difference, all linked.

Rows are volumes, columns are axial, coronal, sagittal. The views form a view group of their own,
so that linking them leaves the application's other views alone.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from TomoRayCore.windows import Window
from TomoRayLib.DifferenceColors import differenceColorNode, showDifferenceLegend
from TomoRayLib.DisplayWindows import differenceLimit
from TomoRayLib.ViewAnnotation import ViewAnnotation

FIRST_LAYOUT = 7460
"""Layout numbers above 100 are free; this one has one row, the next two, the next three."""
VIEW_GROUP = 74
ORIENTATIONS = {"Axial": "#F34A33", "Coronal": "#6EB04B", "Sagittal": "#EDD54C"}
ROWS = ("SyntheticCt", "GroundTruth", "Difference")
_SHORT_ROW = {"SyntheticCt": "sCT", "GroundTruth": "CT", "Difference": "Diff"}


def viewName(row: str, orientation: str) -> str:
    """Return the singleton tag of one view."""
    return f"TomoRay{row}{orientation}"


class CompareLayout(VTKObservationMixin):
    """Shows and removes the compare views; keeps their grey window the same in both rows."""

    def __init__(self) -> None:
        VTKObservationMixin.__init__(self)
        self._previousLayout: int | None = None
        self._previousCrosshair: tuple[int, int] | None = None
        self._annotations: dict[str, ViewAnnotation] = {}
        self._volumes: dict[str, object] = {}
        self._isSyncing = False

    @property
    def isShown(self) -> bool:
        """Whether the compare views are on the screen."""
        manager = slicer.app.layoutManager()
        return manager is not None and manager.layout in _layouts()

    @property
    def annotations(self) -> dict[str, ViewAnnotation]:
        """The texts on the views, by view name."""
        return dict(self._annotations)

    def show(self, syntheticCt, groundTruth, difference, window: Window) -> bool:
        """Show the volumes; what is None has no row.

        Args:
            syntheticCt: Volume node of the first row.
            groundTruth: Volume node of the second row, or None.
            difference: Volume node of the third row, or None; needs a ground truth.
            window: Grey window of the first two rows, colour range of the third.

        Returns:
            False when there are no views, as without a main window.
        """
        manager = slicer.app.layoutManager()
        if manager is None:
            return False
        self._release()
        if not self.isShown:
            self._previousLayout = manager.layout
        volumes = zip(ROWS, (syntheticCt, groundTruth, difference), strict=True)
        self._volumes = {row: volume for row, volume in volumes if volume is not None}
        _registerLayouts(manager.layoutLogic().GetLayoutNode())
        manager.setLayout(FIRST_LAYOUT + len(self._volumes) - 1)
        # New views have no size before this, and fitting needs it.
        slicer.app.processEvents()
        self._fillViews(manager)
        self._annotate(manager, window)
        self._showCrosshair(syntheticCt)
        self.setWindow(window)
        self._keepWindowsEqual()
        return True

    def hide(self) -> None:
        """Return to the layout that was shown before."""
        self._release()
        manager = slicer.app.layoutManager()
        if self._previousLayout is not None and manager is not None and self.isShown:
            manager.setLayout(self._previousLayout)
        self._previousLayout = None

    def setWindow(self, window: Window) -> None:
        """Give both grey rows one window and the difference row its symmetric colours."""
        for row in ("SyntheticCt", "GroundTruth"):
            if row in self._volumes:
                _setWindow(self._volumes[row].GetDisplayNode(), window.width_hu, window.level_hu)
        if "Difference" in self._volumes:
            display = self._volumes["Difference"].GetDisplayNode()
            display.SetAndObserveColorNodeID(differenceColorNode().GetID())
            display.SetInterpolate(True)
            _setWindow(display, 2 * differenceLimit(window), 0.0)
            self._titleDifference(window)
            showDifferenceLegend(self._volumes["Difference"], viewName("Difference", "Sagittal"))

    def _fillViews(self, manager) -> None:
        for row, volume in self._volumes.items():
            for orientation in ORIENTATIONS:
                widget = manager.sliceWidget(viewName(row, orientation))
                composite = widget.mrmlSliceCompositeNode()
                # Linked only once all are filled: a linked view would pass its volume on.
                composite.SetLinkedControl(False)
                composite.SetBackgroundVolumeID(volume.GetID())
                composite.SetForegroundVolumeID(None)
                composite.SetLabelVolumeID(None)
                widget.mrmlSliceNode().SetOrientation(orientation)
        for orientation in ORIENTATIONS:
            self._alignColumn(manager, orientation)
        for row in self._volumes:
            for orientation in ORIENTATIONS:
                composite = manager.sliceWidget(viewName(row, orientation)).mrmlSliceCompositeNode()
                composite.SetLinkedControl(True)
                composite.SetHotLinkedControl(True)

    def _alignColumn(self, manager, orientation: str) -> None:
        """Fit the first row to its volume and give the rows below the same field of view."""
        top, *below = self._volumes
        first = manager.sliceWidget(viewName(top, orientation))
        first.sliceLogic().FitSliceToBackground()
        source = first.mrmlSliceNode()
        _centreOn(source, self._volumes[top])
        for row in below:
            target = manager.sliceWidget(viewName(row, orientation)).mrmlSliceNode()
            target.GetSliceToRAS().DeepCopy(source.GetSliceToRAS())
            _copyFieldOfView(source, target)
            target.UpdateMatrices()

    def _annotate(self, manager, window: Window) -> None:
        notice = _("SYNTHETIC - not for diagnosis")
        for row in self._volumes:
            for orientation in ORIENTATIONS:
                name = viewName(row, orientation)
                annotation = ViewAnnotation(manager.sliceWidget(name))
                title = _("Ground truth") if row == "GroundTruth" else _("Synthetic CT")
                annotation.setTexts(title, "" if row == "GroundTruth" else notice)
                self._annotations[name] = annotation

    def _titleDifference(self, window: Window) -> None:
        title = _("sCT − truth\n±{limit:g} HU").format(limit=differenceLimit(window))
        for orientation in ORIENTATIONS:
            annotation = self._annotations[viewName("Difference", orientation)]
            annotation.setTexts(title, annotation.texts()["notice"])

    def _showCrosshair(self, volume) -> None:
        crosshair = _crosshairNode()
        if crosshair is None:
            return
        if self._previousCrosshair is None:
            self._previousCrosshair = (
                crosshair.GetCrosshairMode(),
                crosshair.GetCrosshairBehavior(),
            )
        crosshair.SetCrosshairMode(crosshair.ShowBasic)
        crosshair.SetCrosshairBehavior(crosshair.OffsetJumpSlice)
        crosshair.SetCrosshairRAS(*_centreRas(volume))

    def _keepWindowsEqual(self) -> None:
        for row in ("SyntheticCt", "GroundTruth"):
            if row in self._volumes:
                display = self._volumes[row].GetDisplayNode()
                self.addObserver(display, vtk.vtkCommand.ModifiedEvent, self._onDisplayModified)

    def _onDisplayModified(self, caller, _event) -> None:
        if self._isSyncing:
            return
        self._isSyncing = True
        try:
            for row in ("SyntheticCt", "GroundTruth"):
                display = self._volumes[row].GetDisplayNode() if row in self._volumes else None
                if display is not None and display is not caller:
                    _setWindow(display, caller.GetWindow(), caller.GetLevel())
        finally:
            self._isSyncing = False

    def _release(self) -> None:
        self.removeObservers()
        for annotation in self._annotations.values():
            annotation.remove()
        self._annotations, self._volumes = {}, {}
        crosshair = _crosshairNode()
        if self._previousCrosshair is not None and crosshair is not None:
            mode, behavior = self._previousCrosshair
            crosshair.SetCrosshairMode(mode)
            crosshair.SetCrosshairBehavior(behavior)
        self._previousCrosshair = None


def _layouts() -> dict[int, tuple[str, ...]]:
    """Return the rows of each layout, by layout number."""
    return {FIRST_LAYOUT + count: ROWS[: count + 1] for count in range(len(ROWS))}


def _registerLayouts(layoutNode) -> None:
    for number, rows in _layouts().items():
        if layoutNode.IsLayoutDescription(number):
            layoutNode.SetLayoutDescription(number, _layoutXml(rows))
        else:
            layoutNode.AddLayoutDescription(number, _layoutXml(rows))


def _layoutXml(rows: tuple[str, ...]) -> str:
    rowTexts = [
        '<layout type="horizontal">'
        + "".join(f"<item>{_viewXml(row, orientation)}</item>" for orientation in ORIENTATIONS)
        + "</layout>"
        for row in rows
    ]
    return '<layout type="vertical">' + "".join(f"<item>{t}</item>" for t in rowTexts) + "</layout>"


def _viewXml(row: str, orientation: str) -> str:
    properties = {
        "orientation": orientation,
        "viewlabel": f"{_SHORT_ROW[row]} {orientation[0]}",
        "viewcolor": ORIENTATIONS[orientation],
        "viewgroup": str(VIEW_GROUP),
    }
    inner = "".join(
        f'<property name="{name}" action="default">{escape(value)}</property>'
        for name, value in properties.items()
    )
    tag = viewName(row, orientation)
    return f'<view class="vtkMRMLSliceNode" singletontag="{tag}">{inner}</view>'


def _setWindow(display, width: float, level: float) -> None:
    if display is None or (display.GetWindow(), display.GetLevel()) == (width, level):
        return
    with slicer.util.NodeModify(display):
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(float(width), float(level))


def _centreRas(volume) -> list[float]:
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    return [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]


def _centreOn(sliceNode, volume) -> None:
    """Put the slice through the volume's centre, centred in the view."""
    sliceToRas = sliceNode.GetSliceToRAS()
    for axis, value in enumerate(_centreRas(volume)):
        sliceToRas.SetElement(axis, 3, value)
    sliceNode.UpdateMatrices()


def _copyFieldOfView(source, target) -> None:
    """Same millimetres per pixel, whatever the views' sizes are."""
    mmPerPixel = source.GetFieldOfView()[0] / max(source.GetDimensions()[0], 1)
    width, height, _depth = target.GetDimensions()
    target.SetFieldOfView(width * mmPerPixel, height * mmPerPixel, source.GetFieldOfView()[2])


def _crosshairNode():
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
