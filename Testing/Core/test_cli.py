"""The command line: what scripts lean on, and what people read."""

from __future__ import annotations

import io
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import TomoRayCore
from TomoRayCore.__main__ import main
from TomoRayCore.cli.console import Console
from TomoRayCore.io.volume_io import read_volume, write_volume
from TomoRayCore.jobs import Task
from TomoRayCore.pipeline import drr_files
from TomoRayCore.progress import Step
from TomoRayCore.volume import Volume
from TomoRayCore.worker import run_task

SCRIPT = Path(TomoRayCore.__file__).resolve().parents[1] / "Scripts" / "tomoray_batch.py"
COMMANDS = ("drr", "reconstruct", "compare", "demo", "batch", "models", "doctor")


@pytest.fixture(scope="module")
def drrs(tmp_path_factory: pytest.TempPathFactory, tiny_ct: Path) -> Path:
    folder = tmp_path_factory.mktemp("drr")
    drr_files(tiny_ct, folder)
    return folder


@pytest.fixture
def tomoray(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process; return its exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        check=False,
    )


# ------------------------------------------------------------------------------- one engine


def test_the_same_voxels_come_through_every_door(tmp_path, tiny_ct, tiny_bundle, tomoray):
    table = tmp_path / "cases.csv"
    table.write_text("case,ap,lat\nhead,cli/ap.nrrd,cli/lat.nrrd\n", encoding="utf-8")
    options = ("--model", tiny_bundle, "--device", "cpu")
    voxels = {}

    def take(door: str, path: Path) -> None:
        voxels[door] = read_volume(path).array_hu

    cli = tmp_path / "cli"
    assert tomoray("drr", tiny_ct, "--out", cli)[0] == 0
    films = ("--ap", cli / "ap.nrrd", "--lat", cli / "lat.nrrd")
    assert tomoray("reconstruct", *films, *options, "--out", cli / "sct.nrrd")[0] == 0
    take("command line", cli / "sct.nrrd")

    paths = {"AP": cli / "ap.nrrd", "LAT": cli / "lat.nrrd"}
    arguments = {"radiographs": paths, "output": tmp_path / "w.nrrd", "model": tiny_bundle}
    run_task(Task("reconstruct", arguments))
    take("worker", tmp_path / "w.nrrd")

    assert tomoray("batch", table, tmp_path / "b", *options)[0] == 0
    take("batch", tmp_path / "b" / "head" / "sct.nrrd")

    done = process("-m", "TomoRayCore", "batch", table, tmp_path / "m", *options)
    assert done.returncode == 0, done.stderr
    take("python -m", tmp_path / "m" / "head" / "sct.nrrd")

    script = runpy.run_path(str(SCRIPT))["main"]
    assert script([str(table), str(tmp_path / "s"), *map(str, options)]) == 0
    take("Slicer script", tmp_path / "s" / "head" / "sct.nrrd")

    for door, array in voxels.items():
        assert np.array_equal(array, voxels["command line"]), door


def test_demo_on_a_ct_leaves_everything(tmp_path, tiny_ct, tiny_bundle, tomoray):
    out = tmp_path / "demo"
    code, text, _ = tomoray("demo", "--ct", tiny_ct, "--out", out, "--model", tiny_bundle)
    assert code == 0
    assert {path.name for path in out.iterdir()} == {
        *("ap.nrrd", "lat.nrrd", "ap.png", "lat.png", "geometry.json", "drr.json"),
        *("sct.nrrd", "sct.json", "metrics.json", "comparison.png"),
    }
    assert "MAE (HU)" in text
    assert str(out / "comparison.png") in text


def test_demo_without_a_ct_makes_a_phantom(tmp_path, tiny_bundle, tomoray, monkeypatch):
    from TomoRayCore.phantom import make_phantom

    monkeypatch.setattr(
        "TomoRayCore.phantom.make_phantom", lambda seed: make_phantom(seed, 64, 4.0)
    )
    monkeypatch.chdir(tmp_path)
    assert tomoray("demo", "--model", tiny_bundle)[0] == 0
    assert read_volume(tmp_path / "demo-output" / "ct.nrrd").shape == (64, 64, 64)


# ------------------------------------------------------------------------------- results


def test_json_on_stdout_is_the_result_and_nothing_else(tmp_path, tiny_ct, tomoray):
    code, out, err = tomoray("drr", tiny_ct, "--out", tmp_path, "--size", 32, "--json", "--quiet")
    assert code == 0
    assert json.loads(out)["outputs"]["AP"] == str(tmp_path / "ap.nrrd")
    assert not err


