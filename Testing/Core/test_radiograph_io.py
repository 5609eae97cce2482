"""Radiograph files: grey values, view, spacing and polarity as they are, or a refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.io.radiograph_io import read_radiograph, write_drr
from TomoRayCore.presets import from_preset


def grey(dtype: Any = np.uint16, shape: tuple[int, int] = (21, 34)) -> np.ndarray:
    """Return grey values without symmetry over the type's whole range."""
    top = np.iinfo(dtype).max
    return np.random.default_rng(1).integers(0, top, shape, endpoint=True).astype(dtype)


def refusal(path: Path, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_radiograph(path, *args, **kwargs)
    assert caught.value.remedy
    return caught.value.code


@pytest.fixture
def acquisition() -> AcquisitionGeometry:
    return from_preset(size=24, isocentre_lps=(1.0, -2.5, 30.0), views=("AP", "LAT"))


@pytest.fixture
def line_integrals() -> np.ndarray:
    return np.random.default_rng(2).random((24, 24)).astype(np.float32) * 7


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_pictures_are_read_to_the_last_bit(tmp_path: Path, dtype: Any, suffix: str) -> None:
    Image.fromarray(grey(dtype)).save(tmp_path / f"a{suffix}")
    radiograph = read_radiograph(tmp_path / f"a{suffix}", "LAT")
    assert np.array_equal(radiograph.pixels, grey(dtype))
    assert radiograph.view == "LAT"
    assert radiograph.quantity == "relative"


def test_dpi_is_never_taken_for_spacing(tmp_path: Path) -> None:
    for suffix in (".png", ".tif", ".jpg"):
        Image.fromarray(grey(np.uint8)).save(tmp_path / f"a{suffix}", dpi=(72, 72))
        radiograph = read_radiograph(tmp_path / f"a{suffix}", "AP")
        assert radiograph.pixel_spacing_mm is None
        assert "unknown" in radiograph.provenance["spacing"]


def test_the_callers_spacing_is_used_and_on_record(tmp_path: Path) -> None:
    Image.fromarray(grey()).save(tmp_path / "a.png")
    one = read_radiograph(tmp_path / "a.png", "AP", spacing_mm=0.2)
    two = read_radiograph(tmp_path / "a.png", "AP", spacing_mm=(0.2, 0.1))
    assert one.pixel_spacing_mm == (0.2, 0.2)
    assert two.pixel_spacing_mm == (0.2, 0.1)
    assert two.provenance["spacing"] == "given by the caller: 0.2 x 0.1 mm"
    for bad in (0.0, -1.0, float("nan"), (0.1,), "wide"):
        assert refusal(tmp_path / "a.png", "AP", spacing_mm=bad) == "BAD_SPACING"


def test_inversion_swaps_black_and_white_and_nothing_else(tmp_path: Path) -> None:
    Image.fromarray(grey()).save(tmp_path / "a.png")
    plain = read_radiograph(tmp_path / "a.png", "AP").pixels
    inverted = read_radiograph(tmp_path / "a.png", "AP", invert=True)
    assert np.array_equal(inverted.pixels, plain.max() + plain.min() - plain)
    assert inverted.provenance["polarity"].startswith("inverted by the caller")


def test_a_view_is_needed_and_must_be_known(tmp_path: Path) -> None:
    Image.fromarray(grey()).save(tmp_path / "a.png")
    assert refusal(tmp_path / "a.png") == "VIEW_UNKNOWN"
    assert refusal(tmp_path / "a.png", "TOP") == "VIEW_UNKNOWN"
    assert read_radiograph(tmp_path / "a.png", "lat").view == "LAT"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_min_is_white_tiff_is_inverted(tmp_path: Path, dtype: Any) -> None:
    tifffile = pytest.importorskip("tifffile")
    values = (grey(np.uint8)).astype(dtype)
    tifffile.imwrite(tmp_path / "white.tif", values, photometric="miniswhite")
    tifffile.imwrite(tmp_path / "black.tif", values, photometric="minisblack")
    white = read_radiograph(tmp_path / "white.tif", "AP")
    black = read_radiograph(tmp_path / "black.tif", "AP")
    assert np.array_equal(black.pixels, values)
    assert np.ptp(white.pixels + black.pixels) == 0
    assert "MINISWHITE" in white.provenance["photometric"]


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.float32])
def test_tiff_number_types_keep_their_order(tmp_path: Path, dtype: Any) -> None:
    tifffile = pytest.importorskip("tifffile")
    values = (np.arange(400).reshape(20, 20) * 9 - 100 * (dtype == np.int16)).astype(dtype)
    values[-1, -1] = 2**32 - 2**9 if dtype == np.uint32 else 4000
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    assert np.array_equal(read_radiograph(tmp_path / "a.tif", "AP").pixels, values)


