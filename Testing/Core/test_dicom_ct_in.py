"""CT series: right, or refused with the code that says what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_factory import (
    CANARIES,
    ORIGIN_LPS,
    SPACING_IJK_MM,
    base,
    ct_slices,
    hu_block,
    save,
    save_series,
    set_pixels,
)
from orientations import DIRECTIONS, rotation
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from TomoRayCore.coordinates import compose_affine
from TomoRayCore.errors import InputError
from TomoRayCore.io.dicom_ct_in import READING_KEY, read_ct_series
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.volume import Grid, Volume

RIGHT_HANDED = {name: d for name, d in DIRECTIONS.items() if np.linalg.det(d) > 0}


def series(folder: Path, slices: list[Dataset] | None = None) -> Path:
    return save_series(ct_slices() if slices is None else slices, folder / "series")


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_ct_series(path)
    assert caught.value.remedy
    assert not any(canary in str(caught.value) for canary in CANARIES)
    return caught.value.code


def expected_grid(direction: np.ndarray, shape: tuple[int, int, int]) -> Grid:
    return Grid(shape, compose_affine(direction, SPACING_IJK_MM, ORIGIN_LPS))


def is_right(volume: Volume, hu: np.ndarray | None = None) -> bool:
    block = hu_block() if hu is None else hu
    place = volume.grid.same_as(expected_grid(np.eye(3), block.shape))
    return place and np.array_equal(volume.array_hu, block)


@pytest.mark.parametrize("name", RIGHT_HANDED)
def test_every_orientation_lands_in_its_place(tmp_path: Path, name: str) -> None:
    folder = series(tmp_path, ct_slices(RIGHT_HANDED[name]))
    volume = read_volume(folder)
    assert np.array_equal(volume.array_hu, hu_block())
    assert volume.array_hu.dtype == np.int16
    assert volume.grid.same_as(expected_grid(RIGHT_HANDED[name], hu_block().shape))


@pytest.mark.parametrize("name", RIGHT_HANDED)
def test_itk_puts_a_sound_series_in_the_same_place(tmp_path: Path, name: str) -> None:
    folder = series(tmp_path, ct_slices(RIGHT_HANDED[name]))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    volume = read_ct_series(folder)
    for index in [(0, 0, 0), (8, 6, 5), (2, 5, 3)]:
        here = volume.ijk_to_lps @ [*index, 1]
        assert np.allclose(here[:3], image.TransformIndexToPhysicalPoint(index), atol=1e-3)
        assert volume.array_hu[index[::-1]] == image[index]


def test_slices_acquired_downwards_are_ordered_upwards(tmp_path: Path) -> None:
    slices = ct_slices()
    for n, data in enumerate(slices):
        data.InstanceNumber = n
    assert is_right(read_ct_series(series(tmp_path, slices[::-1])))


def test_one_file_stands_for_its_series_among_others(tmp_path: Path) -> None:
    folder = series(tmp_path)
    other = ct_slices(hu=hu_block() // 2, SeriesInstanceUID="9.9.9", SeriesNumber=7)
    for n, data in enumerate(other):
        save(data, folder / f"other{n}")
    assert refusal(folder) == "SEVERAL_SERIES"
    assert is_right(read_ct_series(folder / "000.dcm"))
    assert is_right(read_volume(folder / "other3"), hu_block() // 2)


def test_the_refusal_of_several_series_lists_them(tmp_path: Path) -> None:
    folder = series(tmp_path)
    save_series(ct_slices(SeriesInstanceUID="9.9.9", SeriesNumber=7), folder.parent / "x")
    for file in (folder.parent / "x").iterdir():
        file.rename(folder / f"b{file.name}")
    with pytest.raises(InputError) as caught:
        read_ct_series(folder)
    assert "series 4 (6 slices" in caught.value.message
    assert "series 7 (6 slices" in caught.value.message


def test_series_in_sub_folders_are_found(tmp_path: Path) -> None:
    save_series(ct_slices(), tmp_path / "disc" / "study" / "series")
    assert is_right(read_ct_series(tmp_path / "disc"))


def test_junk_beside_the_slices_is_ignored(tmp_path: Path) -> None:
    folder = series(tmp_path)
    (folder / "README.txt").write_text("Dear colleague")
    (folder / "Thumbs.db").write_bytes(bytes(600))
    (folder / "empty").write_bytes(b"")
    (folder / "notes").mkdir()
    report = base("1.2.840.10008.5.1.4.1.1.88.11", "SR")
    save(report, folder / "report.dcm")
    dose = base(SecondaryCaptureImageStorage, "CT")
    dose.SeriesInstanceUID = "7.7"
    set_pixels(dose, np.zeros((5, 5), np.uint8))
    save(dose, folder / "dose.dcm")
    assert is_right(read_ct_series(folder))


@pytest.mark.parametrize("same_series", [True, False])
def test_a_localizer_is_left_out_and_said_so(tmp_path: Path, same_series: bool) -> None:
    scout = ct_slices(DIRECTIONS["coronal"])[0]
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.SeriesInstanceUID = "1.2.3.4.5" if same_series else "8.8"
    volume = read_ct_series(series(tmp_path, [scout, *ct_slices()]))
    assert is_right(volume)
    assert "localizer" in volume.metadata[READING_KEY]


def test_exact_copies_are_left_out_and_said_so(tmp_path: Path) -> None:
    slices = ct_slices()
    volume = read_ct_series(series(tmp_path, [*slices, slices[2]]))
    assert is_right(volume)
    assert "1 exact cop" in volume.metadata[READING_KEY]


def test_two_images_of_one_position_are_refused(tmp_path: Path) -> None:
    two_phases = ct_slices() + ct_slices(hu=hu_block() // 2)
    assert refusal(series(tmp_path, two_phases)) == "SEVERAL_VOLUMES_AT_SAME_POSITION"


@pytest.mark.parametrize("lost", [[3], [2, 3], [1, 4], [4]])
def test_missing_slices_are_refused(tmp_path: Path, lost: list[int]) -> None:
    slices = [data for n, data in enumerate(ct_slices(hu=hu_block((9, 7, 9)))) if n not in lost]
    assert refusal(series(tmp_path, slices)) == "MISSING_SLICES"


def moved(slices: list[Dataset], offsets_mm: np.ndarray) -> list[Dataset]:
    for data, offset in zip(slices, offsets_mm, strict=True):
        position = np.array([float(x) for x in data.ImagePositionPatient]) + offset
        data.ImagePositionPatient = [f"{x:.10g}" for x in position]
    return slices


def along_z(values: Any) -> np.ndarray:
    return np.outer(values, [0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    "offsets",
    [
        [0, 0, 0, 0, 1.5, 3.0, 4.5, 6.0, 7.5],  # 1.5 mm, then 3 mm
        [0, 0, 0, 0, 0.8, 1.6, 2.4, 3.2, 4.0],  # 1.5 mm, then 2.3 mm
        [0, 0, 0, 0, 0.4, 0, 0, 0, 0],  # one slice off
        [0, 0.02, 0.08, 0.18, 0.32, 0.5, 0.72, 0.98, 1.28],  # slowly growing
    ],
)
def test_changing_slice_spacing_is_refused(tmp_path: Path, offsets: list[float]) -> None:
    slices = moved(ct_slices(hu=hu_block((9, 7, 9))), along_z(offsets))
    assert refusal(series(tmp_path, slices)) == "NON_UNIFORM_SPACING"


def test_rounded_positions_are_no_reason_to_refuse(tmp_path: Path) -> None:
    jitter = 0.02 * np.array([1, -1, 1, 1, -1, -1])
    volume = read_ct_series(series(tmp_path, moved(ct_slices(), along_z(jitter))))
    assert volume.grid.same_as(expected_grid(np.eye(3), hu_block().shape), 0.05)


def test_gantry_tilt_is_refused(tmp_path: Path) -> None:
    tilt = np.tan(np.radians(15)) * 1.5 * np.arange(6)
    assert refusal(series(tmp_path, moved(ct_slices(), np.outer(tilt, [0, 1, 0])))) == (
        "SHEARED_GEOMETRY"
    )


def test_a_slice_beside_the_line_of_the_others_is_refused(tmp_path: Path) -> None:
    offsets = np.zeros((6, 3))
    offsets[2, 0] = 2.0
    assert refusal(series(tmp_path, moved(ct_slices(), offsets))) == "NOT_COLLINEAR"


def test_slices_of_different_kind_are_refused(tmp_path: Path) -> None:
    def with_one(name: str, **changes: Any) -> str:
        slices = ct_slices()
        for keyword, changed in changes.items():
            setattr(slices[3], keyword, changed)
        return refusal(save_series(slices, tmp_path / name))

    assert with_one("a", ImageOrientationPatient=[1, 0, 0, 0, -1, 0]) == "MIXED_GEOMETRY"
    assert with_one("b", PixelSpacing=[0.9, 0.7]) == "MIXED_GEOMETRY"
    assert with_one("c", FrameOfReferenceUID="5.5") == "MIXED_GEOMETRY"
    assert with_one("d", Rows=9, Columns=7) == "MIXED_GEOMETRY"
    assert with_one("e", ImagePositionPatient=None) == "NO_POSITION"
    assert with_one("f", ImageOrientationPatient=None) == "NO_POSITION"
    assert with_one("g", PixelSpacing=None) == "SPACING_UNKNOWN"
    assert with_one("h", RescaleType="EDW") == "NOT_CT"
    assert with_one("i", NumberOfFrames=2) == "MULTI_FRAME_CT"
    assert with_one("j", PhotometricInterpretation="RGB", SamplesPerPixel=3) == "COLOUR_IMAGE"


def test_a_cut_slice_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    folder = series(tmp_path)
    victim = folder / "014.dcm"
    whole = victim.read_bytes()
    for kept in [*np.linspace(132, len(whole) - 1, 40).astype(int), 0]:
        victim.write_bytes(whole[:kept])
        # Cut within its series' number, a slice belongs to another series.
        assert refusal(folder) in {"UNREADABLE_SLICE", "SEVERAL_SERIES"}


def test_too_few_slices_and_no_slices_have_their_codes(tmp_path: Path) -> None:
    assert refusal(save_series(ct_slices()[:2], tmp_path / "two")) == "TOO_FEW_SLICES"
    (tmp_path / "none").mkdir()
    assert refusal(tmp_path / "none") == "NO_DICOM"
    assert refusal(tmp_path / "nowhere") == "FILE_NOT_FOUND"
    magnetic = ct_slices(SOPClassUID=MRImageStorage, Modality="MR")
    folder = save_series(magnetic, tmp_path / "mr")
    assert refusal(folder) == "NOT_CT"
    assert refusal(folder / "000.dcm") == "NOT_CT"


def test_each_slice_brings_its_own_rescaling(tmp_path: Path) -> None:
    slices = ct_slices()
    for n, data in enumerate(slices):
        stored = (hu_block()[n].astype(np.int32) + 1024 + 50 * n).astype(np.uint16)
        set_pixels(data, stored)
        data.RescaleIntercept = str(-1024 - 50 * n)
    assert is_right(read_ct_series(series(tmp_path, slices)))


def test_fractional_slopes_give_float32_and_truncate_nothing(tmp_path: Path) -> None:
    slices = ct_slices()
    slices[2].RescaleSlope = "0.123"
    volume = read_ct_series(series(tmp_path, slices))
    assert volume.array_hu.dtype == np.float32
    stored = hu_block()[2].astype(np.float64) + 1024
    assert np.allclose(volume.array_hu[2], stored * 0.123 - 1024, atol=1e-3)
    assert np.array_equal(volume.array_hu[3], hu_block()[3])


def test_signed_values_and_garbage_above_the_stored_bits_are_handled(tmp_path: Path) -> None:
    hu = np.clip(hu_block(), -1024, 2047)
    slices = ct_slices(hu=hu, RescaleIntercept="0")
    for n, data in enumerate(slices):
        set_pixels(data, hu[n], 12)
        garbage = np.random.default_rng(n).integers(0, 16, hu[n].shape) << 12
        data.PixelData = ((hu[n].view(np.uint16) & 0x0FFF) | garbage).astype(np.uint16).tobytes()
    assert is_right(read_ct_series(series(tmp_path, slices)), hu)


def test_zeros_after_the_pixels_are_padding_and_other_bytes_are_not(tmp_path: Path) -> None:
    slices = ct_slices()
    slices[3].PixelData += bytes(64)
    assert is_right(read_ct_series(series(tmp_path, slices)))
    slices[3].PixelData += b"\1\1"
    assert refusal(save_series(slices, tmp_path / "b")) == "UNREADABLE_SLICE"


def test_monochrome1_changes_the_display_and_not_the_hu(tmp_path: Path) -> None:
    slices = ct_slices(PhotometricInterpretation="MONOCHROME1")
    assert is_right(read_ct_series(series(tmp_path, slices)))


def signed_slices(hu: np.ndarray, **changes: Any) -> list[Dataset]:
    slices = ct_slices(hu=hu, RescaleIntercept="0")
    for n, data in enumerate(slices):
        set_pixels(data, hu[n])
        for keyword, changed in changes.items():
            data.add_new(keyword, "US" if changed >= 0 else "SS", changed)
    return slices


@pytest.mark.parametrize("written", [-2000, 63536])
def test_padding_becomes_air(tmp_path: Path, written: int) -> None:
    hu = hu_block()
    hu[:, 0, :2] = -2000
    volume = read_ct_series(series(tmp_path, signed_slices(hu, PixelPaddingValue=written)))
    assert (volume.array_hu[:, 0, :2] == -1024).all()
    assert np.array_equal(volume.array_hu[:, 1:], hu[:, 1:])


def test_declared_padding_of_water_does_not_punch_holes(tmp_path: Path) -> None:
    hu = hu_block()
    hu[:, 3, 3] = 0
    hu[:, [0, 0, -1, -1], [0, -1, 0, -1]] = -1000
    volume = read_ct_series(series(tmp_path, signed_slices(hu, PixelPaddingValue=0)))
    assert is_right(volume, hu)
    hu[:, 0, 0] = 0
    assert refusal(save_series(signed_slices(hu, PixelPaddingValue=0), tmp_path / "b")) == (
        "AMBIGUOUS_PADDING"
    )


def test_unsigned_values_without_rescaling_are_no_hu(tmp_path: Path) -> None:
    slices = ct_slices()
    for data in slices:
        del data.RescaleSlope, data.RescaleIntercept, data.RescaleType
    assert refusal(series(tmp_path, slices)) == "NO_RESCALE"


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
def test_transfer_syntaxes_do_not_change_the_values(tmp_path: Path, syntax: str) -> None:
    slices = ct_slices()
    for data in slices:
        if syntax == RLELossless:
            data.compress(RLELossless)
            continue
        data.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
    assert is_right(read_ct_series(series(tmp_path, slices)))


@pytest.mark.parametrize("codec", ["JPEG", "JPEG2000"])
def test_compressed_pixels_are_decoded_without_loss(tmp_path: Path, codec: str) -> None:
    hu = hu_block((4, 33, 40))
    slices = ct_slices(hu=hu)
    for data in slices:
        stored = np.frombuffer(data.PixelData, np.uint16).reshape(1, 33, 40)
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(tmp_path / "packed.dcm"))
        writer.SetUseCompression(True)
        writer.SetCompressor(codec)
        writer.Execute(sitk.GetImageFromArray(stored))
        packed = dcmread(tmp_path / "packed.dcm")
        assert packed.file_meta.TransferSyntaxUID.is_compressed
        data.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
        data.PixelData = packed.PixelData
        data["PixelData"].VR = "OB"
        data["PixelData"].is_undefined_length = True
    assert is_right(read_ct_series(series(tmp_path, slices)), hu)


def test_a_file_without_preamble_is_still_a_slice(tmp_path: Path) -> None:
    folder = series(tmp_path)
    bare = ct_slices()[0]
    (folder / "000.dcm").unlink()
    del bare.file_meta
    bare.save_as(folder / "bare", implicit_vr=True, little_endian=True)
    assert is_right(read_ct_series(folder))


def test_the_marks_of_a_synthetic_series_are_seen(tmp_path: Path) -> None:
    assert not read_ct_series(series(tmp_path)).is_synthetic
    slices = ct_slices(SyntheticData="YES")
    assert read_ct_series(save_series(slices, tmp_path / "a")).is_synthetic
    slices = ct_slices(ImageType=["DERIVED", "SECONDARY", "AXIAL", "SYNTHETIC"])
    assert read_ct_series(save_series(slices, tmp_path / "b")).is_synthetic


def test_no_name_or_number_of_the_patient_is_kept(tmp_path: Path) -> None:
    slices = ct_slices()
    volume = read_ct_series(series(tmp_path, [*slices, slices[2]]))
    assert not any(canary in str(dict(volume.metadata)) for canary in CANARIES)


def test_deep_nesting_is_refused_and_does_not_end_the_process(tmp_path: Path) -> None:
    nested = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    start = save(base(CTImageStorage, "CT"), tmp_path / "start").read_bytes()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "deep.dcm").write_bytes(start + nested * 15_000)
    assert refusal(tmp_path / "deep") == "UNREADABLE_SLICE"


def test_damaged_headers_end_in_a_refusal_or_a_whole_volume(tmp_path: Path) -> None:
    folder = series(tmp_path)
    victim = folder / "014.dcm"
    whole = victim.read_bytes()
    random = np.random.default_rng(6)
    for _ in range(120):
        damaged = bytearray(whole)
        for at in random.integers(132, len(whole), 4):
            damaged[at] = random.integers(0, 256)
        victim.write_bytes(damaged)
        try:
            volume = read_ct_series(folder)
        except InputError:
            continue
        assert volume.shape in {(6, 7, 9), (5, 7, 9)}


def test_a_turned_series_keeps_its_turn(tmp_path: Path) -> None:
    direction = rotation((0.3, -0.2, 1), 90)
    volume = read_ct_series(series(tmp_path, ct_slices(direction)))
    assert np.allclose(volume.grid.direction, direction, atol=1e-6)