def test_progress_is_plain_lines_where_there_is_no_terminal(tmp_path, tiny_ct, tomoray):
    _, out, err = tomoray("drr", tiny_ct, "--out", tmp_path, "--size", 32)
    assert "\r" not in err
    assert "reading" in err
    assert str(tmp_path / "geometry.json") in out


def test_progress_is_one_line_that_fits_the_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "60")
    terminal = Terminal()
    console = Console(quiet=False, as_json=False, stderr=terminal)
    console.progress(Step("network", 0.5, 130.0, "Running the network " * 9))
    console.warn("mind the gap")
    shown = terminal.getvalue()
    bar, _, rest = shown.removeprefix("\r").partition("\r")
    assert len(bar) == 59
    assert "50% 2 min 10 s left" in bar
    assert rest == " " * 59 + "\rtomoray: warning: mind the gap\n"


def test_models_lists_files_with_metrics_and_architectures_with_counts(
    tiny_bundle, tomoray, monkeypatch
):
    monkeypatch.setattr("TomoRayCore.bundle.available_models", lambda: [tiny_bundle])
    code, out, _ = tomoray("models", "--json")
    listed = json.loads(out)
    assert code == 0
    (model,) = listed["models"]
    assert model["name"] == "tiny"
    assert model["metrics"]["mean_head"]["mae_hu"] == 1.0
    counts = {net["name"]: net["parameters"] for net in listed["architectures"]}
    assert counts["x2ct-biplanar"] == 61_740_467
    text = tomoray("models")[1]
    assert "61,740,467" in text
    assert "limit: everything" in text


def test_a_damaged_model_is_listed_as_unusable(tmp_path, tiny_bundle, tomoray, monkeypatch):
    damaged = flipped(tiny_bundle, tmp_path)
    monkeypatch.setattr("TomoRayCore.bundle.available_models", lambda: [damaged])
    assert "UNUSABLE [MODEL_HASH]" in tomoray("models")[1]
    code, out, _ = tomoray("doctor")
    assert code == 3
    assert "UNUSABLE" in out


def test_doctor_names_versions_and_no_person(tiny_bundle, tomoray, monkeypatch):
    monkeypatch.setattr("TomoRayCore.bundle.available_models", lambda: [tiny_bundle])
    code, out, _ = tomoray("doctor")
    for word in ("TomoRay", "Python", "torch", "SimpleITK", "GPU", "Memory", "Display", "tiny"):
        assert word in out
    assert str(Path.home()) not in out
    assert str(tiny_bundle.parent) not in out
    assert code in (0, 3)
    assert json.loads(tomoray("doctor", "--json")[1])["packages"]["numpy"] == np.__version__


# ------------------------------------------------------------------------------- refusals


def flipped(bundle: Path, folder: Path) -> Path:
    """A copy of a model file with one bit of its weights changed."""
    data = bytearray(bundle.read_bytes())
    data[-1000] ^= 1
    (folder / "flipped.safetensors").write_bytes(data)
    return folder / "flipped.safetensors"


def refused(result: tuple[int, str, str], *codes: str) -> None:
    code, out, err = result
    assert code == 1
    assert not out
    assert "Traceback" not in err
    last = [line for line in err.splitlines() if line.startswith("tomoray: error [")]
    assert len(last) == 1
    assert not codes or any(f"[{name}]" in last[0] for name in codes), last


def test_a_model_with_one_byte_changed_is_refused(tmp_path, drrs, tiny_bundle, tomoray):
    model = flipped(tiny_bundle, tmp_path)
    films = ("--ap", drrs / "ap.nrrd", "--lat", drrs / "lat.nrrd")
    out = tmp_path / "sct.nrrd"
    refused(tomoray("reconstruct", *films, "--model", model, "--out", out), "MODEL_HASH")
    assert not out.exists()


def test_a_text_named_like_a_model_is_refused(tmp_path, drrs, tomoray):
    (tmp_path / "m.safetensors").write_text("weights, honestly")
    films = ("--ap", drrs / "ap.nrrd", "--lat", drrs / "lat.nrrd")
    result = tomoray(
        "reconstruct", *films, "--model", tmp_path / "m.safetensors", "--out", tmp_path / "s.nrrd"
    )
    refused(result, "MODEL_NOT_SAFETENSORS")


