"""The panel: binds widgets to the parameter node, starts jobs, and shows what they bring."""

from __future__ import annotations

import logging
from pathlib import Path

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from TomoRayCore.errors import TomoRayError
from TomoRayCore.presets import PRESETS
from TomoRayLib.ComparePanel import ComparePanel
from TomoRayLib.DrrOptions import DrrOptions
from TomoRayLib.DrrPlan import DrrPlan
from TomoRayLib.JobState import JobState
from TomoRayLib.JobView import JobView, durationText
from TomoRayLib.ModelSelector import ModelSelector
from TomoRayLib.PythonDependencies import ensurePackages
from TomoRayLib.RadiographPreview import RadiographPreview
from TomoRayLib.ReconstructionLogic import ReconstructionLogic
from TomoRayLib.ReconstructionPlan import ReconstructionPlan
from TomoRayLib.Reload import forgetPackages
from TomoRayLib.StatusLine import StatusLine


class ModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The module's panel.

    Attributes:
        logic: Does the work.
        job: The job that runs or ran last, or None.
        status: The line on top of the panel.
        comparePanel: The Compare section.
    """

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = self.job = self.status = self.comparePanel = None
        self._panel = self._parameterNode = self._guiTag = None
        self._onDone = self._nextStep = None

    # Life of the panel

    def setup(self) -> None:
        """Build the panel; needs no main window, no torch and no network."""
        ScriptedLoadableModuleWidget.setup(self)
        self._panel = slicer.util.loadUI(self.resourcePath("UI/TomoRay.ui"))
        self.layout.addWidget(self._panel)
        self.ui = slicer.util.childWidgetVariables(self._panel)
        self._panel.setMRMLScene(slicer.mrmlScene)
        self.logic = ReconstructionLogic()
        self.status = StatusLine(self.ui.statusLabel, self.ui.statusIcon)
        self._jobView = JobView(self.ui)
        self._models = ModelSelector(self.ui.modelComboBox, self._onModelChosen)
        self._previews = {
            "apRadiograph": RadiographPreview(self.ui.apPreview, _("AP")),
            "latRadiograph": RadiographPreview(self.ui.latPreview, _("LAT")),
        }
        self.comparePanel = ComparePanel(self.ui, self.logic, self.startPlan, self.status)
        self._showIdleJob()
        self._connect()
        self.initializeParameterNode()

    def enter(self) -> None:
        """Called when the user opens the module."""
        self._models.refresh()
        self.initializeParameterNode()

    def exit(self) -> None:
        """Called when the user leaves the module; a running job goes on."""
        self.comparePanel.hide()
        self.setParameterNode(None)

    def cleanup(self) -> None:
        """Called when the application closes and before a reload."""
        if self.job is not None:
            self.job.cancel()
        if self.comparePanel is not None:
            self.comparePanel.hide()
        self.setParameterNode(None)
        self.removeObservers()
        if self._panel is not None:
            # After a reload the old selectors live on, and would follow the scene for nothing.
            self._panel.setMRMLScene(None)

    def onReload(self) -> None:
        """Read all of the module again from disk, not only its first file."""
        if self.job is not None:
            self.job.cancel()
        forgetPackages()
        super().onReload()

    def _connect(self) -> None:
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneChanged)
        self.addObserver(scene, scene.EndImportEvent, self._onSceneChanged)
        ui = self.ui
        ui.sampleCtButton.connect("clicked(bool)", self.onSampleCt)
        ui.samplePairButton.connect("clicked(bool)", self.onSamplePair)
        ui.loadApButton.connect("clicked(bool)", self.onLoadAp)
        ui.loadLatButton.connect("clicked(bool)", self.onLoadLat)
        ui.presetComboBox.connect("activated(int)", self.onPresetChosen)
        ui.generateButton.connect("clicked(bool)", self.onGenerate)
        ui.modelFileButton.connect("clicked(bool)", self.onModelFile)
        ui.applyButton.connect("clicked(bool)", self.onApply)

    # Parameter node

    def initializeParameterNode(self) -> None:
        """Bind the panel to the scene's parameters."""
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode) -> None:
        """Bind the panel to a parameter node, or to none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(
                self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersModified
            )
        self._parameterNode = parameterNode
        self.comparePanel.setParameterNode(parameterNode)
        if parameterNode is None:
            return
        self._guiTag = parameterNode.connectGui(self.ui)
        self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
        self._onParametersModified()

    def _onSceneStartClose(self, _caller, _event) -> None:
        self.comparePanel.hide()
        self.setParameterNode(None)

    def _onSceneChanged(self, _caller, _event) -> None:
        if self.parent.isEntered:
            self.initializeParameterNode()

    def _onParametersModified(self, _caller=None, _event=None) -> None:
        node = self._parameterNode
        if node is None:
            return
        for name, preview in self._previews.items():
            preview.show(getattr(node, name))
        self._models.select(node.model)
        self.comparePanel.refresh()
        self._refreshButtons()

    # Inputs

    def onSampleCt(self) -> None:
        """Compute the phantom and choose it as CT."""
        from TomoRayLib.SampleData import downloadPhantomCt

        ct = self._attempt(downloadPhantomCt, wait=True)
        if ct is not None:
            self._parameterNode.ctVolume = ct
            self._showInSliceViews(ct)

    def onSamplePair(self) -> None:
        """Compute the phantom's DRRs and choose them as radiographs."""
        from TomoRayLib.SampleData import downloadPhantomPair

        pair = self._attempt(downloadPhantomPair, wait=True)
        if pair is not None:
            self._parameterNode.apRadiograph, self._parameterNode.latRadiograph = pair

    def onLoadAp(self) -> None:
        """Ask for a file with the frontal radiograph and load it."""
        self._askAndLoad("AP")

    def onLoadLat(self) -> None:
        """Ask for a file with the lateral radiograph and load it."""
        self._askAndLoad("LAT")

    def loadRadiograph(self, view: str, path: str | Path) -> None:
        """Load a radiograph and choose it; what is wrong with it appears on the status line."""
        from TomoRayLib.RadiographLoader import loadRadiograph

        node = self._parameterNode
        radiograph = self._attempt(
            lambda: loadRadiograph(path, view, node.pixelSpacingMm, node.invertRadiograph)
        )
        if radiograph is not None:
            setattr(node, "apRadiograph" if view == "AP" else "latRadiograph", radiograph)

    def _askAndLoad(self, view: str) -> None:
        from TomoRayLib.RadiographLoader import FILE_FILTER

        path = self._askForFile(_("Load radiograph"), FILE_FILTER)
        if path:
            self.loadRadiograph(view, path)

    def _askForFile(self, title: str, fileFilter: str) -> str:
        answer = qt.QFileDialog.getOpenFileName(None, title, "", fileFilter)
        # One binding of Qt returns the path alone, another the filter as well.
        return answer[0] if isinstance(answer, tuple) else answer

    # Model

    def onModelFile(self) -> None:
        """Ask for a model file and choose it."""
        path = self._askForFile(_("Model file"), "TomoRay models (*.safetensors)")
        if path:
            self._parameterNode.model = path

    def _onModelChosen(self, model: str) -> None:
        if self._parameterNode is not None and self._parameterNode.model != model:
            self._parameterNode.model = model

    # DRRs

    def onPresetChosen(self) -> None:
        """Fill in the preset's distances; they stay editable."""
        preset = PRESETS[self._parameterNode.preset]
        self._parameterNode.sadMm = preset.sad_mm
        self._parameterNode.sddMm = preset.sdd_mm

    def onGenerate(self) -> None:
        """Compute the DRRs of the chosen CT."""
        node = self._parameterNode
        plan = DrrPlan(node.ctVolume, self._drrOptions())
        self.startPlan(plan, self._onDrrs, _("Press Apply to compute a synthetic CT from them."))

    def _drrOptions(self) -> DrrOptions:
        node = self._parameterNode
        return DrrOptions(node.preset, node.sadMm, node.sddMm, node.detectorPixels)

    def _onDrrs(self, job) -> None:
        node = self.logic.getParameterNode()
        node.apRadiograph, node.latRadiograph = job.result["AP"], job.result["LAT"]
        node.groundTruth = node.groundTruth or job.plan.ct

    # Reconstruction

    def onApply(self) -> None:
        """Start the reconstruction, or cancel the job that runs."""
        if self.job is not None and self.job.isRunning:
            self.job.cancel()
            return
        node = self._parameterNode
        plan = ReconstructionPlan(
            ap=node.apRadiograph,
            lat=node.latRadiograph,
            ct=node.ctVolume,
            groundTruth=node.groundTruth,
            model=node.model,
            device=node.device,
            spacingMm=node.pixelSpacingMm,
            options=self._drrOptions(),
        )
        self.startPlan(plan, self._onReconstruction, _("Press Show comparison to look at it."))

    def _onReconstruction(self, job) -> None:
        node = self.logic.getParameterNode()
        node.syntheticCt = job.result.syntheticCt
        if job.result.groundTruth is not None:
            node.groundTruth = job.result.groundTruth
        self._showInSliceViews(job.result.syntheticCt)

    def _showInSliceViews(self, volume) -> None:
        # It would fill all rows of the compare layout with one volume.
        if not self.comparePanel.layout.isShown:
            slicer.util.setSliceViewerLayers(background=volume, fit=True)

    # Jobs

    def startPlan(self, plan, onDone, nextStep: str = "") -> None:
        """Run a plan as the panel's job; ``onDone`` gets the job when it has succeeded."""
        if self.job is not None and self.job.isRunning:
            return
        self._onDone, self._nextStep = onDone, nextStep
        if self._attempt(lambda: self._ensurePackages(plan)) is None:
            return
        self.status.showInfo(_("{title} is running.").format(title=plan.title))
        self.job = self.logic.start(plan, self._onJobChanged)
        self._onJobChanged(self.job)

    def _ensurePackages(self, plan) -> bool:
        ensurePackages(plan.requirements, interactive=True)
        return True

    def _onJobChanged(self, job) -> None:
        self.job = job
        self._jobView.render(job)
        self._refreshButtons()
        if job.state is JobState.DONE:
            text = _("{title}: done in {time}.").format(
                title=job.plan.title, time=durationText(job.seconds)
            )
            self.status.showWarnings(f"{text} {self._nextStep}".strip(), job.warnings)
            self._onDone(job)
        elif job.state is JobState.FAILED:
            self.status.showError(job.error)
        elif job.state is JobState.CANCELLED:
            self.status.showInfo(_("{title}: cancelled.").format(title=job.plan.title))

    def _showIdleJob(self) -> None:
        self.ui.progressBar.value = 0
        self.ui.stageLabel.text = ""
        self.status.showInfo(_("Choose a CT, or an AP and a lateral radiograph, or load a sample."))

    # Buttons

    def _refreshButtons(self) -> None:
        """Enable what can be pressed, and say in the tooltips what is missing."""
        ui, node = self.ui, self._parameterNode
        running = self.job is not None and self.job.isRunning
        ui.applyButton.text = _("Cancel") if running else _("Apply")
        if node is None:
            ui.applyButton.enabled = running
            return
        missing = self._missingForApply()
        ui.applyButton.enabled = running or not missing
        ui.applyButton.toolTip = self._applyToolTip(running, missing)
        ui.generateButton.enabled = not running and node.ctVolume is not None
        ui.generateButton.toolTip = (
            _("Compute AP and lateral DRRs of the CT and choose them as radiographs.")
            if node.ctVolume is not None
            else _("Choose a CT volume under Inputs first.")
        )
        canShow = node.syntheticCt is not None and not running
        ui.showButton.enabled = canShow or self.comparePanel.layout.isShown

    def _missingForApply(self) -> str:
        node = self._parameterNode
        ap, lat = node.apRadiograph, node.latRadiograph
        if ap is None and lat is None:
            missing = _("Choose a CT, or an AP and a lateral radiograph.")
            return "" if node.ctVolume is not None else missing
        if ap is None:
            return _("Choose an AP radiograph, too.")
        return "" if lat is not None else _("Choose a lateral radiograph, too.")

    def _applyToolTip(self, running: bool, missing: str) -> str:
        node = self._parameterNode
        if running:
            return _("Stop the running job; nothing of it stays behind.")
        if missing:
            return missing
        if node.apRadiograph is None:
            text = _("Compute DRRs of {ct}, then a synthetic CT from them.")
            return text.format(ct=node.ctVolume.GetName())
        text = _("Compute a synthetic CT from {ap} and {lat}.")
        return text.format(ap=node.apRadiograph.GetName(), lat=node.latRadiograph.GetName())

    def _attempt(self, action, wait: bool = False):
        """Run an action; a problem appears on the status line and gives None."""
        try:
            if not wait:
                return action()
            with slicer.util.WaitCursor():
                return action()
        except TomoRayError as error:
            logging.info("TomoRay: %s", error)
            self.status.showError(error)
            return None