def test_tiled_and_compressed_tiff_keeps_16_bits(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    values = grey(shape=(48, 34))
    tifffile.imwrite(tmp_path / "a.tif", values, tile=(16, 16), compression="zlib",
                     photometric="minisblack")  # fmt: skip
    assert np.array_equal(read_radiograph(tmp_path / "a.tif", "AP").pixels, values)


def test_a_tiff_with_pages_is_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(grey(np.uint8)), Image.fromarray(grey(np.uint8))]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert refusal(tmp_path / "a.tif", "AP") == "SEVERAL_IMAGES"


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_colour_photograph_is_refused(tmp_path: Path, suffix: str) -> None:
    ramp = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8)
    photo = np.stack([ramp, 255 - ramp, ramp // 2], axis=-1)
    Image.fromarray(photo).save(tmp_path / f"a{suffix}")
    assert refusal(tmp_path / f"a{suffix}", "AP") == "COLOUR_IMAGE"


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_grey_stored_as_colour_is_accepted(tmp_path: Path, suffix: str) -> None:
    ramp = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8)
    Image.fromarray(np.stack([ramp] * 3, axis=-1)).save(tmp_path / f"a{suffix}")
    pixels = read_radiograph(tmp_path / f"a{suffix}", "AP").pixels
    assert np.abs(pixels - ramp).max() <= (3 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_ignored_only_where_opaque(tmp_path: Path, mode: str) -> None:
    opaque = Image.fromarray(grey(np.uint8)).convert(mode)
    opaque.save(tmp_path / "a.png")
    assert np.array_equal(read_radiograph(tmp_path / "a.png", "AP").pixels, grey(np.uint8))
    opaque.putpixel((3, 4), (9, 0) if mode == "LA" else (9, 9, 9, 0))
    opaque.save(tmp_path / "a.png")
    assert refusal(tmp_path / "a.png", "AP") == "TRANSPARENT_IMAGE"


def test_a_palette_of_greys_is_looked_up(tmp_path: Path) -> None:
    image = Image.fromarray(grey(np.uint8) % 4).convert("P")
    image.putpalette([200, 200, 200, 100, 100, 100, 50, 50, 50, 0, 0, 0])
    image.save(tmp_path / "a.png")
    expected = np.array([200, 100, 50, 0])[grey(np.uint8) % 4]
    assert np.array_equal(read_radiograph(tmp_path / "a.png", "AP").pixels, expected)


def test_a_phone_photo_is_turned_upright(tmp_path: Path) -> None:
    image = Image.fromarray(
        np.kron(np.arange(6).reshape(2, 3) * 40, np.ones((16, 16))).astype("u1")
    )
    exif = Image.Exif()
    exif[274] = 6
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    radiograph = read_radiograph(tmp_path / "a.jpg", "AP")
    assert radiograph.shape == (48, 32)
    assert abs(radiograph.pixels[0, -1] - 0) < 4
    assert abs(radiograph.pixels[0, 0] - 120) < 4
    assert "orientation" in radiograph.provenance


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_damaged_pictures_end_in_a_refusal(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(grey(np.uint8)).save(path)
    whole = path.read_bytes()
    for kept in np.linspace(1, len(whole) - 40, 30).astype(int):
        path.write_bytes(whole[:kept])
        assert refusal(path, "AP") in {"UNREADABLE_FILE", "UNSUPPORTED_FORMAT"}
    random = np.random.default_rng(4)
    for _ in range(60):
        damaged = bytearray(whole)
        for at in random.integers(0, min(300, len(whole)), 3):
            damaged[at] = random.integers(0, 256)
        path.write_bytes(damaged)
        try:
            read_radiograph(path, "AP")
        except InputError:
            continue


def test_a_picture_bomb_is_refused(tmp_path: Path) -> None:
    Image.new("1", (20_000, 12_000)).save(tmp_path / "bomb.png")
    assert refusal(tmp_path / "bomb.png", "AP") == "TOO_LARGE"


def test_files_that_are_no_radiographs_have_their_codes(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nothing.png", "AP") == "FILE_NOT_FOUND"
    for name, content, code in [
        ("a.png", b"", "EMPTY_FILE"),
        ("a.png", b"Dear colleague", "UNSUPPORTED_FORMAT"),
        ("a.docx", b"PK" + bytes(300), "UNSUPPORTED_FORMAT"),
        ("a.nrrd", b"Dear colleague\n", "BAD_HEADER"),
    ]:
        (tmp_path / name).write_bytes(content)
        assert refusal(tmp_path / name, "AP") == code
    sitk.WriteImage(sitk.Image([20, 20, 5], sitk.sitkInt16), str(tmp_path / "v.nrrd"))
    assert refusal(tmp_path / "v.nrrd", "AP") == "NOT_2D"
    Image.fromarray(np.full((20, 20), 7, np.uint8)).save(tmp_path / "blank.png")
    assert refusal(tmp_path / "blank.png", "AP") == "CONSTANT_IMAGE"


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_plain_two_dimensional_images_bring_their_spacing(tmp_path: Path, suffix: str) -> None:
    image = sitk.GetImageFromArray(grey())
    image.SetSpacing((0.15, 0.2))
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    radiograph = read_radiograph(tmp_path / f"a{suffix}", "PA")
    assert radiograph.pixel_spacing_mm == (0.2, 0.15)
    assert np.array_equal(radiograph.pixels, grey())
    volume = sitk.JoinSeries([image])
    sitk.WriteImage(volume, str(tmp_path / f"b{suffix}"))
    assert read_radiograph(tmp_path / f"b{suffix}", "PA").pixel_spacing_mm == (0.2, 0.15)


def test_one_millimetre_that_nobody_measured_is_unknown(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(grey()), str(tmp_path / "a.nrrd"))
    assert read_radiograph(tmp_path / "a.nrrd", "AP").pixel_spacing_mm is None


def test_a_drr_comes_back_with_its_numbers_and_its_geometry(
    tmp_path: Path, acquisition: AcquisitionGeometry, line_integrals: np.ndarray
) -> None:
    write_drr(tmp_path / "lat.nrrd", line_integrals, acquisition, "LAT")
    radiograph = read_radiograph(tmp_path / "lat.nrrd")
    assert np.array_equal(radiograph.pixels, line_integrals)
    assert radiograph.view == "LAT"
    assert radiograph.quantity == "line_integral"
    assert radiograph.acquisition == acquisition
    assert radiograph.pixel_spacing_mm == acquisition.view("LAT").pixel_spacing_mm
    header = (tmp_path / "lat.nrrd").read_bytes()
    assert b"tomoray_mu_water_per_mm:=0.02059" in header


def test_a_drr_picture_is_bone_white_and_knows_its_geometry(
    tmp_path: Path, acquisition: AcquisitionGeometry, line_integrals: np.ndarray
) -> None:
    write_drr(tmp_path / "ap.png", line_integrals, acquisition, "AP")
    with Image.open(tmp_path / "ap.png") as image:
        grey = np.asarray(image)
    assert grey.dtype == np.uint16
    assert grey.max() == 65535
    assert np.corrcoef(grey.ravel(), line_integrals.ravel())[0, 1] > 0.999999
    radiograph = read_radiograph(tmp_path / "ap.png")
    assert radiograph.acquisition == acquisition
    assert radiograph.pixel_spacing_mm == acquisition.view("AP").pixel_spacing_mm


def test_what_contradicts_a_drr_is_refused(
    tmp_path: Path, acquisition: AcquisitionGeometry, line_integrals: np.ndarray
) -> None:
    for name in ("a.nrrd", "a.png", "a.tif", "a.dcm"):
        path = tmp_path / name
        write_drr(path, line_integrals, acquisition, "AP")
        assert refusal(path, "LAT") == "VIEW_CONTRADICTION"
        assert refusal(path, "AP", invert=True) == "POLARITY_CONTRADICTION"
        assert refusal(path, "AP", spacing_mm=0.1) == "SPACING_CONTRADICTION"
        own = acquisition.view("AP").pixel_spacing_mm
        assert read_radiograph(path, "AP", spacing_mm=own).pixel_spacing_mm == own


def test_a_cropped_drr_has_lost_its_geometry(
    tmp_path: Path, acquisition: AcquisitionGeometry, line_integrals: np.ndarray
) -> None:
    write_drr(tmp_path / "a.png", line_integrals, acquisition, "AP")
    with Image.open(tmp_path / "a.png") as image:
        text = image.text  # type: ignore[attr-defined]
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        for key, value in text.items():
            info.add_text(key, value)
        image.crop((0, 0, 20, 24)).save(tmp_path / "cropped.png", pnginfo=info)
    assert refusal(tmp_path / "cropped.png") == "GEOMETRY_CONTRADICTION"


def test_a_drr_that_does_not_fit_its_geometry_is_not_written(
    tmp_path: Path, acquisition: AcquisitionGeometry, line_integrals: np.ndarray
) -> None:
    broken = line_integrals.copy()
    broken[3, 4] = np.nan
    for pixels, label, name, code in [
        (line_integrals[:-1], "AP", "a.nrrd", "GEOMETRY_CONTRADICTION"),
        (broken, "AP", "a.nrrd", "NON_FINITE"),
        (line_integrals, "PA", "a.nrrd", "VIEW_UNKNOWN"),
        (line_integrals, "AP", "a.jpg", "UNSUPPORTED_FORMAT"),
    ]:
        with pytest.raises(InputError) as caught:
            write_drr(tmp_path / name, pixels, acquisition, label)
        assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_provenance_names_neither_file_nor_folder(tmp_path: Path) -> None:
    folder = tmp_path / "Canary^Jane"
    folder.mkdir()
    Image.fromarray(grey()).save(folder / "SMITH_JOHN.png")
    record = dict(read_radiograph(folder / "SMITH_JOHN.png", "AP").provenance)
    assert "SMITH" not in str(record)
    assert "Canary" not in str(record)
    assert set(record) >= {"source", "format", "polarity", "spacing", "view"}