def test_a_ct_with_nan_is_refused(tmp_path, tiny_ct, tomoray):
    import SimpleITK as sitk

    image = sitk.Cast(sitk.ReadImage(str(tiny_ct)), sitk.sitkFloat32)
    image[5, 6, 7] = float("nan")
    sitk.WriteImage(image, str(tmp_path / "nan.nrrd"))
    refused(tomoray("drr", tmp_path / "nan.nrrd", "--out", tmp_path / "out"), "NON_FINITE")
    assert not (tmp_path / "out").exists()


def test_a_ct_of_three_slices_is_refused(tmp_path, tiny_ct, tomoray):
    head = read_volume(tiny_ct)
    write_volume(Volume(head.array_hu[30:33], head.ijk_to_lps), tmp_path / "thin.nrrd")
    refused(tomoray("drr", tmp_path / "thin.nrrd", "--out", tmp_path / "out"), "TOO_FEW_SLICES")


def test_text_named_like_a_volume_is_refused(tmp_path, tomoray):
    (tmp_path / "text.nrrd").write_text("no volume")
    refused(tomoray("drr", tmp_path / "text.nrrd", "--out", tmp_path / "out"))


def test_a_colour_photograph_is_refused(tmp_path, drrs, tomoray):
    colours = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "photo.png")
    films = ("--ap", tmp_path / "photo.png", "--lat", drrs / "lat.nrrd", "--spacing", 1)
    refused(tomoray("reconstruct", *films, "--out", tmp_path / "sct.nrrd"))


def test_the_same_image_as_both_views_is_refused(tmp_path, drrs, tiny_bundle, tomoray):
    Image.open(drrs / "ap.png").convert("L").save(tmp_path / "a.png")
    films = ("--ap", tmp_path / "a.png", "--lat", tmp_path / "a.png", "--spacing", 3)
    result = tomoray("reconstruct", *films, "--model", tiny_bundle, "--out", tmp_path / "sct.nrrd")
    refused(result, "IDENTICAL_VIEWS")


def test_a_missing_file_is_refused(tmp_path, tomoray):
    refused(tomoray("drr", tmp_path / "none.nrrd", "--out", tmp_path / "out"), "FILE_NOT_FOUND")


