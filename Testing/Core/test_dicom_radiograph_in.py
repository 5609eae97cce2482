"""DICOM radiographs: one convention, whatever the file's polarity, spacing and orientation."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_factory import CANARIES, base, radiograph, save, set_pixels
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, RLELossless

from TomoRayCore.errors import InputError
from TomoRayCore.io.dicom_radiograph_in import read_dicom_radiograph
from TomoRayCore.io.radiograph_io import read_radiograph
from TomoRayCore.radiograph import Radiograph

TRUTH = np.random.default_rng(9).integers(100, 3900, (19, 28)).astype(np.uint16)
"""Attenuation with the head up and the patient's right, or anterior, on the left."""

DARK_BONE = (4095 - TRUTH).astype(np.uint16)


def read(tmp_path: Path, data: Dataset, *args: Any, **kwargs: Any) -> Radiograph:
    return read_radiograph(save(data, tmp_path / "image.dcm"), *args, **kwargs)


def refusal(tmp_path: Path, data: Dataset, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(tmp_path, data, *args, **kwargs)
    assert caught.value.remedy
    assert not any(canary in str(caught.value) for canary in CANARIES)
    return caught.value.code


def same_up_to_an_offset(pixels: np.ndarray, truth: np.ndarray = TRUTH) -> bool:
    return pixels.shape == truth.shape and np.ptp(pixels - truth.astype(np.float32)) < 1e-3


@pytest.mark.parametrize("modality", ["CR", "DX", "RG", "XA", "RF"])
def test_bright_bone_is_taken_as_stored(tmp_path: Path, modality: str) -> None:
    found = read(tmp_path, radiograph(TRUTH, modality), "AP")
    assert np.array_equal(found.pixels, TRUTH)
    assert found.provenance["format"] == f"DICOM {modality}"


@pytest.mark.parametrize(
    ("photometric", "shape", "bone_is_dark"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", None, True),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME1", "INVERSE", True),  # what the standard demands of DX: one inversion
    ],
)
def test_the_display_polarity_is_undone_once(
    tmp_path: Path, photometric: str, shape: str | None, bone_is_dark: bool
) -> None:
    data = radiograph(DARK_BONE if bone_is_dark else TRUTH, PhotometricInterpretation=photometric)
    if shape is not None:
        data.PresentationLUTShape = shape
    found = read(tmp_path, data, "AP")
    assert same_up_to_an_offset(found.pixels)
    assert found.provenance["polarity"].startswith("inverted" if bone_is_dark else "as stored")


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("sign", [1, -1])
def test_images_for_processing_follow_their_sign_alone(
    tmp_path: Path, photometric: str, sign: int
) -> None:
    data = radiograph(
        DARK_BONE if sign == 1 else TRUTH,
        PhotometricInterpretation=photometric,
        PresentationIntentType="FOR PROCESSING",
        PixelIntensityRelationship="LOG",
        PixelIntensityRelationshipSign=sign,
    )
    assert same_up_to_an_offset(read(tmp_path, data, "AP").pixels)
    del data.PixelIntensityRelationshipSign
    assert refusal(tmp_path, data, "AP") == "POLARITY_UNKNOWN"


@pytest.mark.parametrize("modality", ["DX", "XA"])
def test_intensities_become_proportional_to_line_integrals(tmp_path: Path, modality: str) -> None:
    line_integrals = TRUTH / 1000.0
    intensity = np.rint(60000 * np.exp(-line_integrals)).astype(np.uint16)
    data = radiograph(intensity, modality, PixelIntensityRelationship="LIN")
    data.BitsStored, data.HighBit = 16, 15
    if modality == "DX":
        data.PresentationIntentType = "FOR PROCESSING"
        data.PixelIntensityRelationshipSign = 1
    found = read(tmp_path, data, "AP")
    offset = found.pixels - line_integrals
    assert np.ptp(offset) < 1e-3
    assert found.quantity == "relative"


def test_fluoroscopy_in_log_values_is_inverted(tmp_path: Path) -> None:
    data = radiograph(DARK_BONE, "XA", PixelIntensityRelationship="LOG")
    assert same_up_to_an_offset(read(tmp_path, data, "AP").pixels)


