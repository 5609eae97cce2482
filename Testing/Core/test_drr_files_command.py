"""``tomoray drr``: what its options do, many CTs in one run, and how little it loads."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_factory import ct_slices, save_series
from PIL import Image

from TomoRayCore.__main__ import main
from TomoRayCore.drr import project
from TomoRayCore.drr_cases import drr_rows
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.io.radiograph_io import read_radiograph
from TomoRayCore.io.volume_io import read_volume, write_volume
from TomoRayCore.outputs import sha256_of
from TomoRayCore.pipeline import drr_files
from TomoRayCore.volume import Volume

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tomoray(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``tomoray drr`` with centred, small, NRRD defaults; return code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        defaults = ["--isocentre", "centre", "--size", "48", "--format", "nrrd"]
        code = main(["drr", *defaults, *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def record_of(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "drr.json").read_text(encoding="utf-8"))
    return data


def report_of(folder: Path) -> dict[str, str]:
    with (folder / "report.csv").open(encoding="utf-8") as file:
        return {row["case"]: row["status"] for row in csv.DictReader(file)}


# ------------------------------------------------------------------------------- options


def test_the_options_of_the_geometry_reach_the_files(tmp_path, tiny_ct, tomoray):
    code, _, err = tomoray(
        tiny_ct, "--out", tmp_path, "--views=-45,ap,120:10", "--size", "40,56", "--spacing", "9,7",
        "--sad", "900", "--sdd", "1200", "--rotate=-3", "--detector-offset=-5,2.5",
    )  # fmt: skip
    assert code == 0, err
    geometry = AcquisitionGeometry.from_json((tmp_path / "geometry.json").read_text())
    assert geometry.labels == ("A-45", "AP", "A120T10")
    view = geometry.view("A120T10")
    assert view.size == (40, 56)
    assert view.pixel_spacing_mm == (9, 7)
    assert view.sad_mm(geometry.isocentre_lps) == pytest.approx(900)
    assert view.sdd_mm == pytest.approx(1200)
    film = read_radiograph(tmp_path / "a120t10.nrrd")
    assert film.acquisition == geometry
    (expected,) = project(
        read_volume(tiny_ct), AcquisitionGeometry("one", geometry.isocentre_lps, (view,))
    )
    assert np.abs(film.pixels - expected).max() < 1e-4 * expected.max()


def test_the_record_beside_the_images_tells_all_that_made_them(tmp_path, tiny_ct, tomoray):
    assert tomoray(tiny_ct, "--out", tmp_path, "--parallel", "--format", "nrrd,tiff")[0] == 0
    record = record_of(tmp_path)
    assert record["source_sha256"] == sha256_of(tiny_ct)
    assert record["attenuation"]["name"] == "water-60kev"
    assert record["physics"] == {}
    assert record["geometry"]["views"][0]["beam"] == "parallel"
    assert record["files"].keys() == {"ap.nrrd", "lat.nrrd", "ap.tif", "lat.tif"}
    assert str(tiny_ct.parent) not in json.dumps(record)
    assert {path.name for path in tmp_path.iterdir()} == {
        *record["files"], "drr.json", "geometry.json",
    }  # fmt: skip


def test_every_format_holds_the_same_drr(tmp_path, tiny_ct, tomoray):
    assert tomoray(tiny_ct, "--out", tmp_path, "--format", "nrrd,tiff,png,dicom")[0] == 0
    exact = read_radiograph(tmp_path / "lat.nrrd")
    for suffix in ("tif", "png", "dcm"):
        other = read_radiograph(tmp_path / f"lat.{suffix}")
        assert np.abs(other.pixels - exact.pixels).max() <= exact.pixels.max() / 65535
        assert other.acquisition == exact.acquisition


def test_structures_share_out_the_head(tmp_path, tiny_ct, tomoray):
    ct = read_volume(tiny_ct)
    # In another order of axes: a mask lies in the world, not in an array.
    flipped = Volume(
        ((ct.array_hu >= 300) * 1)[::-1],
        ct.ijk_to_lps
        @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, ct.shape[0] - 1], [0, 0, 0, 1]]),
    )
    write_volume(flipped, tmp_path / "mask.nrrd")
    parts = f"bone,soft,dense=300:,skull={tmp_path / 'mask.nrrd'}"
    assert tomoray(tiny_ct, "--out", tmp_path / "o", "--structures", parts)[0] == 0

    def pixels(part: str) -> np.ndarray:
        return read_radiograph(tmp_path / "o" / f"ap{part}.nrrd").pixels

    assert np.allclose(pixels("-bone") + pixels("-soft-tissue"), pixels(""), atol=1e-4)
    assert np.allclose(pixels("-dense"), pixels("-bone"), atol=1e-5)
    assert np.allclose(pixels("-skull"), pixels("-bone"), atol=1e-5)
    assert read_radiograph(tmp_path / "o" / "ap-bone.nrrd").provenance["structure"] == "bone"


@pytest.mark.parametrize(
    ("parts", "code"),
    [("m=none.nrrd", "FILE_NOT_FOUND"), ("a=1:2,a=3:4", "STRUCTURE_TWICE")],
)
def test_structures_that_are_not_there_are_refused(tmp_path, tiny_ct, tomoray, parts, code):
    done, _, err = tomoray(tiny_ct, "--out", tmp_path / "o", "--structures", parts)
    assert (done, code in err) == (1, True)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("options", [(), ("--transmission",)])
def test_an_empty_structure_gets_an_empty_image_and_a_warning(tmp_path, tiny_ct, tomoray, options):
    parts = ("--structures", "bone,gold=20000:", "--format", "nrrd,png,dicom")
    code, _, err = tomoray(tiny_ct, "--out", tmp_path, *parts, *options)
    assert code == 0
    assert "STRUCTURE_EMPTY: nothing of the structure gold is seen in AP, LAT" in err
    assert [text[:15] for text in record_of(tmp_path)["warnings"]] == ["STRUCTURE_EMPTY"]
    nothing = 1 if options else 0
    assert (
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "lat-gold.nrrd"))) == nothing
    ).all()
    stored = pydicom.dcmread(tmp_path / "lat-gold.dcm")
    assert np.ptp(stored.pixel_array) == 0
    assert stored.pixel_array.max() * float(stored.RescaleSlope) == pytest.approx(nothing)
    with Image.open(tmp_path / "lat-gold.png") as picture:
        assert not np.asarray(picture).any()
    assert read_radiograph(tmp_path / "lat-bone.nrrd").pixels.max() > 0.1


def test_a_ct_of_air_is_refused_with_or_without_structures(tmp_path, tiny_ct, tomoray):
    ct = read_volume(tiny_ct)
    write_volume(Volume(np.full_like(ct.array_hu, -1000), ct.ijk_to_lps), tmp_path / "air.nrrd")
    for options in ((), ("--structures", "bone")):
        assert tomoray(tmp_path / "air.nrrd", "--out", tmp_path / "o", *options)[0] == 1
    assert not (tmp_path / "o").exists()


def test_the_files_say_by_which_rule_a_structure_was_chosen(tmp_path, tiny_ct, tomoray):
    parts = ("--structures", "bone,soft,clip=2500:", "--format", "nrrd,dicom")
    rules, expected = {}, {"plain": "300 <= HU", "tube": "from 0 at 50 HU to 1 at 1936"}
    for name, options in {"plain": (), "tube": ("--kvp", "80")}.items():
        assert tomoray(tiny_ct, "--out", tmp_path / name, *parts, *options)[0] == 0
        bone, soft, clip = record_of(tmp_path / name)["structures"]
        assert (clip["by"], clip["hu_low"], clip["hu_high"]) == ("hu-range", 2500, None)
        assert expected[name] in bone["rule"]
        rules[name] = bone, soft
        for suffix in ("nrrd", "dcm"):
            read = read_radiograph(tmp_path / name / f"ap-bone.{suffix}")
            assert read.provenance["selection"] == bone["rule"]
        dicom = pydicom.dcmread(tmp_path / name / "ap-bone.dcm")
        assert expected[name] in dicom.DerivationDescription
    (bone, soft), (bone_share, soft_share) = rules["plain"], rules["tube"]
    assert (bone["by"], bone["hu_low"], soft["hu_high"]) == ("hu-range", 300, 300)
    assert bone_share["by"] == soft_share["by"] == "material-share"
    assert (bone_share["bone_none_hu"], round(bone_share["bone_all_hu"])) == (50, 1936)


def test_a_mask_on_other_voxels_is_refused(tmp_path, tiny_ct, tomoray):
    ct = read_volume(tiny_ct)
    write_volume(Volume(ct.array_hu[:-1], ct.ijk_to_lps), tmp_path / "m.nrrd")
    wish = f"m={tmp_path / 'm.nrrd'}"
    assert "MASK_MISMATCH" in tomoray(tiny_ct, "--out", tmp_path / "o", "--structures", wish)[2]


def test_single_options_replace_parts_of_the_physics(tmp_path, tiny_ct, tomoray):
    for name, options in {
        "physical": ("--physics", "physical"),
        "quiet": ("--physics", "physical", "--kvp", "100", "--noise", "0", "--no-scatter"),
        "noisy": ("--noise", "2e4", "--seed", "7"),
        "tube": ("--kvp", "80", "--filtration", "3,0.1", "--oversample", "2", "--blur", "0.4"),
    }.items():
        code, _, err = tomoray(tiny_ct, "--out", tmp_path / name, *options)
        assert code == 0, err
    options = {name: record_of(tmp_path / name)["physics"]["options"] for name in
               ("physical", "quiet", "noisy", "tube")}  # fmt: skip
    assert options["physical"]["kvp"] == 70
    assert options["quiet"] == options["physical"] | {
        "kvp": 100, "exposure_ugy": None, "electronic_noise_quanta": 0, "scatter": False,
        "grid": False,
    }  # fmt: skip
    assert options["noisy"]["photons_per_mm2"] == 2e4
    assert record_of(tmp_path / "noisy")["physics"]["seed"] == 7
    assert (options["tube"]["filtration_cu_mm"], options["tube"]["oversampling"]) == (0.1, 2)


def test_the_seed_decides_the_noise(tmp_path, tiny_ct, tomoray):
    def film(name: str, seed: int) -> np.ndarray:
        tomoray(tiny_ct, "--out", tmp_path / name, "--noise", "2e4", "--seed", seed)
        return read_radiograph(tmp_path / name / "ap.nrrd").pixels

    assert np.array_equal(film("a", 1), film("b", 1))
    assert not np.array_equal(film("c", 2), film("d", 1))


def test_transmission_is_the_exponential_of_line_integrals(tmp_path, tiny_ct, tomoray):
    tomoray(tiny_ct, "--out", tmp_path / "l")
    tomoray(tiny_ct, "--out", tmp_path / "t", "--transmission", "--format", "nrrd,png")
    line, share = (read_radiograph(tmp_path / name / "ap.nrrd") for name in "lt")
    assert np.allclose(line.pixels, share.pixels, atol=1e-4)
    files = record_of(tmp_path / "t")["files"]
    assert files["ap.nrrd"]["quantity"] == files["ap.png"]["quantity"] == "transmission"
    # The picture is of the head, not of its outline in the open beam.
    assert 0.03 < files["ap.png"]["value_at_black"] <= 0.15
    assert files["ap.png"]["value_at_white"] == 0
    with Image.open(tmp_path / "t" / "ap.png") as picture:
        grey = np.asarray(picture) / 65535
    head = line.pixels > 2
    assert np.ptp(grey[head]) > 0.1
    assert np.percentile(grey[head], 10) < 0.8
    assert not grey[line.pixels < 1].any()


@pytest.mark.parametrize("window", ["0.15,0", "1,1"])
def test_a_window_that_does_not_rise_is_refused(tmp_path, tiny_ct, tomoray, window):
    code, _, err = tomoray(tiny_ct, "--out", tmp_path / "o", "--transmission", "--window", window)
    assert (code, "BAD_WINDOW" in err) == (1, True)


def test_plastimatch_numbers_are_a_tenth_and_say_so(tmp_path, tiny_ct, tomoray):
    tomoray(tiny_ct, "--out", tmp_path / "l")
    tomoray(tiny_ct, "--out", tmp_path / "p", "--physics", "plastimatch-compatible")
    line, raw = (read_radiograph(tmp_path / name / "ap.nrrd") for name in "lp")
    ratio = np.median(raw.pixels[line.pixels > 2] / line.pixels[line.pixels > 2])
    assert 0.09 < ratio < 0.12
    assert raw.quantity == "relative"
    assert record_of(tmp_path / "p")["attenuation"]["output_scale"] == 0.1


def test_a_window_is_for_the_picture_alone(tmp_path, tiny_ct, tomoray):
    options = ("--format", "nrrd,png", "--window", "1,4")
    assert tomoray(tiny_ct, "--out", tmp_path, *options)[0] == 0
    exact = read_radiograph(tmp_path / "ap.nrrd").pixels
    shown = read_radiograph(tmp_path / "ap.png").pixels
    assert exact.max() > 4
    assert np.abs(shown - exact.clip(1, 4)).max() <= 3 / 65535


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"formats": ["jpeg"]}, "FORMAT_UNKNOWN"),
        ({"formats": []}, "FORMAT_UNKNOWN"),
        ({"physics": "magic"}, "BAD_OPTION"),
        ({"physics": {"kvp": 7}}, "BAD_OPTION"),
        ({"structures": ["Bone!"]}, "STRUCTURE_UNKNOWN"),
        ({"views": ["30", "A30"]}, "BAD_GEOMETRY"),
        ({"views": ["0", "360"]}, "BAD_GEOMETRY"),
        ({"rotate_deg": float("nan")}, "BAD_GEOMETRY"),
        ({"seed": -1}, "BAD_OPTION"),
        ({"window": (2, 2)}, "BAD_WINDOW"),
        ({"window": (1, 2, 3)}, "BAD_WINDOW"),
        ({"window": (0.15, 0), "physics": {"quantity": "transmission"}}, "BAD_WINDOW"),
        ({"size": 4096, "physics": {"oversampling": 8}}, "BAD_OPTION"),
    ],
    ids=str,
)
def test_wrong_options_are_refused_before_anything_is_read(tmp_path, options, code):
    with pytest.raises(InputError, match=code):
        drr_files(tmp_path / "none.nrrd", tmp_path, **options)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory, tiny_ct: Path) -> Path:
    ct = read_volume(tiny_ct)
    slices = ct_slices(hu=ct.array_hu[::2])
    for number, data in enumerate(slices):
        data.PixelSpacing = [4, 4]
        data.ImagePositionPatient = [-100, -120, 8 * number]
    return save_series(slices, tmp_path_factory.mktemp("series"))


def test_a_dicom_series_becomes_dicom_drrs_that_name_nobody(tmp_path, series, tomoray):
    assert tomoray(series, "--out", tmp_path, "--format", "dicom")[0] == 0
    data = pydicom.dcmread(tmp_path / "lat.dcm")
    source = pydicom.dcmread(next(series.iterdir()))
    assert source.PatientName
    assert str(source.PatientName) not in str(data)
    assert not data.PatientName
    assert source.StudyInstanceUID != data.StudyInstanceUID
    assert record_of(tmp_path)["source_sha256"] in data.DerivationDescription


def test_the_folder_that_one_is_in_is_called_by_its_name(tmp_path, series, tomoray, monkeypatch):
    monkeypatch.chdir(series)
    code, _, messages = tomoray(".", "--out", tmp_path / "out", "--size", "32")
    assert code == 0
    assert f"Reading {series.name}" in messages


def test_dicom_drrs_do_not_mix_with_the_series_they_came_from(series, tomoray):
    before = sorted(series.iterdir())
    code, _, err = tomoray(series, "--out", series / "drr", "--format", "dicom")
    assert (code, "OUTPUT_IN_SERIES" in err) == (1, True)
    assert sorted(series.iterdir()) == before


# ------------------------------------------------------------------------------- many CTs


def test_many_cts_get_a_folder_each_and_bad_ones_do_not_stop_the_rest(tmp_path, tiny_ct, tomoray):
    bad = tmp_path / "bad.nrrd"
    bad.write_text("no volume", encoding="utf-8")
    out = tmp_path / "out"
    code, text, err = tomoray(tiny_ct, bad, tmp_path / "none.nrrd", "--out", out)
    assert code == 2
    assert "1 done, 2 failed, 0 skipped" in text
    assert "failed  none [FILE_NOT_FOUND]" in err
    assert report_of(out) == {"head": "done", "bad": "failed", "none": "failed"}
    assert (out / "head" / "lat.nrrd").is_file()
    assert tomoray(bad, tmp_path / "none.nrrd", "--out", tmp_path / "none")[0] == 1


def test_a_second_run_does_only_what_is_new_or_changed(tmp_path, tiny_ct, tomoray):
    ct = read_volume(tiny_ct)
    for name in ("a", "b"):
        write_volume(ct, tmp_path / f"{name}.nrrd")
    cts, out = (tmp_path / "a.nrrd", tmp_path / "b.nrrd"), tmp_path / "out"
    assert tomoray(*cts, "--out", out)[0] == 0
    assert tomoray(*cts, "--out", out)[0] == 0
    assert report_of(out) == {"a": "skipped", "b": "skipped"}
    write_volume(Volume(ct.array_hu + 1, ct.ijk_to_lps), tmp_path / "b.nrrd")
    (out / "a" / "ap.nrrd").unlink()
    tomoray(*cts, "--out", out)
    assert report_of(out) == {"a": "done", "b": "done"}
    tomoray(*cts, "--out", out, "--views", "ap")
    assert report_of(out) == {"a": "done", "b": "done"}
    assert not (out / "a" / "lat.nrrd").exists()
    tomoray(*cts, "--out", out, "--views", "ap", "--restart")
    assert report_of(out) == {"a": "done", "b": "done"}


def test_a_table_names_its_cases(tmp_path, tiny_ct, tomoray):
    table = tmp_path / "cases.csv"
    table.write_text(f"case,ct\nfirst,{tiny_ct}\nsecond,\nthird,none.nrrd\n", encoding="utf-8")
    assert tomoray(table, "--out", tmp_path / "out")[0] == 2
    report = {"first": "done", "second": "failed", "third": "failed"}
    assert report_of(tmp_path / "out") == report


def test_a_folder_that_is_no_case_of_ours_is_left_alone(tmp_path, tiny_ct, tomoray):
    mine = tmp_path / "out" / "head" / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("all of it", encoding="utf-8")
    other = tmp_path / "none.nrrd"
    assert tomoray(tiny_ct, other, "--out", tmp_path / "out")[0] == 1
    assert mine.read_text(encoding="utf-8") == "all of it"


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/ct.nrrd", "b/other.nii.gz"], ["ct", "other"]),
        (["p1/ct.nrrd", "p2/ct.nrrd", "x.mha"], ["p1_ct", "p2_ct", "x"]),
        (["s/p1/ct.nrrd", "t/p1/ct.nrrd"], ["s_p1_ct", "t_p1_ct"]),
        (["a.nrrd", "a.mha"], ["a.nrrd", "a.mha"]),
        (["CT.nrrd", "x/ct.nrrd"], ["top_CT", "x_ct"]),
        (["we?ird.nrrd"], ["we_ird"]),
    ],
)
def test_cases_are_called_like_their_files_and_as_much_more_as_is_needed(tmp_path, paths, names):
    top = tmp_path / "top"
    assert [row.name for row in drr_rows([top / path for path in paths])] == names


def test_the_same_ct_twice_is_done_neither_time(tmp_path):
    rows = drr_rows([tmp_path / "a.nrrd", tmp_path / "a.nrrd"])
    assert [row.case.code for row in rows if isinstance(row.case, InputError)] == (
        ["DUPLICATE_CASE"] * 2
    )


# ------------------------------------------------------------------------------- cost


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_plain_drr_loads_no_library_beyond_numpy(tmp_path, tiny_ct, suffix):
    write_volume(read_volume(tiny_ct), tmp_path / f"ct{suffix}")
    arguments = ["drr", str(tmp_path / f"ct{suffix}"), "--out", str(tmp_path / "out")]
    arguments += ["--isocentre", "centre", "--quiet"]
    code = f"""
import sys
from TomoRayCore import __main__
from TomoRayCore.drr import kernel
code = __main__.main({arguments!r})
heavy = {{"scipy", "SimpleITK", "pydicom", "PIL", "torch", "skimage"}} & sys.modules.keys()
sys.exit(code or sorted(heavy - (set() if kernel.available() else {{"scipy"}})) or 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