# ------------------------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    "arguments",
    [
        ["drr"],
        ["drr", "ct.nrrd"],
        ["drr", "ct.nrrd", "--out", "o", "--size", "0"],
        ["drr", "ct.nrrd", "--out", "o", "--views", "ap,top"],
        ["drr", "ct.nrrd", "--out", "o", "--views", "ap,ap"],
        ["drr", "ct.nrrd", "--out", "o", "--views", "30,A30"],
        ["drr", "ct.nrrd", "--out", "o", "--views", "30:95"],
        ["drr", "ct.nrrd", "--out", "o", "--size", "64,64,64"],
        ["drr", "ct.nrrd", "--out", "o", "--spacing", "0"],
        ["drr", "ct.nrrd", "--out", "o", "--spacing", "1", "--detector", "300"],
        ["drr", "ct.nrrd", "--out", "o", "--format", "jpeg"],
        ["drr", "ct.nrrd", "--out", "o", "--structures", "brain"],
        ["drr", "ct.nrrd", "--out", "o", "--noise", "1e5", "--exposure", "3"],
        ["drr", "ct.nrrd", "--out", "o", "--physics", "magic"],
        ["drr", "ct.nrrd", "--out", "o", "--isocentre", "1,2"],
        ["drr", "ct.nrrd", "--out", "o", "--preset", "mine"],
        ["reconstruct", "--ap", "a", "--lat", "b", "--out", "c.nrrd", "--device", "tpu"],
        ["compare", "a", "b", "--out", "c", "--window", "rainbow"],
        ["batch", "cases.csv"],
        ["batch", "cases.csv", "out", "--resume", "--restart"],
        ["fly"],
        [],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_gives_exit_code_2(arguments, tomoray):
    assert tomoray(*arguments)[0] == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples_and_exit_codes(command, tomoray):
    code, out, _ = tomoray(command, "--help")
    assert code == 0
    assert f"  tomoray {command}" in out
    assert "exit codes:" in out
    assert max(map(len, out.splitlines())) <= 120


def test_help_and_version_are_no_failure(tomoray):
    code, out, _ = tomoray("--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)
    assert tomoray("--version")[1].strip() == f"tomoray {TomoRayCore.__version__}"


def test_a_missing_package_gives_exit_code_3(tmp_path, drrs, tiny_bundle, tomoray, monkeypatch):
    monkeypatch.delitem(sys.modules, "TomoRayCore.inference", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    films = ("--ap", drrs / "ap.nrrd", "--lat", drrs / "lat.nrrd")
    code, _, err = tomoray(
        "reconstruct", *films, "--model", tiny_bundle, "--out", tmp_path / "sct.nrrd"
    )
    assert code == 3
    assert "[PACKAGE_MISSING] The Python package torch" in err


def test_an_installation_without_the_default_model_gives_exit_code_3(
    tmp_path, drrs, tomoray, monkeypatch
):
    monkeypatch.setattr("TomoRayCore.bundle.model_folder", lambda: tmp_path)
    films = ("--ap", drrs / "ap.nrrd", "--lat", drrs / "lat.nrrd")
    code, _, err = tomoray("reconstruct", *films, "--out", tmp_path / "sct.nrrd")
    assert code == 3
    assert "[DEFAULT_MODEL_MISSING]" in err


def test_a_gpu_that_is_not_there_gives_exit_code_3(
    tmp_path, drrs, tiny_bundle, tomoray, monkeypatch
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    films = ("--ap", drrs / "ap.nrrd", "--lat", drrs / "lat.nrrd")
    model = ("--model", tiny_bundle, "--device", "cuda")
    code, _, err = tomoray("reconstruct", *films, *model, "--out", tmp_path / "sct.nrrd")
    assert code == 3
    assert "[NO_CUDA]" in err


def test_a_full_disk_gives_exit_code_3(tmp_path, tiny_ct, tomoray, monkeypatch):
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr("TomoRayCore.drr_case.write_drr", full)
    code, _, err = tomoray("drr", tiny_ct, "--out", tmp_path / "out", "--size", 32)
    assert code == 3
    assert "[DISK_FULL]" in err
    assert not (tmp_path / "out").exists()


def test_an_unexpected_failure_is_one_line_and_a_traceback_on_request(
    tmp_path, tiny_ct, tomoray, monkeypatch
):
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("TomoRayCore.drr_images.project", broken)
    command = ("drr", tiny_ct, "--out", tmp_path / "out", "--size", 32, "--quiet")
    code, _, err = tomoray(*command)
    assert code == 1
    assert "[INTERNAL]" in err
    assert "--debug" in err
    assert "Traceback" not in err
    assert "Traceback" in tomoray(*command, "--debug")[2]


def test_ctrl_c_gives_exit_code_130_and_leaves_nothing(tmp_path, tiny_ct, tomoray, monkeypatch):
    def interrupted(*arguments: object, **options: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("TomoRayCore.drr_images.project", interrupted)
    code, _, err = tomoray("drr", tiny_ct, "--out", tmp_path / "out", "--size", 32)
    assert code == 130
    assert "[CANCELLED]" in err
    assert not (tmp_path / "out").exists()


def test_batch_tells_all_some_and_none_apart(tmp_path, drrs, tiny_bundle, tomoray):
    table, model = tmp_path / "cases.csv", ("--model", tiny_bundle, "--device", "cpu")
    films = f"{drrs / 'ap.nrrd'},{drrs / 'lat.nrrd'}"
    table.write_text(f"case,ct,ap,lat\ngood,,{films}\nbad,none.nrrd,,\n", encoding="utf-8")
    code, out, err = tomoray("batch", table, tmp_path / "out", *model)
    assert code == 2
    assert "1 done, 1 failed, 0 skipped" in out
    assert "failed  bad [FILE_NOT_FOUND]" in err
    table.write_text("case,ct\nbad,none.nrrd\n", encoding="utf-8")
    assert tomoray("batch", table, tmp_path / "out2", *model)[0] == 1


def test_the_slicer_script_leaves_slicer_with_the_exit_code(monkeypatch, tmp_path):
    from types import SimpleNamespace

    codes: list[int] = []
    slicer = SimpleNamespace(app=object(), util=SimpleNamespace(exit=codes.append))
    monkeypatch.setitem(sys.modules, "slicer", slicer)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(tmp_path / "none.csv"), str(tmp_path)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert codes == [1]


def test_starting_up_loads_no_torch():
    code = "import sys; from TomoRayCore.__main__ import main; main(['--version'])"
    done = process("-c", f"{code}; sys.exit('torch' in sys.modules)")
    assert done.returncode == 0, done.stderr
