"""The Compare section: shows the linked views, and asks for the metrics they lack."""

from __future__ import annotations

from collections.abc import Callable

from slicer.i18n import tr as _

from TomoRayCore.errors import TomoRayError
from TomoRayCore.windows import WINDOWS
from TomoRayLib.CompareLayout import CompareLayout
from TomoRayLib.ComparePlan import ComparePlan
from TomoRayLib.DifferenceVolume import addDifferenceVolume
from TomoRayLib.MetricsTable import belongsTo, summaryOf


class ComparePanel:
    """Drives the compare layout from the parameter node."""

    def __init__(self, ui, logic, startPlan: Callable, status) -> None:
        self._ui, self._logic, self._status = ui, logic, status
        self._startPlan = startPlan
        self._node = None
        self._shown: tuple | None = None
        self.layout = CompareLayout()
        ui.showButton.connect("clicked(bool)", self.onShow)

    def setParameterNode(self, parameterNode) -> None:
        """Use another parameter node, or none."""
        self._node = parameterNode

    def onShow(self) -> None:
        """Show the views and compute what is missing, or return to the previous layout."""
        if self.layout.isShown:
            self.hide()
            return
        try:
            self._ensureDifference()
        except TomoRayError as error:
            self._status.showError(error)
            return
        if not self._show():
            self._status.showInfo(_("There is no main window to show views in."))
        if self._needsMetrics():
            node = self._node
            plan = ComparePlan(node.syntheticCt, node.groundTruth, node.window, self._difference())
            self._startPlan(plan, self._onCompared)

    def hide(self) -> None:
        """Return to the layout that was shown before."""
        self._shown = None
        self.layout.hide()
        self._refreshButton()

    def refresh(self) -> None:
        """Follow the parameter node: texts always, views while they are shown."""
        self._refreshButton()
        self._ui.metricsLabel.text = self._metricsText()
        if self._node is None or not self.layout.isShown or self._shown == self._state():
            return
        try:
            self._ensureDifference()
        except TomoRayError as error:
            self._status.showError(error)
            return
        self._show()

    def _state(self) -> tuple:
        node = self._node
        nodes = (node.syntheticCt, node.groundTruth, self._difference())
        return (*(item.GetID() if item is not None else None for item in nodes), node.window)

    def _show(self) -> bool:
        node = self._node
        if node.syntheticCt is None:
            self.hide()
            return True
        # Before the work: what is shown modifies nodes, which asks for a refresh again.
        self._shown = self._state()
        shown = self.layout.show(
            node.syntheticCt, node.groundTruth, self._difference(), WINDOWS[node.window]
        )
        self._refreshButton()
        return shown

    def _difference(self):
        node = self._node
        wanted = node.showDifference and node.groundTruth is not None
        return node.differenceVolume if wanted and self._hasDifference() else None

    def _hasDifference(self) -> bool:
        node = self._node
        return belongsTo(node.differenceVolume, node.syntheticCt, node.groundTruth)

    def _ensureDifference(self) -> None:
        node = self._node
        wanted = node.showDifference and node.syntheticCt is not None
        if wanted and node.groundTruth is not None and not self._hasDifference():
            node.differenceVolume = addDifferenceVolume(node.syntheticCt, node.groundTruth)

    def _needsMetrics(self) -> bool:
        node = self._node
        if node.syntheticCt is None or node.groundTruth is None:
            return False
        return not belongsTo(node.metricsTable, node.syntheticCt, node.groundTruth, node.window)

    def _onCompared(self, job) -> None:
        self._logic.getParameterNode().metricsTable = job.result.table

    def _metricsText(self) -> str:
        node = self._node
        if node is None or not belongsTo(node.metricsTable, node.syntheticCt, node.groundTruth):
            return ""
        return summaryOf(node.metricsTable)

    def _refreshButton(self) -> None:
        self._ui.showButton.text = (
            _("Return to the previous layout") if self.layout.isShown else _("Show comparison")
        )
