"""What the module says about itself in the application's help panel."""

from slicer.i18n import tr as _

HOMEPAGE = "https://github.com/TomoRay/SlicerTomoRay"


def helpText() -> str:
    """Return the help panel's text."""
    return (
        _(
            "Computes a synthetic CT of the head from a frontal and a lateral radiograph, or from "
            "the DRRs of a CT, and shows it beside the ground truth in linked views."
        )
        + "<p><b>"
        + _("Research use only. A synthetic CT is computed, not measured: not for diagnosis.")
        + "</b></p><p>"
        + _("Tutorial and reference: {link}").format(link=f'<a href="{HOMEPAGE}">{HOMEPAGE}</a>')
        + "</p>"
    )


def acknowledgementText() -> str:
    """Return whose work the module builds on."""
    return _(
        "The default network follows the biplanar generator of X2CT-GAN (Ying et al., CVPR 2019). "
        "TomoRay builds on 3D Slicer, VTK, SimpleITK, pydicom, PyTorch and scikit-image."
    )
