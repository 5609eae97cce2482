"""Figures show the numbers of the files and hang patients as clinics do; bad files are refused."""

from __future__ import annotations

import base64
import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from TomoRayCore.coordinates import compose_affine
from TomoRayCore.errors import InputError
from TomoRayCore.io.volume_io import write_volume
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.resample import reorient_to_lps
from TomoRayCore.volume import Volume
from TomoRayCore.windows import BRAIN, FULL
from TomoRayTraining.__main__ import main

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg

from TomoRayTraining.figures.boxes import box_figure, overview_figures
from TomoRayTraining.figures.calibration import (
    LEVELS,
    Uncertainty,
    binned,
    calibration_figure,
    coverage,
)
from TomoRayTraining.figures.curves import curves_figure, running_mean
from TomoRayTraining.figures.evaluation import read_evaluation
from TomoRayTraining.figures.names import better, metric_label
from TomoRayTraining.figures.panels import Shown, panel_figure
from TomoRayTraining.figures.runs import read_run
from TomoRayTraining.figures.significance import comparisons_in
from TomoRayTraining.figures.style import styled

MODEL = {"anna": (61.5, 22.0), "bert": (70.25, None), "cora": (58.0, 23.5)}
MEAN = {"anna": (101.0, 18.0), "bert": (95.5, 17.5), "cora": (120.0, 16.25)}