def test_the_caller_may_invert_and_it_is_on_record(tmp_path: Path) -> None:
    found = read(tmp_path, radiograph(DARK_BONE, "RF"), "AP", invert=True)
    assert same_up_to_an_offset(found.pixels)
    assert "inverted by the caller; before: as stored" in found.provenance["polarity"]


def test_rescaling_and_modality_luts_come_before_polarity(tmp_path: Path) -> None:
    data = radiograph(TRUTH, RescaleSlope="2", RescaleIntercept="-5")
    assert np.array_equal(read(tmp_path, data, "AP").pixels, 2.0 * TRUTH - 5)
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    table.ModalityLUTType = "US"
    table.LUTData = (np.arange(4096)[::-1] * 3).astype(np.uint16).tobytes()
    data = radiograph(DARK_BONE)
    data.ModalityLUTSequence = [table]
    found = read(tmp_path, data, "AP")
    assert np.array_equal(found.pixels, TRUTH * 3.0)
    assert found.provenance["values"] == "modality LUT applied"


def test_garbage_above_the_stored_bits_is_no_image(tmp_path: Path) -> None:
    data = radiograph(TRUTH)
    overlay = (np.random.default_rng(1).integers(0, 16, TRUTH.shape) << 12).astype(np.uint16)
    data.PixelData = (TRUTH | overlay).tobytes()
    assert np.array_equal(read(tmp_path, data, "AP").pixels, TRUTH)


def test_padding_is_air(tmp_path: Path) -> None:
    padded = TRUTH.copy()
    padded[:, :3] = 4095
    data = radiograph(padded)
    data.add_new("PixelPaddingValue", "US", 4095)
    pixels = read(tmp_path, data, "AP").pixels
    assert (pixels[:, :3] == TRUTH[:, 3:].min()).all()
    assert np.array_equal(pixels[:, 3:], TRUTH[:, 3:])


def test_compression_does_not_change_the_pixels(tmp_path: Path) -> None:
    data = radiograph(TRUTH)
    data.compress(RLELossless)
    assert np.array_equal(read(tmp_path, data, "AP").pixels, TRUTH)


