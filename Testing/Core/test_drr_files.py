"""DRRs as files of every format: the numbers, the geometry and the record come back."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.io.drr_dicom_out import drr_dataset, positioner_angles
from TomoRayCore.io.drr_file import DrrHeader, DrrRecord, GreyScale
from TomoRayCore.io.radiograph_io import read_radiograph, write_drr
from TomoRayCore.physics.display import behind
from TomoRayCore.presets import from_preset

FORMATS = (".nrrd", ".tif", ".png", ".dcm")
RECORD = DrrRecord(
    attenuation={"name": "water-60kev", "mu_water_per_mm": 0.02059},
    physics={"summary": "70 kV", "options": {"kvp": 70.0}},
    structure="bone",
    source_sha256="ab" * 32,
)


@pytest.fixture
def acquisition() -> AcquisitionGeometry:
    """Views of all kinds on an odd, oblong detector with oblong pixels, turned and shifted."""
    return from_preset(
        isocentre_lps=(1.1, -2.5, 30.3),
        views=("ap", "lat", "pa", "30", "-45", "120:10"),
        size=(23, 36),
        spacing_mm=(1.7, 1.3),
        rotate_deg=7.3,
        detector_offset_mm=(3.1, -4.2),
    )


@pytest.fixture
def straight() -> AcquisitionGeometry:
    """The same without turn and shift, as standard tags alone can tell it."""
    return from_preset(
        views=("ap", "lat", "pa", "30", "-45", "120:10"), size=(23, 36), spacing_mm=(1.7, 1.3)
    )


@pytest.fixture
def pixels() -> np.ndarray:
    return (np.random.default_rng(2).random((23, 36)) * 7).astype(np.float32)


def step_of(path: Path, pixels: np.ndarray) -> float:
    """What one grey more means, by the file itself; 0 for floating-point files."""
    if path.suffix == ".dcm":
        return float(pydicom.dcmread(path).RescaleSlope)
    return float(pixels.max()) / 65535 if path.suffix == ".png" else 0.0


# ------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("label", ["AP", "LAT", "PA", "A30", "A-45", "A120T10"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_pixels_geometry_and_record_come_back(tmp_path, acquisition, pixels, suffix, label):
    path = tmp_path / f"a{suffix}"
    write_drr(path, pixels, acquisition, label, record=RECORD)
    read = read_radiograph(path)
    half_step = step_of(path, pixels) / 2
    assert np.abs(read.pixels - pixels).max() <= half_step * (1 + 1e-4)
    assert half_step > 0 or np.array_equal(read.pixels, pixels)
    assert half_step < 1e-4
    assert read.acquisition == acquisition
    assert read.view == label
    assert read.pixel_spacing_mm == acquisition.view(label).pixel_spacing_mm
    assert read.quantity == "line_integral"
    assert read.provenance["attenuation"] == "water-60kev"
    assert read.provenance["structure"] == "bone"
    assert json.loads(read.provenance["physics"])["options"] == {"kvp": 70.0}


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_same_drr_is_the_same_file(tmp_path, acquisition, pixels, suffix):
    for name in ("a", "b"):
        write_drr(tmp_path / f"{name}{suffix}", pixels, acquisition, "A30", record=RECORD)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_values_below_air_and_far_above_survive(tmp_path, acquisition, pixels, suffix):
    noisy = pixels * 40 - 3
    path = tmp_path / f"a{suffix}"
    write_drr(path, noisy, acquisition, "AP")
    span = float(np.ptp(noisy))
    assert np.abs(read_radiograph(path).pixels - noisy).max() <= span / 65535


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_transmission_is_read_as_attenuation_and_shown_with_bright_bone(
    tmp_path, acquisition, pixels, suffix
):
    path = tmp_path / f"a{suffix}"
    share = np.exp(-pixels)
    write_drr(path, share, acquisition, "AP", quantity="transmission")
    high = behind(share).window(share)[1]
    assert 0.01 < high <= 0.15
    read = read_radiograph(path)
    shown = share.clip(None, high) if suffix == ".png" else share
    assert read.quantity == ("relative" if suffix == ".png" else "line_integral")
    assert np.abs(np.exp(-read.pixels) - shown).max() <= 1 / 65535
    assert "transmission" in read.provenance["polarity"]
    if suffix == ".png":
        with Image.open(path) as image:
            grey = np.asarray(image).astype(float)
        assert np.corrcoef(grey.ravel(), shown.ravel())[0, 1] < -0.9999
    if suffix == ".dcm":
        data = pydicom.dcmread(path)
        assert data.PhotometricInterpretation == "MONOCHROME1"
        assert (data.WindowCenter, data.WindowWidth) == pytest.approx((high / 2, high))
        assert data.VOILUTFunction == "LINEAR_EXACT"


def test_a_picture_of_a_transmission_keeps_all_values_where_its_window_does(
    tmp_path, acquisition, pixels
):
    path, share = tmp_path / "a.png", np.exp(-pixels)
    write_drr(path, share, acquisition, "AP", quantity="transmission", window=(0, 1))
    read = read_radiograph(path)
    assert read.quantity == "line_integral"
    assert np.abs(np.exp(-read.pixels) - share).max() <= 1 / 65535
    with Image.open(path) as image:
        grey = np.asarray(image).astype(float)
        assert "tomoray_clipped" not in image.text
        assert image.text["tomoray_value_at_white"] == "0.0"
    assert grey[share.argmin() // 36, share.argmin() % 36] == grey.max()


def test_a_windowed_picture_is_clipped_and_says_so(tmp_path, acquisition, pixels):
    path = tmp_path / "a.png"
    write_drr(path, pixels, acquisition, "AP", window=(1.0, 3.0))
    read = read_radiograph(path)
    assert read.quantity == "relative"
    assert np.abs(read.pixels - pixels.clip(1, 3)).max() <= 2 / 65535
    with Image.open(path) as image:
        assert image.text["tomoray_value_at_white"] == "3.0"
        assert "tomoray_clipped" in image.text
    for window in ((2, 2), (0, float("nan")), (3, 1)):
        with pytest.raises(InputError, match="BAD_WINDOW"):
            write_drr(path, pixels, acquisition, "AP", window=window)


@settings(max_examples=40, deadline=None)
@given(st.floats(-50, 50), st.floats(1e-3, 100), st.booleans())
def test_greys_are_true_to_half_a_step(black, span, inverted):
    scale = GreyScale(black, black + (-span if inverted else span))
    values = np.linspace(black, scale.white, 97, dtype=np.float32)
    back = scale.values(scale.stored(values, 65535), 65535)
    assert np.abs(back - values).max() <= span / 65535 / 2 + 4e-6 * (abs(black) + span)


# ------------------------------------------------------------------------------- other readers


def test_simpleitk_reads_the_same_numbers(tmp_path, acquisition, pixels):
    for suffix in (".nrrd", ".tif", ".dcm"):
        write_drr(tmp_path / f"a{suffix}", pixels, acquisition, "A30")
        image = sitk.ReadImage(str(tmp_path / f"a{suffix}"))
        values = np.squeeze(sitk.GetArrayFromImage(image))
        assert np.abs(values - pixels).max() <= step_of(tmp_path / f"a{suffix}", pixels)
        if suffix != ".dcm":  # of this class ITK reads the spacing at the isocentre
            assert image.GetSpacing() == pytest.approx((1.3, 1.7), rel=1e-6)


def test_a_picture_is_a_16_bit_png_and_a_32_bit_tiff(tmp_path, acquisition, pixels):
    for suffix, mode in ((".png", "I;16"), (".tif", "F")):
        write_drr(tmp_path / f"a{suffix}", pixels, acquisition, "AP")
        with Image.open(tmp_path / f"a{suffix}") as image:
            image.load()
            assert (image.mode, image.size) == (mode, (36, 23))


def test_a_picture_made_shallower_elsewhere_keeps_its_geometry_alone(tmp_path, acquisition, pixels):
    from PIL.PngImagePlugin import PngInfo

    write_drr(tmp_path / "a.png", pixels, acquisition, "AP")
    texts = PngInfo()
    with Image.open(tmp_path / "a.png") as image:
        for key, value in image.text.items():
            texts.add_text(key, value)
        shallow = Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
    shallow.save(tmp_path / "b.png", pnginfo=texts)
    read = read_radiograph(tmp_path / "b.png")
    assert read.pixels.max() == 255
    assert read.quantity == "relative"
    assert read.acquisition == acquisition


# ------------------------------------------------------------------------------- DICOM


def test_the_data_set_says_what_it_is_and_names_nobody(acquisition, pixels):
    data = drr_dataset(pixels, DrrHeader("LAT", "line_integral", acquisition, RECORD))
    assert list(data.ImageType) == ["DERIVED", "SECONDARY", "DRR"]
    assert data.SyntheticData == "YES"
    assert data.ConversionType == "SYN"
    assert "NOT FOR DIAGNOSIS" in data.SeriesDescription
    assert data.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == (
        "109100"
    )
    assert "70 kV" in data.DerivationDescription
    assert RECORD.source_sha256 in data.DerivationDescription
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "KVP"):
        assert not data.get(keyword)


def test_the_data_set_states_the_geometry_with_the_tags_of_radiographs(straight, pixels):
    def data_of(label: str) -> pydicom.Dataset:
        return drr_dataset(pixels, DrrHeader(label, "line_integral", straight))

    data = data_of("LAT")
    assert data.DistanceSourceToDetector == 1500
    assert data.DistanceSourceToPatient == 1000
    assert data.EstimatedRadiographicMagnificationFactor == 1.5
    assert list(data.ImagerPixelSpacing) == [1.7, 1.3]
    assert list(data.PixelSpacing) == pytest.approx([1.7 / 1.5, 1.3 / 1.5])
    assert (data.ViewPosition, list(data.PatientOrientation)) == ("RL", ["P", "F"])
    assert list(data_of("AP").PatientOrientation) == ["L", "F"]
    assert list(data_of("PA").PatientOrientation) == ["L", "F"]
    assert list(data_of("A30").PatientOrientation) == ["LP", "F"]
    assert "ViewPosition" not in data_of("A30")


@pytest.mark.parametrize(
    ("view", "primary", "secondary"),
    [
        ("pa", 0, 0),  # detector in front of the patient
        ("-90", 90, 0),  # on the patient's left
        ("lat", -90, 0),
        ("ap", 180, 0),
        ("180:20", 0, -20),  # source toward the head, so the detector toward the feet
        ("225:-10", 45, 10),
    ],
)
def test_positioner_angles_say_where_the_detector_stands(view, primary, secondary):
    assert positioner_angles(from_preset(views=[view]).views[0]) == (primary, secondary)


def test_a_parallel_beam_has_no_source_distance(pixels):
    beam = from_preset("parallel", views=["ap"], size=(23, 36))
    data = drr_dataset(pixels, DrrHeader("AP", "line_integral", beam))
    assert "DistanceSourceToDetector" not in data
    assert data.EstimatedRadiographicMagnificationFactor == 1
    assert list(data.PixelSpacing) == list(data.ImagerPixelSpacing)


def test_uids_follow_the_content(acquisition, pixels):
    def uids(label: str, values: np.ndarray, record: DrrRecord) -> tuple[str, str, str]:
        data = drr_dataset(values, DrrHeader(label, "line_integral", acquisition, record))
        return data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID

    ap, lat = uids("AP", pixels, RECORD), uids("LAT", pixels, RECORD)
    soft = uids("AP", pixels, replace(RECORD, structure="soft-tissue"))
    other = uids("AP", pixels, replace(RECORD, source_sha256="cd" * 32))
    assert ap == uids("AP", pixels, RECORD)
    assert ap[:2] == lat[:2]
    assert ap[0] == soft[0] != other[0]
    assert len({ap[1], soft[1], other[1]}) == 3
    assert len({ap[2], lat[2], soft[2], other[2], uids("AP", pixels + 1, RECORD)[2]}) == 5
    assert all(pydicom.uid.UID(uid).is_valid for uid in (*ap, *lat, *soft, *other))


def stripped(path: Path) -> Path:
    """Remove what others' tools remove: private elements."""
    data = pydicom.dcmread(path)
    data.remove_private_tags()
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("label", ["AP", "LAT", "PA", "A30", "A-45", "A120T10"])
def test_standard_tags_alone_keep_distances_spacing_view_and_numbers(
    tmp_path, straight, pixels, label
):
    path = tmp_path / "a.dcm"
    write_drr(path, pixels, straight, label)
    step = step_of(path, pixels)
    read = read_radiograph(stripped(path))
    assert read.view == label
    assert read.acquisition is None
    assert (read.provenance["sad_mm"], read.provenance["sdd_mm"]) == ("1000", "1500")
    assert (read.sad_mm, read.sdd_mm) == (1000, 1500)
    assert read.quantity == "line_integral"
    assert read.pixel_spacing_mm == pytest.approx((1.7, 1.3))
    expected = pixels[:, ::-1] if "mirrored" in read.provenance["orientation"] else pixels
    assert np.abs(read.pixels - expected).max() <= step
    assert read.provenance["synthetic"] == "the file says that the image was computed"