def write_table(path: Path, patients: dict[str, tuple[float | None, ...]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case", "patient", "mae_hu", "psnr_db", "window"])
        for patient, values in patients.items():
            writer.writerow([f"{patient}-1", patient, *values, "full"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_evaluation(tmp_path / "evaluation")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


@pytest.fixture
def marked() -> Volume:
    return make_marked()


def make_evaluation(place: Path) -> Path:
    """Write two methods, three patients, one of them without a PSNR."""
    place.mkdir()
    write_table(place / "model.csv", MODEL)
    write_table(place / "mean_head.csv", MEAN)
    difference = {"mean": -40.0, "p_signed_rank": 0.0004}
    entry = {"model": {"mean": 63.0}, "mean_head": {"mean": 105.0}, "difference": difference}
    none = {**entry, "difference": {"mean": 5.0, "p_signed_rank": 0.5}}
    (place / "summary.json").write_text(
        json.dumps(
            {
                "split": "test",
                "definitions": {"mae_hu": "mean absolute error <in HU>"},
                "results": {"mae_hu": entry, "psnr_db": none},
            }
        )
    )
    return place


def make_run(place: Path) -> Path:
    """Write a run that was resumed at step 2, diverged for a step, and was killed in a line."""
    place.mkdir()
    lines = [
        '{"time": 1.0, "step": 1, "loss": 4.0, "mse": 0.5, "discriminator/loss": 1.0}',
        '{"time": 2.0, "step": 2, "loss": 3.0, "mse": 0.4, "discriminator/loss": 1.0}',
        '{"time": 3.0, "step": 2, "loss": 2.0, "mse": 0.25, "discriminator/loss": 1.0}',
        '{"time": 4.0, "step": 2, "validation": {"mae_hu": 71.5, "psnr_db": 21.0}}',
        '{"time": 5.0, "step": 3, "loss": NaN, "mse": 0.2, "discriminator/loss": 1.0}',
        '{"time": 6.0, "step": 4, "lo',
    ]
    (place / "log.jsonl").write_text("\n".join(lines))
    return place


def make_marked() -> Volume:
    """Return a head-sized box of water with bone at the patient's right, front and top."""
    hu = np.full((23, 31, 27), -1000, np.int16)  # (k, j, i)
    hu[2:-2, 2:-2, 2:-2] = 0
    hu[15:20, 4:10, 4:9] = 900
    return Volume(hu, compose_affine(np.eye(3), [6.0, 5.0, 8.0], [-80.0, 20.0, 300.0]))


def views(ct: Volume) -> list[Radiograph]:
    ramp = np.linspace(0, 1, 40, dtype=np.float32)
    return [Radiograph(np.outer(ramp, ramp), "AP", (4.0, 4.0))]


def axes_named(figure, name):
    (axes,) = [axes for axes in figure.axes if axes.get_label() == name]
    return axes


def with_gid(axes, start):
    return [artist for artist in axes.get_children() if (artist.get_gid() or "").startswith(start)]


# ------------------------------------------------------------------------------------ box plots
def test_every_patient_is_a_point_at_the_value_in_the_file(folder):
    with styled():
        axes = box_figure(read_evaluation(folder), "mae_hu").axes[0]
    for place, (method, patients) in enumerate({"model": MODEL, "mean_head": MEAN}.items()):
        (points,) = with_gid(axes, f"points:{method}")
        x, y = points.get_offsets().T
        assert y.tolist() == [values[0] for values in patients.values()]
        assert (np.abs(x - place) < 0.25).all()
    assert axes.get_ylabel() == "MAE (HU)"
    assert axes.get_title(loc="left") == "lower is better"


def test_a_missing_value_is_no_point_and_n_says_so(folder):
    axes = box_figure(read_evaluation(folder), "psnr_db").axes[0]
    (points,) = with_gid(axes, "points:model")
    assert points.get_offsets()[:, 1].tolist() == [22.0, 23.5]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["model\nn = 2", "mean head\nn = 3"]


def test_a_patient_with_two_cases_is_one_point_at_their_mean(folder):
    with (folder / "model.csv").open("a") as stream:
        stream.write("anna-2,anna,71.5,24,full\r\n")
    evaluation = read_evaluation(folder)
    assert evaluation.values("model", "mae_hu") == {"anna": 66.5, "bert": 70.25, "cora": 58.0}
    assert evaluation.cases["model"]["anna-2"]["mae_hu"] == 71.5


@pytest.mark.parametrize(("metric", "mark"), [("mae_hu", "***"), ("psnr_db", "n.s.")])
def test_a_bracket_bears_the_mark_of_the_summary(folder, metric, mark):
    axes = box_figure(read_evaluation(folder), metric).axes[0]
    (bracket,) = with_gid(axes, "bracket")
    assert np.round(bracket.get_xdata()).tolist() == [0, 0, 1, 1]
    assert mark in [text.get_text() for text in axes.texts]
    highest = max(p.get_offsets()[:, 1].max() for p in with_gid(axes, "points"))
    assert min(bracket.get_ydata()) > highest


def test_without_a_summary_there_are_boxes_but_no_brackets(folder):
    (folder / "summary.json").unlink()
    evaluation = read_evaluation(folder)
    assert evaluation.metrics == ("mae_hu", "psnr_db")
    assert not with_gid(box_figure(evaluation, "mae_hu").axes[0], "bracket")


def test_brackets_of_three_pairs_do_not_touch(folder):
    write_table(folder / "other.csv", MEAN)
    pairs = [("model", "mean_head"), ("mean_head", "other"), ("model", "other")]
    found = [{"metric": "mae_hu", "first": a, "second": b, "p_holm": 0.01} for a, b in pairs]
    (folder / "summary.json").write_text(json.dumps({"comparisons": found}))
    axes = box_figure(read_evaluation(folder), "mae_hu").axes[0]
    heights = sorted(min(line.get_ydata()) for line in with_gid(axes, "bracket"))
    assert len(heights) == 3
    assert heights[0] == heights[1] < heights[2]


def test_many_methods_bear_marks_against_the_reference_of_the_summary(folder):
    names = [f"m{n}" for n in range(7)]
    for n, name in enumerate(names):
        write_table(folder / f"{name}.csv", {p: (60.0 + 3 * n + len(p), 1.0) for p in MODEL})
    found = [
        {
            "metric": "mae_hu",
            "first": name,
            "second": "m6",
            "mean": -1.0,
            "p_signed_rank": 1e-5,
            "p_rank_sum": 1e-6,
            "p_signed_rank_holm": 0.004 * (n + 1),
            "p_holm_all": 0.9,
        }
        for n, name in enumerate(names[:-1])
    ]
    summary = {
        "reference": "m6",
        "comparisons": found,
        "results": {"mae_hu": {name: {"mean": 60.0} for name in names}},
        "methods": {name: {"csv": f"{name}.csv"} for name in names},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    evaluation = read_evaluation(folder)
    assert evaluation.methods == (*names, "mean_head", "model")
    used = {c.first: c.p_value for c in evaluation.compared("mae_hu")}
    assert used == {c["first"]: c["p_signed_rank_holm"] for c in found}
    figure = box_figure(evaluation, "mae_hu")
    marks = {t.get_gid(): t.get_text() for t in with_gid(figure.axes[0], "mark")}
    assert [marks[f"mark:{n}"] for n in names] == ["**", "**", *["*"] * 4, "ref."]
    assert not with_gid(figure.axes[0], "bracket")
    assert "Wilcoxon signed-rank, Holm-corrected" in figure.get_supxlabel()


def test_many_metrics_take_several_pages(folder):
    columns = [f"tissue.mae_{n}_hu" for n in range(12)]
    lines = [",".join(["case", "patient", *columns]), ",".join(["a", "a", *"123456789012"])]
    (folder / "model.csv").write_text("\n".join(lines) + "\n")
    pages = overview_figures(read_evaluation(folder, columns))
    assert [len(page.axes) for page in pages] == [9, 3]


@pytest.mark.parametrize(
    "summary",
    [
        {"results": {"m": {"difference": {"p_signed_rank": 0.02}}}},
        {"results": {"m": {"a vs mean_head": {"p": 0.02}}}},
        {"results": {"m": {"a": {"mean_head": {"p_value": 0.02, "patients": 3}}}}},
        {"comparisons": {"m": [{"pair": ["a", "mean_head"], "p_adjusted": 0.02, "p": 0.001}]}},
        {"comparisons": [{"metric": "m", "first": "a", "second": "mean_head", "p_holm": 0.02}]},
        {"reference": "mean_head", "tests": {"m": {"a": {"p_signed_rank": 0.02}}}},
    ],
)
def test_a_p_value_is_found_wherever_the_summary_keeps_it(summary):
    (found,) = comparisons_in(summary, ["a", "mean_head", "b"], ["m", "n"])
    assert {found.first, found.second} == {"a", "mean_head"}
    assert (found.metric, found.p_value, found.mark) == ("m", 0.02, "*")


@pytest.mark.parametrize(
    "summary",
    [
        {"results": {"m": {"a": {"mean": 1.0, "patients": 3, "p": 0.02}}}},
        {"results": {"m": {"a vs b": {"p": 3.0}}}},
        {"results": {"m": {"a vs nobody": {"p": 0.02}}}},
        {"results": {"other": {"a vs b": {"p": 0.02}}}},
        {"results": None, "tests": {"p_signed_rank": "a test"}},
    ],
)
def test_a_p_value_of_nobody_is_passed_over(summary):
    assert comparisons_in(summary, ["a", "b"], ["m"]) == []


def test_names_tell_unit_and_direction():
    assert metric_label("surface.inner_air.assd_mm") == "ASSD (mm), surface inner air"
    assert metric_label("x2ct.psnr") == "PSNR (dB), x2ct"
    assert better("projection.ap.ncc") == "higher is better"
    assert better("tissue.ventricle_error_ml") == ""  # signed


# ------------------------------------------------------------------------------ training curves
def test_curves_are_the_log(run):
    figure = curves_figure([read_run(run, "first"), read_run(run, "second")])
    panels = {axes.get_ylabel(): axes for axes in figure.axes}
    assert next(iter(panels)) == "Loss"
    (line,) = with_gid(panels["Loss"], "raw:first")
    assert line.get_xdata().tolist() == [1, 2, 3]
    assert line.get_ydata()[:2].tolist() == [4.0, 2.0]
    assert np.isnan(line.get_ydata()[2])
    (line,) = with_gid(panels["Validation MAE (HU)"], "raw:second")
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([2], [71.5])
    assert "Discriminator: loss" in {label.capitalize() for label in panels}
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["first", "second"]


def test_a_running_mean_of_a_line_is_that_line_inside():
    values = np.arange(300.0)
    assert running_mean(values)[3:-3] == pytest.approx(values[3:-3])
    values[100] = np.nan
    assert running_mean(values)[100] == pytest.approx(100)


# -------------------------------------------------------------------------------------- panels
def pixels(figure):
    """Return the page as grey values, and where each panel is on it."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    page = np.asarray(canvas.buffer_rgba())[..., :3].mean(axis=2)
    boxes = {axes.get_label(): axes.get_window_extent() for axes in figure.axes}
    return {
        name: page[len(page) - round(b.y1) : len(page) - round(b.y0), round(b.x0) : round(b.x1)]
        for name, b in boxes.items()
    }


@pytest.mark.parametrize("plane", ["Axial", "Coronal", "Sagittal"])
def test_the_mark_lies_where_the_clinic_expects_it(marked, plane):
    """Right and front: left and top of the axial slice. On top: upper part of the others."""
    with styled():
        figure = panel_figure(Shown("case", marked, {"net": marked}, views(marked), {}))
        shown = pixels(figure)[f"truth/{plane}"]
    rows, columns = np.nonzero(shown > 235)
    height, width = shown.shape
    inside = (np.abs(rows / height - 0.5) < 0.4) & (np.abs(columns / width - 0.5) < 0.4)
    assert inside.sum() > 100
    assert np.median(rows[inside]) < 0.45 * height
    assert np.median(columns[inside]) < 0.45 * width
    letters = {"Axial": "RLAP", "Coronal": "RLSI", "Sagittal": "APSI"}[plane]
    texts = [t.get_text() for t in axes_named(figure, f"truth/{plane}").texts]
    assert "".join(texts[:4]) == letters


def test_how_a_volume_is_stored_does_not_change_the_picture(marked):
    flipped = compose_affine(np.diag([-1.0, -1.0, -1.0]), [6.0, 5.0, 8.0], [76.0, 170.0, 476.0])
    stored = Volume(marked.array_hu[::-1, ::-1, ::-1], flipped)
    assert np.array_equal(reorient_to_lps(stored).array_hu, marked.array_hu)
    one, two = (
        panel_figure(Shown("case", ct, {"net": sct}, views(ct), {}))
        for ct, sct in ((marked, marked), (stored, stored))
    )
    for name in ("truth/Axial", "net/Coronal", "net/Sagittal"):
        first, second = (axes_named(f, name).images[0].get_array() for f in (one, two))
        assert np.array_equal(first, second)


def test_the_difference_is_the_synthetic_ct_less_the_truth(marked):
    sct = Volume(marked.array_hu + np.int16(120), marked.ijk_to_lps)
    shown = Shown("case", marked, {"net": sct}, views(marked), {"net": "MAE 120 HU"}, BRAIN)
    figure = panel_figure(shown)
    for plane in ("Axial", "Coronal", "Sagittal"):
        image = axes_named(figure, f"net/difference/{plane}").images[0]
        assert np.unique(image.get_array().compressed()).tolist() == [120]
        assert image.get_clim() == (-40, 40)
        assert axes_named(figure, f"net/{plane}").images[0].get_clim() == (0, 80)
    assert "MAE 120 HU" in axes_named(figure, "net/Axial").get_ylabel()
    words = " ".join(text.get_text().replace("\n", " ") for text in figure.texts)
    assert BRAIN.describe() in words
    assert "synthetic CT, not for diagnosis" in words


def test_what_was_not_computed_is_neither_air_nor_equal(marked):
    part = Volume(marked.array_hu[:12], marked.ijk_to_lps)
    figure = panel_figure(Shown("case", part, {"net": marked}, views(marked), {}, FULL))
    gap = axes_named(figure, "net/difference/Coronal").images[0].get_array().mask
    assert gap[: len(gap) // 3].all()  # superior: above what was scanned
    assert not gap[-8:].any()
    assert not np.ma.is_masked(axes_named(figure, "net/Coronal").images[0].get_array())


def test_slices_have_the_shape_of_the_patient(marked):
    figure = panel_figure(Shown("case", marked, {"net": marked}, views(marked), {}))
    for plane, (width_mm, height_mm) in {"Axial": (162, 155), "Coronal": (162, 184)}.items():
        left, right, bottom, top = axes_named(figure, f"net/{plane}").images[0].get_extent()
        assert (right - left, bottom - top) == (width_mm, height_mm)


# --------------------------------------------------------------------------------- calibration
def test_an_honest_uncertainty_lies_on_the_line():
    generator = np.random.default_rng(5)
    sigma = generator.uniform(10, 100, 20_000)
    honest = Uncertainty(sigma, generator.normal(0, sigma))
    stated, observed = binned(honest)
    assert observed == pytest.approx(stated, rel=0.06)
    assert coverage(honest) == pytest.approx(LEVELS, abs=0.015)
    bold = Uncertainty(sigma, 2 * honest.error_hu)
    assert (coverage(bold) < LEVELS).all()
    axes = calibration_figure(bold).axes
    (line,) = with_gid(axes[0], "binned")
    assert line.get_ydata() == pytest.approx(2 * observed)
    (line,) = with_gid(axes[1], "coverage")
    assert line.get_ydata() == pytest.approx(100 * coverage(bold))


# --------------------------------------------------------------------------------- the command
@pytest.fixture(scope="module")
def command(tmp_path_factory) -> list[str]:
    """A command that draws every kind of figure."""
    place = tmp_path_factory.mktemp("inputs")
    folder, run = make_evaluation(place / "evaluation"), make_run(place / "run")
    write_volume(make_marked(), place / "ct.nrrd")
    rows = "\n".join(f"{5 + n},{n - 6}" for n in range(12))
    (place / "sigma.csv").write_text(f"sigma_hu,error_hu\n{rows}\n")
    return [
        *("figures", "--evaluation", str(folder), "--runs", f"own <name>={run}"),
        *("--volumes", "anna-1", str(place / "ct.nrrd"), f"model={place / 'ct.nrrd'}"),
        *("--uncertainty", str(place / "sigma.csv")),
    ]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, command) -> Path:
    out = tmp_path_factory.mktemp("drawn") / "figures"
    assert main([*command, "--out", str(out)]) == 0
    return out


def test_the_command_writes_every_figure_twice_and_a_report(drawn):
    names = sorted(path.name for path in drawn.iterdir())
    figures = ["boxes", "boxes-mae_hu", "boxes-psnr_db", "calibration", "case-anna-1", "training"]
    assert names == sorted([f"{n}.{s}" for n in figures for s in ("pdf", "png")] + ["report.html"])
    for path in drawn.glob("*.png"):
        with Image.open(path) as picture:
            picture.load()
            assert picture.info["dpi"] == pytest.approx((300, 300), abs=1)
            assert min(picture.size) > 800
    for path in drawn.glob("*.pdf"):
        data = path.read_bytes()
        assert data.startswith(b"%PDF")
        assert data.rstrip().endswith(b"%%EOF")
        assert b"CreationDate" not in data


def test_the_same_files_give_the_same_bytes(drawn, command, tmp_path, capsys):
    assert main([*command, "--out", str(tmp_path)]) == 0
    printed = [Path(line) for line in capsys.readouterr().out.split("\n")[:-1]]
    assert sorted(printed) == sorted(tmp_path.iterdir())
    for path in printed:
        assert path.read_bytes() == (drawn / path.name).read_bytes(), path.name


def test_the_report_needs_nothing_else(drawn):
    text = (drawn / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', text)
    assert len(sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    first = re.search(r"base64,([^\"]+)", text)
    assert base64.b64decode(first[1]) == (drawn / "boxes.png").read_bytes()
    assert "mean absolute error &lt;in HU&gt;" in text
    assert "own &lt;name&gt;" in text
    assert "<td>63.2 [58.0, 70.2]</td>" in text  # the mean of 61.5, 70.25 and 58
    assert "<td>0.0004</td><td>***</td><td>Wilcoxon signed-rank</td>" in text


def test_chosen_columns_are_drawn(folder, tmp_path):
    command = ["figures", "--evaluation", str(folder), "--out", str(tmp_path / "out")]
    assert main([*command, "--metrics", "psnr_db"]) == 0
    assert not (tmp_path / "out" / "boxes-mae_hu.png").exists()
    assert (tmp_path / "out" / "boxes-psnr_db.png").exists()


def break_cell(folder):
    write_table(folder / "model.csv", {"anna": ("much", 1.0)})


def break_rows(folder):
    (folder / "model.csv").write_text("case,patient,mae_hu\na,b\n")


def break_summary(folder):
    (folder / "summary.json").write_text("{")


def remove_tables(folder):
    for path in folder.glob("*.csv"):
        path.unlink()


@pytest.mark.parametrize("spoil", [break_cell, break_rows, break_summary, remove_tables])
def test_a_broken_evaluation_is_refused_whole(folder, tmp_path, capsys, spoil):
    spoil(folder)
    out = tmp_path / "out"
    assert main(["figures", "--evaluation", str(folder), "--out", str(out)]) == 1
    assert "[BAD_EVALUATION]" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([], "NOTHING_TO_DRAW"),
        (["--evaluation", "gone"], "BAD_EVALUATION"),
        (["--runs", "gone"], "BAD_LOG"),
        (["--uncertainty", "gone.csv"], "BAD_UNCERTAINTY"),
        (["--volumes", "case", "ct.nrrd"], "BAD_VOLUMES"),
        (["--volumes", "case", "ct.nrrd", "sct.nrrd"], "BAD_VOLUMES"),
        (["--volumes", "a", "ct", "n=s", "--radiographs", "b", "AP=f"], "BAD_VOLUMES"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, capsys, monkeypatch, options, code):
    monkeypatch.chdir(tmp_path)
    assert main(["figures", *options, "--out", "out"]) == 1
    assert f"[{code}]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_column_that_no_table_has_is_refused(folder):
    with pytest.raises(InputError, match="no_such") as error:
        read_evaluation(folder, ["no_such"])
    assert error.value.code == "BAD_EVALUATION"


@pytest.mark.parametrize("line", ["not json", "[1]", '{"loss": 1.0}', '{"step": 1.5, "loss": 1}'])
def test_a_log_that_is_broken_in_the_middle_is_refused(run, line):
    log = run / "log.jsonl"
    log.write_text(f'{{"step": 1, "loss": 2.0}}\n{line}\n{{"step": 3, "loss": 2.0}}\n')
    with pytest.raises(InputError, match="Line 2") as error:
        read_run(log, "run")
    assert error.value.code == "BAD_LOG"


def test_matplotlib_loads_only_for_figures():
    code = (
        "import sys, TomoRayTraining.figures.command\n"
        "sys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_without_matplotlib_the_command_says_what_to_install(folder, tmp_path, capsys, monkeypatch):
    for name in list(sys.modules):
        if name.startswith("TomoRayTraining.figures.") or name.partition(".")[0] == "matplotlib":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["figures", "--evaluation", str(folder), "--out", str(tmp_path / "out")]) == 3
    assert "[NO_MATPLOTLIB]" in capsys.readouterr().err
