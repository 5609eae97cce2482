"""TomoRay, a module of 3D Slicer: two radiographs in, a synthetic CT out."""

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from TomoRayLib import ModuleTest
from TomoRayLib.ModuleTexts import acknowledgementText, helpText
from TomoRayLib.ModuleWidget import ModuleWidget
from TomoRayLib.ReconstructionLogic import ReconstructionLogic
from TomoRayLib.SampleData import registerSampleData


class TomoRay(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("TomoRay")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Tomographic Reconstruction")]
        parent.dependencies = []
        parent.contributors = ["TomoRay developers"]
        parent.helpText = helpText()
        parent.acknowledgementText = acknowledgementText()
        slicer.app.connect("startupCompleted()", registerSampleData)


class TomoRayWidget(ModuleWidget):
    """The panel."""


class TomoRayLogic(ReconstructionLogic):
    """The functions, for scripts: ``TomoRayLogic().reconstruct(ap, lat)``."""


class TomoRayTest(ModuleTest.ModuleTest):
    """The self test."""
