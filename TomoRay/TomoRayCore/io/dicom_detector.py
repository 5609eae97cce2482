"""The pixel spacing at the detector, where a DICOM radiograph lets one know it."""

from __future__ import annotations

from pydicom.dataset import Dataset

from TomoRayCore.geometry import FARTHEST_MM
from TomoRayCore.io.dicom_dataset import floats, is_drr, number, text
from TomoRayCore.io.radiograph_facts import Spacing, in_mm

HALF_A_HEAD_MM = 100.0


def detector_spacing(dataset: Dataset) -> tuple[Spacing | None, str]:
    """Return the (row, column) spacing at the detector in mm, or None, and where it comes from.

    Imager Pixel Spacing is at the detector. Pixel Spacing that was calibrated is at the object and
    needs the magnification to become the detector's. Without a word on calibration it is the
    detector's or the scanned film's own. Nothing else counts.
    """
    imager = _positive(dataset, "ImagerPixelSpacing")
    if imager is not None:
        return imager, "Imager Pixel Spacing"
    plain = _positive(dataset, "PixelSpacing")
    if plain is None:
        scanned = _positive(dataset, "NominalScannedPixelSpacing")
        if scanned is not None:
            return scanned, "Nominal Scanned Pixel Spacing of the film"
        return None, "unknown: the file states none"
    calibration = text(dataset, "PixelSpacingCalibrationType")
    if calibration not in ("GEOMETRY", "FIDUCIAL"):
        return plain, "Pixel Spacing, no calibration stated"
    magnification, origin = _magnification(dataset)
    if magnification is None:
        return None, f"unknown: {in_mm(plain)} is calibrated at the object, magnification unstated"
    at_detector = (plain[0] * magnification, plain[1] * magnification)
    return (
        at_detector,
        f"calibrated Pixel Spacing times magnification {magnification:.4g} ({origin})",
    )


def film_distances(dataset: Dataset) -> tuple[float | None, float | None]:
    """Return the distances from the source to the head's middle and to the detector, or None.

    Distance Source to Patient is the isocentre's for a DRR and a C-arm (PS3.3 C.8.7.5). For a
    radiograph it ends at the table's or the bucky's near side (C.8.11.5), half a head behind the
    head's middle.
    """
    stated = {name: float(mm) for name, mm in source_distances(dataset).items()}
    isocentric = text(dataset, "Modality") in ("XA", "RF") or is_drr(dataset)
    if "sad_mm" in stated and not isocentric:
        stated["sad_mm"] -= HALF_A_HEAD_MM
    usable = {name: mm for name, mm in stated.items() if 0 < mm < FARTHEST_MM}
    return usable.get("sad_mm"), usable.get("sdd_mm")


def source_distances(dataset: Dataset) -> dict[str, str]:
    """Return the stated distances from the source for the record, in mm."""
    names = {"sdd_mm": "DistanceSourceToDetector", "sad_mm": "DistanceSourceToPatient"}
    found = {name: number(dataset, keyword) for name, keyword in names.items()}
    return {name: f"{mm:g}" for name, mm in found.items() if mm is not None and mm > 0}


def _magnification(dataset: Dataset) -> tuple[float | None, str]:
    estimated = number(dataset, "EstimatedRadiographicMagnificationFactor")
    if estimated is not None and estimated >= 1:
        return estimated, "estimated by the device"
    detector = number(dataset, "DistanceSourceToDetector")
    patient = number(dataset, "DistanceSourceToPatient")
    if detector is not None and patient is not None and 0 < patient <= detector:
        return detector / patient, "source distances"
    return None, ""


def _positive(dataset: Dataset, keyword: str) -> Spacing | None:
    pair = floats(dataset, keyword, 2)
    return None if pair is None or min(pair) <= 0 else (pair[0], pair[1])