@pytest.mark.parametrize(
    ("changes", "expected", "origin"),
    [
        ({}, None, "unknown"),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "Imager"),
        ({"ImagerPixelSpacing": [0.2, 0.1], "PixelSpacing": [0.15, 0.07]}, (0.2, 0.1), "Imager"),
        ({"PixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "no calibration"),
        ({"NominalScannedPixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "film"),
        ({"PixelSpacing": [0.2, 0.1], "PixelSpacingCalibrationType": "FIDUCIAL"}, None, "unknown"),
        ({"PixelSpacing": [0.2, 0.1], "PixelSpacingCalibrationType": "GEOMETRY",
          "EstimatedRadiographicMagnificationFactor": 1.5}, (0.3, 0.15), "1.5"),
        ({"PixelSpacing": [0.2, 0.1], "PixelSpacingCalibrationType": "GEOMETRY",
          "DistanceSourceToDetector": 1500, "DistanceSourceToPatient": 1000}, (0.3, 0.15), "1.5"),
        ({"ImagerPixelSpacing": [0, 0]}, None, "unknown"),
        ({"ImagerPixelSpacing": [0.2]}, None, "unknown"),
    ],
)  # fmt: skip
def test_spacing_is_the_detectors_or_unknown(
    tmp_path: Path, changes: dict[str, Any], expected: tuple[float, float] | None, origin: str
) -> None:
    found = read(tmp_path, radiograph(TRUTH, **changes), "AP")
    assert found.pixel_spacing_mm == (None if expected is None else pytest.approx(expected))
    assert origin in found.provenance["spacing"]


def test_the_callers_spacing_wins_and_the_files_stays_on_record(tmp_path: Path) -> None:
    data = radiograph(TRUTH, ImagerPixelSpacing=[0.2, 0.1])
    found = read(tmp_path, data, "AP", spacing_mm=0.3)
    assert found.pixel_spacing_mm == (0.3, 0.3)
    assert "0.2 x 0.1" in found.provenance["spacing"]


def code_item(code: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "SCT", "a view"
    return item


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ViewPosition": "AP"}, "AP"),
        ({"ViewPosition": "PA"}, "PA"),
        ({"ViewPosition": "LL"}, "LAT"),
        ({"ViewPosition": "RL"}, "LAT"),
        ({"ViewCodeSequence": [code_item("399348003")]}, "AP"),
        ({"ViewCodeSequence": [code_item("R-10214")]}, "PA"),
        ({"ViewCodeSequence": [code_item("399173006")]}, "LAT"),
        ({"PatientOrientation": ["P", "F"]}, "LAT"),
        ({"PatientOrientation": ["L", "F"], "ViewPosition": "PA"}, "PA"),
    ],
)
def test_the_view_is_read_from_the_file(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    data = radiograph(TRUTH, **changes)
    assert read(tmp_path, data).view == expected
    assert read(tmp_path, data, expected).view == expected
    wrong = "LAT" if expected != "LAT" else "AP"
    assert refusal(tmp_path, data, wrong) == "VIEW_CONTRADICTION"


@pytest.mark.parametrize(
    ("primary", "secondary", "asked", "expected"),
    [(90, 0, None, "LAT"), (-92, 3, None, "LAT"), (2, -4, "PA", "PA"), (178, 0, "AP", "AP")],
)
def test_the_view_of_a_c_arm_is_read_from_its_angle(
    tmp_path: Path, primary: float, secondary: float, asked: str | None, expected: str
) -> None:
    data = radiograph(
        TRUTH, "XA", PositionerPrimaryAngle=primary, PositionerSecondaryAngle=secondary
    )
    assert read(tmp_path, data, asked).view == expected


@pytest.mark.parametrize(
    ("changes", "asked", "code"),
    [
        ({}, None, "VIEW_UNKNOWN"),
        ({"PatientOrientation": ["L", "F"]}, None, "VIEW_UNKNOWN"),
        ({"PatientOrientation": ["L", "P"]}, "AP", "VIEW_UNSUPPORTED"),
        ({"PatientOrientation": ["L", "F"]}, "LAT", "VIEW_CONTRADICTION"),
        ({"PatientOrientation": ["L", "F"], "ViewPosition": "LL"}, None, "VIEW_CONTRADICTION"),
        ({"ViewPosition": "AP", "ViewCodeSequence": [code_item("272479007")]}, None,
         "VIEW_CONTRADICTION"),
        ({"Modality": "XA", "PositionerPrimaryAngle": 40}, "AP", "VIEW_UNSUPPORTED"),
        ({"Modality": "XA", "PositionerPrimaryAngle": 0, "PositionerSecondaryAngle": 30}, "AP",
         "VIEW_UNSUPPORTED"),
        ({"Modality": "XA", "PositionerPrimaryAngle": 90}, "AP", "VIEW_CONTRADICTION"),
    ],
)  # fmt: skip
def test_unclear_views_are_refused(
    tmp_path: Path, changes: dict[str, Any], asked: str | None, code: str
) -> None:
    assert refusal(tmp_path, radiograph(TRUTH, **changes), asked) == code


@pytest.mark.parametrize(
    ("view", "right", "left"), [("AP", "R", "L"), ("PA", "R", "L"), ("LAT", "A", "P")]
)
def test_every_orientation_hangs_the_same_way(
    tmp_path: Path, view: str, right: str, left: str
) -> None:
    for mirrored, upside_down, transposed in product([False, True], repeat=3):
        stored, row, column = TRUTH, left, "F"
        spacing = [0.2, 0.1]
        if mirrored:
            stored, row = stored[:, ::-1], right
        if upside_down:
            stored, column = stored[::-1], "H"
        if transposed:
            stored, row, column, spacing = stored.T, column, row, spacing[::-1]
        data = radiograph(
            np.ascontiguousarray(stored),
            PatientOrientation=[row, column],
            ImagerPixelSpacing=spacing,
        )
        found = read(tmp_path, data, view)
        assert np.array_equal(found.pixels, TRUTH)
        assert found.pixel_spacing_mm == pytest.approx((0.2, 0.1))
        assert found.provenance["orientation"].startswith(f"{row}\\{column}")


def test_unstated_orientation_is_on_record_as_assumed(tmp_path: Path) -> None:
    found = read(tmp_path, radiograph(TRUTH), "LAT")
    assert "taken as hung" in found.provenance["orientation"]


def test_one_of_several_frames_must_be_named(tmp_path: Path) -> None:
    frames = np.stack([DARK_BONE, TRUTH, DARK_BONE])
    data = radiograph(frames, "XA")
    assert refusal(tmp_path, data, "AP") == "FRAME_NEEDED"
    for missing in (3, -1):
        assert refusal(tmp_path, data, "AP", frame=missing) == "FRAME_NEEDED"
    found = read_dicom_radiograph(tmp_path / "image.dcm", "AP", frame=1)
    assert np.array_equal(found.pixels, TRUTH)
    assert found.provenance["frame"] == "1"
    data.compress(RLELossless)
    assert np.array_equal(read(tmp_path, data, "AP", frame=1).pixels, TRUTH)


def test_what_is_no_radiograph_is_refused(tmp_path: Path) -> None:
    for modality in ("MR", "MG", "US", "OT"):
        assert refusal(tmp_path, radiograph(TRUTH, modality), "AP") == "NOT_RADIOGRAPH"
    slice_ = base(CTImageStorage, "CT")
    set_pixels(slice_, TRUTH)
    assert refusal(tmp_path, slice_, "AP") == "NOT_RADIOGRAPH"
    enhanced = radiograph(TRUTH, "XA", "1.2.840.10008.5.1.4.1.1.12.1.1")
    assert refusal(tmp_path, enhanced, "AP") == "UNSUPPORTED_FORMAT"
    colour = radiograph(TRUTH, PhotometricInterpretation="RGB", SamplesPerPixel=3)
    assert refusal(tmp_path, colour, "AP") == "COLOUR_IMAGE"
    assert refusal(tmp_path, radiograph(np.full_like(TRUTH, 7)), "AP") == "CONSTANT_IMAGE"
    huge = radiograph(TRUTH, Rows=60000, Columns=60000)
    assert refusal(tmp_path, huge, "AP") == "TOO_LARGE"


def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    path = save(radiograph(TRUTH), tmp_path / "image.dcm")
    whole = path.read_bytes()
    for kept in np.linspace(1, len(whole) - 1, 60).astype(int):
        path.write_bytes(whole[:kept])
        with pytest.raises(InputError):
            read_radiograph(path, "AP")


def test_a_damaged_file_ends_in_a_refusal_or_an_image(tmp_path: Path) -> None:
    path = save(
        radiograph(TRUTH, PatientOrientation=["L", "F"], ViewPosition="AP", RescaleSlope="1"),
        tmp_path / "image.dcm",
    )
    whole = path.read_bytes()
    random = np.random.default_rng(6)
    for _ in range(200):
        damaged = bytearray(whole)
        for at in random.integers(0, len(whole) - TRUTH.nbytes, 3):
            damaged[at] = random.integers(0, 256)
        path.write_bytes(damaged)
        try:
            read_radiograph(path, "AP")
        except InputError:
            continue


def test_provenance_names_no_patient(tmp_path: Path) -> None:
    data = radiograph(
        TRUTH,
        ViewPosition="AP",
        BurnedInAnnotation="YES",
        DistanceSourceToDetector=1150,
        PatientComments="Canary comment",
        DerivationDescription="Canary derivation",
        AccessionNumber="CANARY-9",
    )
    folder = tmp_path / "Canary^Jane"
    folder.mkdir()
    record = dict(read_radiograph(save(data, folder / "CANARY.dcm")).provenance)
    assert "canary" not in str(record).lower()
    assert record["sdd_mm"] == "1150"
    assert "burned" in record["burned_in"]
    assert {"source", "format", "values", "polarity", "spacing", "view", "orientation"} <= set(
        record
    )


def test_a_malformed_name_is_not_quoted_in_warnings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    path = save(radiograph(TRUTH), tmp_path / "image.dcm")
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.5.1.4", b"CANARY0.10008.5.1.4"))
    read_radiograph(path, "AP")
    assert "CANARY" not in caplog.text + "".join(capfd.readouterr())
