"""Synthetic CT minus ground truth, as a volume node."""

from __future__ import annotations

from typing import Any

import numpy as np

from TomoRayCore.resample import inside, resample
from TomoRayCore.volume import Volume
from TomoRayLib import MRMLBridge
from TomoRayLib.SubjectHierarchy import placeBeside


def addDifferenceVolume(syntheticCt: Any, groundTruth: Any) -> Any:
    """Add a node with the signed difference in HU on the synthetic CT's grid.

    Where the ground truth does not reach, the difference is 0.
    """
    sct = MRMLBridge.volumeFromNode(syntheticCt)
    truth = MRMLBridge.volumeFromNode(groundTruth)
    onGrid = resample(truth, sct.grid)
    difference = sct.array_hu.astype(np.float32) - onGrid.array_hu
    difference[~inside(sct.grid, truth.grid)] = 0
    node = MRMLBridge.nodeFromVolume(
        Volume(difference, sct.ijk_to_lps), f"{syntheticCt.GetName()} − {groundTruth.GetName()}"
    )
    node.SetDescription("Synthetic CT minus ground truth in HU. SYNTHETIC, not for diagnosis.")
    node.SetAttribute("TomoRay.Synthetic", "true")
    node.SetNodeReferenceID("TomoRay.SyntheticCt", syntheticCt.GetID())
    node.SetNodeReferenceID("TomoRay.GroundTruth", groundTruth.GetID())
    placeBeside(node, syntheticCt)
    return node
