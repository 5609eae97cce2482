"""Sample data that the engine computes: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

import slicer

from TomoRayLib import MRMLBridge

CATEGORY = "TomoRay"
CT_SAMPLE = "TomoRayPhantomCT"
PAIR_SAMPLE = "TomoRayPhantomRadiographs"
SEED = 2024
"""The same head as the demo of the command line; the default model has not seen it."""
SIZE, SPACING_MM = 128, 2.0
ICONS = Path(__file__).resolve().parents[1] / "Resources/Icons"


def registerSampleData() -> None:
    """Tell the Sample Data module about our data sets."""
    import SampleData

    for name, download in ((CT_SAMPLE, downloadPhantomCt), (PAIR_SAMPLE, downloadPhantomPair)):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=name,
            # Nothing to download; None instead of empty lists is an error.
            uris=[],
            fileNames=[],
            nodeNames=[],
            customDownloader=download,
            thumbnailFileName=str(ICONS / f"{name}.png"),
        )


def downloadPhantomCt(_source=None):
    """Compute the head phantom and return its volume node."""
    from TomoRayCore.phantom import make_phantom

    volume = make_phantom(seed=SEED, size=SIZE, spacing_mm=SPACING_MM).ct
    node = MRMLBridge.nodeFromVolume(volume, "Phantom head CT")
    node.SetDescription("Procedural head phantom, computed by TomoRay; no patient.")
    _showWindow(node, 0.0, 2000.0)
    return node


def downloadPhantomPair(_source=None):
    """Compute the AP and lateral DRR of the head phantom and return both nodes."""
    from TomoRayCore.drr import project
    from TomoRayCore.head import locate_head
    from TomoRayCore.phantom import make_phantom
    from TomoRayCore.presets import from_preset
    from TomoRayCore.radiograph import Radiograph

    volume = make_phantom(seed=SEED, size=SIZE, spacing_mm=SPACING_MM).ct
    acquisition = from_preset(isocentre_lps=locate_head(volume).isocentre_lps)
    nodes = []
    images = project(volume, acquisition)
    for view, pixels in zip(acquisition.views, images, strict=True):
        radiograph = Radiograph(
            pixels, view.label, view.pixel_spacing_mm, "line_integral", {}, acquisition
        )
        node = MRMLBridge.nodeFromRadiograph(radiograph, f"{view.label} DRR phantom")
        node.SetDescription(f"DRR ({view.label}) of TomoRay's procedural head phantom.")
        nodes.append(node)
    return nodes


def _showWindow(node, level: float, width: float) -> None:
    display = node.GetDisplayNode()
    with slicer.util.NodeModify(display):
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(width, level)
