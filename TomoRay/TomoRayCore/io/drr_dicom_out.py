"""A DRR as a DICOM object.

Secondary Capture Image Storage with the conversion type "synthetic image" (PS3.3 A.8, C.8.6.1):
a radiograph's own classes would claim an acquisition that never was, DX forbids the rescaling
that carries the line integrals (PS3.3 C.8.11.3), and RT Image knows no tilted or parallel views.
The facts of a radiograph's geometry are added with the tags that radiographs have, as PS3.2 lets
an extended class do; a private text holds the exact geometry and record.

No patient is named and no date stated: neither is known here. The same DRR gives the same file,
UIDs included.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import uuid
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pydicom.valuerep import format_number_as_ds

from TomoRayCore import __version__
from TomoRayCore.geometry import ViewGeometry
from TomoRayCore.io.drr_dicom_in import (
    LINE_INTEGRAL,
    PRIVATE_CREATOR,
    PRIVATE_GROUP,
    PRIVATE_KEYS,
)
from TomoRayCore.io.drr_file import DrrHeader, DrrRecord
from TomoRayCore.io.picture_out import GREY_LEVELS
from TomoRayCore.physics.display import behind

IMAGE_TYPE_DRR = "DRR"
"""The third value of Image Type, with the meaning that it has for RT Image (PS3.3 C.8.8.2)."""

STANDARD_VIEWS = {
    "AP": ("AP", "399348003", "antero-posterior"),
    "PA": ("PA", "272479007", "postero-anterior"),
    "LAT": ("RL", "399198007", "right lateral"),
}
"""View Position and SNOMED code. Our lateral has the source on the patient's left, so the right
side is next to the detector: a right lateral."""

RESCALE_TYPES = {
    "line_integral": LINE_INTEGRAL,
    "transmission": "TRANSMISSION",
    "relative": "US",
}
"""The units of rescaled values; US is DICOM's word for none (PS3.3 C.11.1.1.2)."""

SMALLEST_PART = math.sin(math.radians(3))
"""An axis is said to run toward a side from this part of its unit vector on."""

MAX_SHORT_TEXT = 1024


def dicom_bytes(values: NDArray[np.float32], header: DrrHeader) -> bytes:
    """Return a DICOM file of an (H, W) image, checked for its form by the writer."""
    buffer = io.BytesIO()
    dcmwrite(buffer, drr_dataset(values, header), enforce_file_format=True)
    return buffer.getvalue()


