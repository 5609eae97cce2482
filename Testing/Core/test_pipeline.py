"""From files to files: outputs as a set, inputs never harmed, provenance that holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from TomoRayCore.errors import Cancelled, InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.io.radiograph_io import read_radiograph
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.outputs import plain, refuse_overwriting, sha256_of, staged, to_json
from TomoRayCore.pipeline import case_files, compare_files, drr_files, reconstruct_files
from TomoRayCore.progress import Step


@pytest.fixture(scope="module")
def drrs(tmp_path_factory: pytest.TempPathFactory, tiny_ct: Path) -> Path:
    folder = tmp_path_factory.mktemp("drr")
    drr_files(tiny_ct, folder, size=64)
    return folder


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, tiny_ct: Path, tiny_bundle: Path) -> Path:
    folder = tmp_path_factory.mktemp("case")
    case_files(folder, ct=tiny_ct, model=tiny_bundle, device="cpu")
    return folder


def radiographs(folder: Path) -> dict[str, Path]:
    return {"AP": folder / "ap.nrrd", "LAT": folder / "lat.nrrd"}


def test_drrs_come_as_line_integrals_pictures_and_geometry(drrs):
    assert sorted(path.name for path in drrs.iterdir()) == [
        "ap.nrrd",
        "ap.png",
        "drr.json",
        "geometry.json",
        "lat.nrrd",
        "lat.png",
    ]
    geometry = AcquisitionGeometry.from_json((drrs / "geometry.json").read_text())
    ap = read_radiograph(drrs / "ap.nrrd", "AP")
    assert ap.quantity == "line_integral"
    assert ap.shape == (64, 64)
    assert ap.acquisition == geometry
    assert 1 < ap.pixels.max() < 20  # a skull, in units of the natural logarithm


def test_views_preset_and_isocentre_are_the_users_choice(tmp_path, tiny_ct):
    result = drr_files(
        tiny_ct,
        tmp_path,
        preset="radiography",
        size=48,
        views=("pa", "lat"),
        sdd_mm=1300,
        isocentre=(1, -2, 3),
    )
    assert result["outputs"]["PA"] == str(tmp_path / "pa.nrrd")
    geometry = AcquisitionGeometry.from_json((tmp_path / "geometry.json").read_text())
    assert geometry.isocentre_lps == (1, -2, 3)
    assert geometry.view("PA").sdd_mm == pytest.approx(1300)
    assert geometry.view("LAT").size == (48, 48)


def test_centre_is_the_middle_of_the_volume(tmp_path, tiny_ct):
    result = drr_files(tiny_ct, tmp_path, size=32, isocentre="centre")
    assert result["isocentre_lps"] == pytest.approx([0, 0, 0], abs=1e-6)


@pytest.mark.parametrize("wish", ["middle", (1, 2)])
def test_another_isocentre_is_refused(tmp_path, tiny_ct, wish):
    with pytest.raises(InputError, match="BAD_ISOCENTRE"):
        drr_files(tiny_ct, tmp_path / "out", size=32, isocentre=wish)
    assert not (tmp_path / "out").exists()


def test_a_case_holds_drrs_sct_provenance_metrics_and_picture(case):
    names = {path.name for path in case.iterdir()}
    assert names >= {"ap.nrrd", "lat.png", "sct.nrrd", "sct.json", "metrics.json", "comparison.png"}
    assert not [name for name in names if name.startswith(".")]


def test_provenance_names_inputs_model_geometry_seed_device_version(case, tiny_bundle):
    provenance = json.loads((case / "sct.json").read_text())
    assert provenance["inputs"]["AP"]["sha256"] == sha256_of(case / "ap.nrrd")
    assert provenance["inputs"]["LAT"]["file"] == "lat.nrrd"
    assert provenance["synthetic"] is True
    assert provenance["model"] == "tiny"
    assert len(provenance["model_sha256"]) == 64
    assert provenance["device"] == "cpu"
    assert {"seed", "seconds", "tomoray_version", "geometry", "warnings"} <= provenance.keys()


def test_metrics_and_picture_show_the_reprojection_of_known_radiographs(case):
    metrics = json.loads((case / "metrics.json").read_text())
    assert metrics["reprojection_correlation"].keys() == {"AP", "LAT"}
    assert all(-1 <= r <= 1 for r in metrics["reprojection_correlation"].values())
    with Image.open(case / "comparison.png") as picture:
        assert min(picture.size) > 200


def test_a_ct_compared_with_itself_has_no_error_and_matches_its_own_drrs(tmp_path, tiny_ct, drrs):
    result = compare_files(tiny_ct, tiny_ct, tmp_path, radiographs=radiographs(drrs))
    assert result["metrics"]["mae_hu"] == 0
    assert min(result["metrics"]["reprojection_correlation"].values()) > 0.9999
    assert any("NOT_MARKED" in warning for warning in result["warnings"])


def test_radiographs_changed_since_are_not_shown_and_it_is_said(tmp_path, case, tiny_ct):
    copy = tmp_path / "case"
    shutil.copytree(case, copy)
    shutil.copy(copy / "lat.nrrd", copy / "ap.nrrd")
    result = compare_files(copy / "sct.nrrd", tiny_ct, tmp_path / "out")
    assert any("PROVENANCE_STALE" in warning for warning in result["warnings"])
    assert result["metrics"]["reprojection_correlation"] == {}


def test_a_moved_case_still_finds_its_radiographs(tmp_path, case, tiny_ct):
    shutil.copytree(case, tmp_path / "elsewhere" / "case")
    sct = tmp_path / "elsewhere" / "case" / "sct.nrrd"
    result = compare_files(sct, tiny_ct, tmp_path / "out", window="brain")
    assert result["metrics"]["reprojection_correlation"].keys() == {"AP", "LAT"}


def test_the_order_of_the_radiographs_changes_nothing(tmp_path, drrs, tiny_bundle):
    swapped = dict(reversed(radiographs(drrs).items()))
    reconstruct_files(radiographs(drrs), tmp_path / "a.nrrd", model=tiny_bundle, device="cpu")
    reconstruct_files(swapped, tmp_path / "b.nii.gz", model=tiny_bundle, device="cpu")
    first, second = read_volume(tmp_path / "a.nrrd"), read_volume(tmp_path / "b.nii.gz")
    assert np.array_equal(first.array_hu, second.array_hu)
    assert first.grid.same_as(second.grid)
    assert (tmp_path / "b.json").is_file()


def test_a_geometry_file_stands_in_for_what_a_picture_does_not_state(tmp_path, drrs, tiny_bundle):
    bare = {}
    for view in ("AP", "LAT"):
        with Image.open(drrs / f"{view.lower()}.png") as picture:
            Image.fromarray(np.asarray(picture)).save(tmp_path / f"{view}.png")
        bare[view] = tmp_path / f"{view}.png"
    with pytest.raises(InputError, match="SPACING_UNKNOWN"):
        reconstruct_files(bare, tmp_path / "sct.nrrd", model=tiny_bundle, device="cpu")
    reconstruct_files(
        bare,
        tmp_path / "sct.nrrd",
        model=tiny_bundle,
        device="cpu",
        geometry=drrs / "geometry.json",
    )
    stated = json.loads((drrs / "geometry.json").read_text())
    assert np.allclose(
        read_volume(tmp_path / "sct.nrrd").grid.centre_lps, stated["isocentre_lps"], atol=1e-3
    )


@pytest.mark.parametrize("name", ["sct.png", "sct", "sct.dcm", ".nrrd"])
def test_an_output_that_cannot_be_written_is_refused_before_any_reading(tmp_path, name):
    missing = {"AP": tmp_path / "none.nrrd", "LAT": tmp_path / "none2.nrrd"}
    with pytest.raises(InputError, match="BAD_OUTPUT_SUFFIX"):
        reconstruct_files(missing, tmp_path / name)


def test_no_output_replaces_an_input(tmp_path, drrs, tiny_ct):
    work = tmp_path / "work"
    shutil.copytree(drrs, work)
    before = {path: sha256_of(path) for path in work.iterdir()}
    with pytest.raises(InputError, match="OVERWRITES_INPUT"):
        reconstruct_files(radiographs(work), work / "ap.nrrd")
    with pytest.raises(InputError, match="OVERWRITES_INPUT"):
        reconstruct_files(
            radiographs(work), work / "geometry.nrrd", geometry=work / "geometry.json"
        )
    with pytest.raises(InputError, match="OVERWRITES_INPUT"):
        drr_files(work / "ap.nrrd", work)
    assert {path: sha256_of(path) for path in work.iterdir()} == before


def test_only_dicom_files_of_an_input_folder_are_inputs(tmp_path):
    (tmp_path / "ap.nrrd").write_bytes(b"NRRD0004\n")
    refuse_overwriting([tmp_path / "ap.nrrd"], [tmp_path])
    (tmp_path / "ap.png").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(InputError, match="OVERWRITES_INPUT"):
        refuse_overwriting([tmp_path / "ap.png"], [tmp_path])


def test_an_isocentre_beside_the_head_is_refused(tmp_path, tiny_ct):
    with pytest.raises(InputError, match="NOTHING_PROJECTED"):
        drr_files(tiny_ct, tmp_path / "drr", isocentre=(9999.0, 0.0, 0.0))
    assert not (tmp_path / "drr").exists()


def test_a_link_to_an_input_counts_as_the_input(tmp_path):
    (tmp_path / "ct.nrrd").write_bytes(b"x")
    (tmp_path / "link.nrrd").symlink_to(tmp_path / "ct.nrrd")
    with pytest.raises(InputError, match="OVERWRITES_INPUT"):
        refuse_overwriting([tmp_path / "link.nrrd"], [tmp_path / "ct.nrrd"])


@pytest.mark.parametrize("stage", ["reading", "checking", "projecting", "writing"])
def test_a_drr_stopped_at_any_stage_leaves_nothing(tmp_path, tiny_ct, stage):
    def stop(step: Step) -> None:
        if step.stage == stage:
            raise Cancelled

    with pytest.raises(Cancelled):
        drr_files(tiny_ct, tmp_path / "new" / "out", size=32, report=stop)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("stage", ["reading", "loading", "network", "writing"])
def test_a_reconstruction_stopped_at_any_stage_leaves_nothing(tmp_path, drrs, tiny_bundle, stage):
    seen = []

    def stop(step: Step) -> None:
        seen.append(step.stage)
        if step.stage == stage:
            raise Cancelled

    out = tmp_path / "new" / "sct.nrrd"
    with pytest.raises(Cancelled):
        reconstruct_files(radiographs(drrs), out, model=tiny_bundle, device="cpu", report=stop)
    assert seen[-1] == stage
    assert not (tmp_path / "new").exists()


def test_a_failure_while_writing_keeps_the_earlier_set(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(ZeroDivisionError), staged(tmp_path) as stage:  # noqa: PT012
        (stage / "a.txt").write_text("new")
        raise ZeroDivisionError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


def test_the_same_picture_twice_is_refused(tmp_path, drrs):
    same = {"AP": drrs / "ap.png", "LAT": drrs / "ap.png"}
    with pytest.raises(InputError):
        reconstruct_files(same, tmp_path / "sct.nrrd")
    assert not (tmp_path / "sct.nrrd").exists()


def test_an_unknown_window_is_refused_before_any_reading(tmp_path):
    with pytest.raises(InputError, match="WINDOW_UNKNOWN"):
        compare_files(tmp_path / "a.nrrd", tmp_path / "b.nrrd", tmp_path, window="rainbow")


def test_results_become_json_without_nan_or_numpy():
    data = {"a": np.float32(0.5), "b": (np.int64(2), float("nan")), "c": Path("x"), 4: np.eye(1)}
    assert plain(data) == {"a": 0.5, "b": [2, None], "c": "x", "4": [[1.0]]}
    assert json.loads(to_json(data))["b"] == [2, None]


def test_the_hash_of_a_folder_tells_names_and_contents_apart(tmp_path):
    hashes = set()
    for name, content in (("a", "1"), ("b", "1"), ("a", "2")):
        folder = tmp_path / f"{name}{content}"
        folder.mkdir()
        (folder / name).write_text(content)
        hashes.add(sha256_of(folder))
    assert len(hashes) == 3
