"""Volume files: the same place, the same HU, or a refusal with a code."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from TomoRayCore.errors import InputError
from TomoRayCore.io.volume_io import read_volume, write_volume
from TomoRayCore.volume import Volume

SUFFIXES = [".nrrd", ".nii", ".nii.gz", ".mha", ".mhd"]


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_volume(path)
    assert caught.value.remedy
    return caught.value.code


def written(volume: Volume, path: Path) -> Path:
    write_volume(volume, path)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_round_trip_keeps_place_and_hu(
    placed_volume: Volume, tmp_path: Path, suffix: str
) -> None:
    again = read_volume(written(placed_volume, tmp_path / f"ct{suffix}"))
    assert again.array_hu.dtype == np.int16
    assert np.array_equal(again.array_hu, placed_volume.array_hu)
    assert again.grid.same_as(placed_volume.grid, 1e-3)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_itk_agrees_on_the_place_of_every_file(
    placed_volume: Volume, tmp_path: Path, suffix: str
) -> None:
    image = sitk.ReadImage(str(written(placed_volume, tmp_path / f"ct{suffix}")))
    for index in [(0, 0, 0), (10, 0, 0), (3, 8, 6)]:
        here = placed_volume.ijk_to_lps @ [*index, 1]
        there = image.TransformIndexToPhysicalPoint(index)
        assert np.allclose(here[:3], there, atol=1e-3)
        assert image[index] == placed_volume.array_hu[index[::-1]]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_fractional_hu_stay_float32(oblique_volume: Volume, tmp_path: Path, suffix: str) -> None:
    values = oblique_volume.array_hu.astype(np.float32) / 100 + np.float32(0.125)
    volume = Volume(values, oblique_volume.ijk_to_lps)
    again = read_volume(written(volume, tmp_path / f"ct{suffix}"))
    assert again.array_hu.dtype == np.float32
    assert np.array_equal(again.array_hu, values)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_mark_of_a_synthetic_ct_survives_every_format(
    oblique_volume: Volume, tmp_path: Path, suffix: str
) -> None:
    keys = {
        "tomoray_synthetic": "true",
        "tomoray_geometry": '{\n "a": "x := y = \\n",\n "b": 1}',
        "PatientName": "Canary^Jane",
    }
    volume = Volume(oblique_volume.array_hu, oblique_volume.ijk_to_lps, keys)
    path = written(volume, tmp_path / f"sct{suffix}")
    again = read_volume(path)
    assert again.is_synthetic
    assert not read_volume(written(oblique_volume, tmp_path / f"ct{suffix}")).is_synthetic
    if not suffix.startswith(".nii"):
        assert dict(again.metadata) == {k: v for k, v in keys.items() if k != "PatientName"}
    assert b"Canary" not in path.read_bytes()


def test_nifti_carries_the_mark_where_other_programs_show_it(
    oblique_volume: Volume, tmp_path: Path
) -> None:
    volume = Volume(
        oblique_volume.array_hu, oblique_volume.ijk_to_lps, {"tomoray_synthetic": "true"}
    )
    header = written(volume, tmp_path / "sct.nii").read_bytes()
    assert header[148:228].rstrip(b"\0") == b"SYNTHETIC CT not for diagnosis"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_writing_leaves_no_other_files(oblique_volume: Volume, tmp_path: Path, suffix: str) -> None:
    write_volume(oblique_volume, tmp_path / f"ct{suffix}")
    expected = {f"ct{suffix}"} | ({"ct.zraw"} if suffix == ".mhd" else set())
    assert {p.name for p in tmp_path.iterdir()} == expected


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_cut_anywhere_is_refused(
    oblique_volume: Volume, tmp_path: Path, suffix: str
) -> None:
    path = written(oblique_volume, tmp_path / f"ct{suffix}")
    victim = path.with_suffix(".zraw") if suffix == ".mhd" else path
    whole = victim.read_bytes()
    for kept in np.linspace(1, len(whole) - 1, 60).astype(int):
        victim.write_bytes(whole[:kept])
        assert refusal(path) in {
            "TRUNCATED_FILE",
            "BAD_HEADER",
            "UNREADABLE_FILE",
            "UNSUPPORTED_FORMAT",
        }


def uncompressed(volume: Volume, path: Path) -> Path:
    image = sitk.GetImageFromArray(volume.array_hu)
    image.SetSpacing(volume.spacing_ijk_mm)
    image.SetDirection(volume.grid.direction.ravel().tolist())
    image.SetOrigin(volume.ijk_to_lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
def test_uncompressed_files_are_read_and_their_length_is_checked(
    oblique_volume: Volume, tmp_path: Path, suffix: str
) -> None:
    path = uncompressed(oblique_volume, tmp_path / f"ct{suffix}")
    again = read_volume(path)
    assert np.array_equal(again.array_hu, oblique_volume.array_hu)
    assert again.grid.same_as(oblique_volume.grid)
    data = path.with_suffix(".raw") if suffix in (".nhdr", ".mhd") else path
    whole = data.read_bytes()
    data.write_bytes(whole[:-1])
    assert refusal(path) == "TRUNCATED_FILE"
    data.write_bytes(whole + b"\0\0")
    assert refusal(path) == "SIZE_MISMATCH"


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_every_number_type_is_read_exactly(tmp_path: Path, suffix: str, dtype: Any) -> None:
    values = np.arange(5 * 4 * 3).reshape(5, 4, 3).astype(dtype)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / f"a{suffix}"))
    again = read_volume(tmp_path / f"a{suffix}")
    assert np.array_equal(again.array_hu, values)
    assert again.array_hu.dtype == (np.float32 if np.dtype(dtype).kind == "f" else np.int16)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_time_series_and_colour_are_refused(tmp_path: Path, suffix: str) -> None:
    four = sitk.JoinSeries([sitk.Image([5, 6, 7], sitk.sitkInt16)] * 3)
    sitk.WriteImage(four, str(tmp_path / f"t{suffix}"))
    assert refusal(tmp_path / f"t{suffix}") in {"NOT_3D", "SEVERAL_CHANNELS"}
    colour = sitk.Image([5, 6, 7], sitk.sitkVectorUInt8, 3)
    sitk.WriteImage(colour, str(tmp_path / f"c{suffix}"))
    assert refusal(tmp_path / f"c{suffix}") in {"NOT_3D", "SEVERAL_CHANNELS"}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("spacing", [(0.01, 1, 1), (1, 1, 30)])
def test_implausible_voxel_sizes_are_refused(
    tmp_path: Path, suffix: str, spacing: tuple[float, float, float]
) -> None:
    image = sitk.Image([5, 6, 7], sitk.sitkInt16)
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    assert refusal(tmp_path / f"a{suffix}") == "BAD_SPACING"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nan_is_refused(tmp_path: Path, suffix: str) -> None:
    values = np.zeros((5, 6, 7), np.float32)
    values[2, 3, 4] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / f"a{suffix}"))
    assert refusal(tmp_path / f"a{suffix}") == "NON_FINITE"


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "EMPTY_FILE"),
        (b"Dear colleague,\nplease find attached\n" * 40, "BAD_HEADER"),
        (bytes(2000), "BAD_HEADER"),
    ],
)
def test_files_that_are_something_else_are_refused(
    tmp_path: Path, suffix: str, content: bytes, code: str
) -> None:
    (tmp_path / f"a{suffix}").write_bytes(content)
    assert refusal(tmp_path / f"a{suffix}") == code


def test_missing_files_and_unknown_suffixes_have_their_codes(
    tmp_path: Path, oblique_volume: Volume
) -> None:
    assert refusal(tmp_path / "nothing.nrrd") == "FILE_NOT_FOUND"
    (tmp_path / "a.stl").write_bytes(b"solid")
    assert refusal(tmp_path / "a.stl") == "UNSUPPORTED_FORMAT"
    with pytest.raises(InputError) as caught:
        write_volume(oblique_volume, tmp_path / "a.stl")
    assert caught.value.code == "UNSUPPORTED_FORMAT"


def test_an_absurd_header_is_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "bomb.nrrd").write_bytes(
        b"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\n"
        b"sizes: 60000 60000 1000\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
        b"endian: little\nencoding: gzip\nspace origin: (0,0,0)\n\n" + gzip.compress(bytes(100))
    )
    assert refusal(tmp_path / "bomb.nrrd") == "TOO_LARGE"


def nrrd(path: Path, lines: str, data: bytes) -> Path:
    path.write_bytes(b"NRRD0005\n" + lines.encode() + b"\n" + data)
    return path


PLAIN = "type: short\ndimension: 3\nsizes: 2 3 4\nendian: little\nencoding: raw\n"
DATA = np.arange(24, dtype="<i2").tobytes()


@pytest.mark.parametrize("space", ["right-anterior-superior", "RAS", "left-anterior-superior"])
def test_nrrd_in_another_world_lands_where_itk_puts_it(tmp_path: Path, space: str) -> None:
    lines = "space directions: (0,2,0) (0,0,3) (1,0,0)\nspace origin: (5,6,7)\n"
    path = nrrd(tmp_path / "a.nrrd", PLAIN + f"space: {space}\n" + lines, DATA)
    image = sitk.ReadImage(str(path))
    volume = read_volume(path)
    for index in [(0, 0, 0), (1, 2, 3)]:
        here = volume.ijk_to_lps @ [*index, 1]
        assert np.allclose(here[:3], image.TransformIndexToPhysicalPoint(index))


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("", "SPACING_UNKNOWN"),
        ("spacings: 1 1 2\n", "ORIENTATION_UNKNOWN"),
        ("space: LPS\nspace directions: (1,0,0) (0.3,1,0) (0,0,1)\n", "SHEARED_GEOMETRY"),
        ("space: LPS\nspace directions: (1,0,0) (0,1,0) (0,1,0)\n", "BAD_AFFINE"),
        ("space: LPS\nspace directions: (nan,0,0) (0,1,0) (0,0,1)\n", "BAD_HEADER"),
        ("space: LPS\nspace directions: (1,0,0) (0,1,0)\n", "BAD_HEADER"),
        ("space: LPS\nkinds: vector domain domain\n", "SEVERAL_CHANNELS"),
        ('space: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace units: "m" "m" "m"\n',
         "BAD_HEADER"),
    ],
)  # fmt: skip
def test_nrrd_without_a_clear_place_is_refused(tmp_path: Path, lines: str, code: str) -> None:
    assert refusal(nrrd(tmp_path / "a.nrrd", PLAIN + lines, DATA)) == code


def test_text_and_big_endian_nrrd_are_read(tmp_path: Path) -> None:
    place = "space: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (0,0,0)\n"
    expected = np.arange(24).reshape(4, 3, 2)
    text = PLAIN.replace("raw", "ascii") + place
    path = nrrd(tmp_path / "t.nrrd", text, " ".join(map(str, range(24))).encode())
    assert np.array_equal(read_volume(path).array_hu, expected)
    big = PLAIN.replace("little", "big") + place
    path = nrrd(tmp_path / "b.nrrd", big, np.arange(24, dtype=">i2").tobytes())
    assert np.array_equal(read_volume(path).array_hu, expected)


def test_a_header_cannot_point_at_files_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret.raw").write_bytes(DATA)
    place = "space: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,2)\n"
    for name in ("../secret.raw", str(tmp_path / "secret.raw")):
        path = nrrd(folder / "a.nhdr", PLAIN + place + f"data file: {name}\n", b"")
        assert refusal(path) == "FILE_NOT_FOUND"


def patched(path: Path, changes: Callable[[bytearray], None]) -> Path:
    data = bytearray(path.read_bytes())
    changes(data)
    path.write_bytes(data)
    return path


def test_nifti_slope_and_intercept_are_applied(oblique_volume: Volume, tmp_path: Path) -> None:
    path = written(Volume(np.full((5, 6, 7), 100), np.eye(4)), tmp_path / "a.nii")
    patched(path, lambda data: struct.pack_into("<ff", data, 112, 2.0, -1024.0))
    assert read_volume(path).array_hu.dtype == np.int16
    assert (read_volume(path).array_hu == -824).all()
    patched(path, lambda data: struct.pack_into("<ff", data, 112, 0.5, 0.25))
    assert (read_volume(path).array_hu == np.float32(50.25)).all()
    for unscaled in (0.0, float("nan")):
        patched(path, lambda data, s=unscaled: struct.pack_into("<ff", data, 112, s, 7.0))
        assert (read_volume(path).array_hu == 100).all()


def test_nifti_with_only_one_of_its_two_places_is_read(
    placed_volume: Volume, tmp_path: Path
) -> None:
    for code_offset in (252, 254):
        path = written(placed_volume, tmp_path / "a.nii")
        patched(path, lambda data, at=code_offset: struct.pack_into("<h", data, at, 0))
        assert read_volume(path).grid.same_as(placed_volume.grid, 1e-3)


def test_nifti_with_unclear_places_is_refused(oblique_volume: Volume, tmp_path: Path) -> None:
    path = tmp_path / "a.nii"

    def refused_after(changes: Callable[[bytearray], None]) -> str:
        return refusal(patched(written(oblique_volume, path), changes))

    assert refused_after(lambda d: struct.pack_into("<hh", d, 252, 0, 0)) == "ORIENTATION_UNKNOWN"
    assert refused_after(lambda d: struct.pack_into("<f", d, 268, 40.0)) == "AFFINE_CONTRADICTION"
    assert refused_after(lambda d: struct.pack_into("<f", d, 80, 0.7)) == "AFFINE_CONTRADICTION"
    assert refused_after(lambda d: struct.pack_into("<f", d, 284, 0.5)) == "SHEARED_GEOMETRY"
    assert refused_after(lambda d: struct.pack_into("<4s", d, 344, b"ni1")) == "UNSUPPORTED_FORMAT"
    assert refused_after(lambda d: struct.pack_into("<h", d, 70, 99)) == "BAD_HEADER"


def test_nifti_by_another_writer_lands_in_the_same_place(
    placed_volume: Volume, tmp_path: Path
) -> None:
    nibabel = pytest.importorskip("nibabel")
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ placed_volume.ijk_to_lps
    array = placed_volume.array_hu.transpose(2, 1, 0)
    for kind, name in ((nibabel.Nifti1Image, "1.nii.gz"), (nibabel.Nifti2Image, "2.nii.gz")):
        kind(array, ras).to_filename(tmp_path / name)
        again = read_volume(tmp_path / name)
        assert np.array_equal(again.array_hu, placed_volume.array_hu)
        assert again.grid.same_as(placed_volume.grid, 1e-3)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_headers_end_in_a_refusal_or_a_plausible_volume(
    oblique_volume: Volume, tmp_path: Path, suffix: str
) -> None:
    path = written(oblique_volume, tmp_path / f"ct{suffix}")
    whole = path.read_bytes()
    random = np.random.default_rng(5)
    for _ in range(150):
        damaged = bytearray(whole)
        for at in random.integers(0, min(len(whole), 400), 3):
            damaged[at] = random.integers(0, 256)
        path.write_bytes(damaged)
        try:
            volume = read_volume(path)
        except InputError:
            continue
        assert all(0.05 <= mm <= 10 for mm in volume.spacing_ijk_mm)