def drr_dataset(values: NDArray[np.float32], header: DrrHeader) -> Dataset:
    """Return the data set of an (H, W) image."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SpecificCharacterSet = "ISO_IR 192"
    _add_pixels(data, values, header)
    _add_identity(data, header)
    _add_marks(data, header)
    _add_view(data, header)
    block = data.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True)
    block.add_new(PRIVATE_KEYS, "UT", json.dumps(header.to_keys()))
    return data


def positioner_angles(view: ViewGeometry) -> tuple[float, float]:
    """Return DICOM's primary and secondary angle of a view in degrees.

    They say where the detector stands: 0 in front of the patient, +90 on the patient's left, and
    then + for toward the head (PS3.3 C.8.7.5). Our own angles say where the source stands.
    """
    x, y, z = view.normal
    turn = round(math.degrees(math.atan2(x, -y)), 6) if math.hypot(x, y) > 1e-9 else 0.0
    rise = round(math.degrees(math.asin(max(-1.0, min(1.0, z)))), 6)
    return turn - 180.0 if turn > 0 else turn + 180.0, 0.0 - rise


def _add_pixels(data: Dataset, values: NDArray[np.float32], header: DrrHeader) -> None:
    """Store 16-bit values that the rescaling turns back to within half a step."""
    low, high = min(float(values.min()), 0.0), float(values.max())
    intercept = _decimal(low, ROUND_FLOOR)
    slope = _decimal(max(high - float(intercept), 1e-6) / GREY_LEVELS, ROUND_CEILING)
    stored = np.rint((values.astype(np.float64) - float(intercept)) / float(slope))
    data.SamplesPerPixel = 1
    data.Rows, data.Columns = values.shape
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    data.PixelData = np.clip(stored, 0, GREY_LEVELS).astype("<u2").tobytes()
    data["PixelData"].VR = "OW"
    data.RescaleIntercept, data.RescaleSlope = str(intercept), str(slope)
    data.RescaleType = RESCALE_TYPES[header.quantity]
    if header.quantity == "transmission":
        # Larger means more intensity; shown inverted, so that bone is bright.
        data.PhotometricInterpretation, data.PresentationLUTShape = "MONOCHROME1", "INVERSE"
        data.PixelIntensityRelationship, data.PixelIntensityRelationshipSign = "LIN", 1
    else:
        # The negative logarithm of intensity: larger means less of it.
        data.PhotometricInterpretation, data.PresentationLUTShape = "MONOCHROME2", "IDENTITY"
        data.PixelIntensityRelationship, data.PixelIntensityRelationshipSign = "LOG", -1
    _add_window(data, values, header)
    data.LossyImageCompression = "00"


def _add_window(data: Dataset, values: NDArray[np.float32], header: DrrHeader) -> None:
    """Say what viewers show at first; the pixels hold all values."""
    shown = "all values"
    low, high = min(float(values.min()), 0.0), float(values.max())
    if header.quantity == "transmission":
        low, high = behind(values).window(values)
        shown = "behind the object"
    data.WindowCenter = _ds((low + high) / 2)
    data.WindowWidth = _ds(max(high - low, 1e-6))
    # The plain function takes 1 off the width, as is right for whole numbers only.
    data.VOILUTFunction = "LINEAR_EXACT"
    data.WindowCenterWidthExplanation = f"{header.quantity}, {shown}"


def _add_identity(data: Dataset, header: DrrHeader) -> None:
    """Name what can be named: content. Equal content gets equal UIDs."""
    keys = header.to_keys()
    view_key = keys.pop("tomoray_view")
    series = [__version__, json.dumps(keys, sort_keys=True)]
    study = header.record.source_sha256 or series
    data.SOPClassUID = SecondaryCaptureImageStorage
    data.StudyInstanceUID = _uid("study", study)
    data.SeriesInstanceUID = _uid("series", series)
    data.SOPInstanceUID = _uid("image", series, view_key, data.PixelData)
    for keyword in (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "AccessionNumber",
        "ReferringPhysicianName",
        "SeriesNumber",
    ):
        setattr(data, keyword, None)
    data.InstanceNumber = 1 + header.acquisition.labels.index(header.view)
    data.Modality = "OT"


def _add_marks(data: Dataset, header: DrrHeader) -> None:
    """Say in every way there is that this was computed."""
    record = header.record
    data.ImageType = ["DERIVED", "SECONDARY", IMAGE_TYPE_DRR]
    data.ConversionType = "SYN"
    data.SyntheticData = "YES"
    data.BurnedInAnnotation = "NO"
    part = f" of {record.structure}" if record.structure else ""
    data.SeriesDescription = f"DRR{part}, computed from CT - NOT FOR DIAGNOSIS"[:64]
    data.ImageComments = "COMPUTED FROM CT - NOT FOR DIAGNOSTIC USE"
    data.ContentQualification = "RESEARCH"
    data.Manufacturer = data.SecondaryCaptureDeviceManufacturer = "TomoRay (research software)"
    data.ManufacturerModelName = "TomoRay DRR"
    data.SecondaryCaptureDeviceManufacturerModelName = "TomoRay DRR"
    data.SoftwareVersions = data.SecondaryCaptureDeviceSoftwareVersions = __version__
    data.DerivationDescription = _derivation(header)[:MAX_SHORT_TEXT]
    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = [_code("109100", "DCM", "Synthesizing Equipment")]
    equipment.Manufacturer = data.Manufacturer
    equipment.ManufacturerModelName = data.ManufacturerModelName
    equipment.SoftwareVersions = __version__
    data.ContributingEquipmentSequence = [equipment]


def _add_view(data: Dataset, header: DrrHeader) -> None:
    """State the geometry with the tags of radiographs."""
    view = header.acquisition.view(header.view)
    data.BodyPartExamined = "HEAD"
    data.PatientOrientation = [_letters(view.u), _letters(view.v)]
    if header.view in STANDARD_VIEWS:
        position, code, meaning = STANDARD_VIEWS[header.view]
        data.ViewPosition = position
        data.ViewCodeSequence = [_code(code, "SCT", meaning)]
    primary_deg, secondary_deg = positioner_angles(view)
    data.PositionerPrimaryAngle = _ds(primary_deg)
    data.PositionerSecondaryAngle = _ds(secondary_deg)
    magnification = 1.0
    if view.beam == "cone":
        sad_mm = view.sad_mm(header.acquisition.isocentre_lps)
        data.DistanceSourceToDetector = _ds(view.sdd_mm)
        data.DistanceSourceToPatient = _ds(sad_mm)
        magnification = view.sdd_mm / sad_mm
    data.EstimatedRadiographicMagnificationFactor = _ds(magnification)
    data.ImagerPixelSpacing = [_ds(mm) for mm in view.pixel_spacing_mm]
    data.PixelSpacing = [_ds(mm / magnification) for mm in view.pixel_spacing_mm]
    data.PixelSpacingCalibrationType = "GEOMETRY"
    data.PixelSpacingCalibrationDescription = "at the isocentre"


def _derivation(header: DrrHeader) -> str:
    record = header.record
    attenuation = ", ".join(f"{name} {value}" for name, value in record.attenuation.items())
    physics = ", ".join(f"{name} {value}" for name, value in record.physics.items())
    return "; ".join(
        [
            f"Digitally reconstructed radiograph computed from a CT by TomoRay {__version__}",
            f"values: {header.quantity}",
            f"attenuation: {attenuation or 'not stated'}",
            f"physics: {physics or 'line integrals'}",
            f"structure: {_structure(record)}",
            f"source sha256: {record.source_sha256 or 'not stated'}",
        ]
    )


def _structure(record: DrrRecord) -> str:
    rule = record.selection.get("rule")
    return f"{record.structure} ({rule})" if rule else record.structure or "all"


def _letters(axis: tuple[float, float, float]) -> str:
    """Return the sides toward which an axis runs, the main one first (PS3.3 C.7.6.1.1.1)."""
    sides = [("LR", axis[0]), ("PA", axis[1]), ("HF", axis[2])]
    sides.sort(key=lambda side: -abs(side[1]))
    return "".join(names[part < 0] for names, part in sides if abs(part) >= SMALLEST_PART)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _ds(number: float) -> str:
    return format_number_as_ds(float(number))


def _decimal(number: float, rounding: str) -> Decimal:
    """Return a number that a DS's 16 characters hold exactly, on the wanted side."""
    return Decimal(number).normalize(Context(prec=9, rounding=rounding))


def _uid(*parts: Any) -> str:
    """Return a UID of the UUID kind (PS3.5 B.2) that depends on the content alone."""
    digest = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else json.dumps(part).encode()
        digest.update(hashlib.sha256(content).digest())
    return f"2.25.{uuid.UUID(bytes=digest.digest()[:16], version=5).int}"