def test_a_drr_may_be_asked_for_by_its_view_and_by_no_other(tmp_path, acquisition, pixels):
    for suffix in FORMATS:
        path = tmp_path / f"a{suffix}"
        write_drr(path, pixels, acquisition, "A120T10")
        assert read_radiograph(path, "120:10").view == "A120T10"
        for other in ("AP", "A30"):
            with pytest.raises(InputError, match="VIEW_CONTRADICTION"):
                read_radiograph(path, other)


def test_a_photograph_is_no_oblique_view(tmp_path, pixels):
    Image.fromarray((pixels * 30).astype(np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="VIEW_UNKNOWN"):
        read_radiograph(tmp_path / "a.png", "A30")


def test_the_synthetic_mark_of_a_drr_is_on_record_and_no_obstacle(tmp_path, acquisition, pixels):
    write_drr(tmp_path / "a.dcm", pixels, acquisition, "AP")
    read = read_radiograph(tmp_path / "a.dcm")
    assert read.provenance["synthetic"] == "the file says that the image was computed"
    assert read.provenance["sdd_mm"] == "1500"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tomoray_view": "AP"}'])
def test_a_damaged_private_text_is_refused(tmp_path, acquisition, pixels, text):
    write_drr(tmp_path / "a.dcm", pixels, acquisition, "AP")
    data = pydicom.dcmread(tmp_path / "a.dcm")
    data.private_block(0x0071, "TOMORAY DRR")[0x01].value = text
    data.save_as(tmp_path / "a.dcm")
    with pytest.raises(InputError, match="BAD_HEADER"):
        read_radiograph(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tomoray_drr", "{"),
        ("tomoray_drr", "[]"),
        ("tomoray_drr", '{"attenuation": 3}'),
        ("tomoray_value_at_white", "nan"),
        ("tomoray_value_at_white", "0.0"),
        ("tomoray_value_at_black", "dark"),
        ("tomoray_quantity", "beauty"),
    ],
)
def test_a_damaged_picture_text_is_refused(tmp_path, acquisition, pixels, key, value):
    from PIL.PngImagePlugin import PngInfo

    write_drr(tmp_path / "a.png", pixels, acquisition, "AP")
    texts = PngInfo()
    with Image.open(tmp_path / "a.png") as image:
        for name, text in {**image.text, key: value}.items():
            texts.add_text(name, text)
        image.save(tmp_path / "b.png", pnginfo=texts)
    with pytest.raises(InputError, match="BAD_HEADER"):
        read_radiograph(tmp_path / "b.png")


def test_a_tiff_with_another_description_is_a_plain_picture(tmp_path, pixels):
    for description in ("hello", "[1, 2]", '{"tomoray_view": 3}', "{" * 5000):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.fromarray(pixels).save(tmp_path / "a.tif", description=description)
        assert read_radiograph(tmp_path / "a.tif", "AP").acquisition is None


def test_free_labels_and_names_survive_every_format(tmp_path, acquisition, pixels):
    view = replace(acquisition.view("A30"), label="Schräg 3")
    free = AcquisitionGeometry("Röntgen\\Zimmer\n2", acquisition.isocentre_lps, (view,))
    for suffix in FORMATS:
        write_drr(tmp_path / f"a{suffix}", pixels, free, "Schräg 3")
        read = read_radiograph(tmp_path / f"a{suffix}")
        assert read.acquisition == free
        assert read.view == "Schräg 3"
