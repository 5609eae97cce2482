"""Everything the panel shows and the scene keeps."""

from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLTableNode
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper

from TomoRayCore.presets import PRESETS
from TomoRayCore.windows import WINDOWS

DEVICES = ["auto", "cpu", "cuda"]
DEFAULT_PRESET = "cranial-biplanar"


@parameterNodeWrapper
class ParameterNode:
    """Inputs, numbers and results of the module, stored in the scene.

    Attributes:
        ctVolume: CT to compute DRRs from.
        apRadiograph: Frontal radiograph or DRR.
        latRadiograph: Lateral radiograph or DRR.
        pixelSpacingMm: Detector pixel spacing where the image does not state it; 0: not given.
        invertRadiograph: Swap black and white on loading.
        preset: Name of the DRR geometry.
        sadMm: Source to isocentre.
        sddMm: Source to detector.
        detectorPixels: Pixels along each edge of the detector.
        model: Model name or model file; empty: the default model.
        device: What computes.
        syntheticCt: The result, synthetic.
        groundTruth: CT to compare with.
        window: Name of the display window.
        showDifference: Whether the compare layout has the difference row.
        differenceVolume: Synthetic CT minus ground truth, HU.
        metricsTable: Metrics of the last comparison.
    """

    ctVolume: vtkMRMLScalarVolumeNode
    apRadiograph: vtkMRMLScalarVolumeNode
    latRadiograph: vtkMRMLScalarVolumeNode
    pixelSpacingMm: Annotated[float, WithinRange(0.0, 20.0)] = 0.0
    invertRadiograph: bool = False
    preset: Annotated[str, Choice(list(PRESETS)), Default(DEFAULT_PRESET)]
    sadMm: Annotated[float, WithinRange(100.0, 10000.0)] = PRESETS[DEFAULT_PRESET].sad_mm
    sddMm: Annotated[float, WithinRange(100.0, 10000.0)] = PRESETS[DEFAULT_PRESET].sdd_mm
    detectorPixels: Annotated[int, WithinRange(32, 1024)] = 128
    model: str = ""
    device: Annotated[str, Choice(DEVICES), Default("auto")]
    syntheticCt: vtkMRMLScalarVolumeNode
    groundTruth: vtkMRMLScalarVolumeNode
    window: Annotated[str, Choice(list(WINDOWS)), Default("full")]
    showDifference: bool = True
    differenceVolume: vtkMRMLScalarVolumeNode
    metricsTable: vtkMRMLTableNode
