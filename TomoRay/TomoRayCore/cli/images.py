"""``reconstruct``, ``compare`` and ``demo``: one head at a time."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from TomoRayCore.cli.console import Console, add_command, add_common, outputs_text
from TomoRayCore.progress import Progress
from TomoRayCore.windows import WINDOWS

CT_HELP = "CT of a head: NRRD, NIfTI or MHA file, a DICOM folder, or one of its files"
MODEL_HELP = "model name or .safetensors file (default: the model that comes with TomoRay)"
DEVICE_HELP = "where the network runs (default: auto, the GPU if there is one)"


def add_commands(commands: Any) -> None:
    """Add this group's commands."""
    _add_reconstruct(commands)
    _add_compare(commands)
    _add_demo(commands)


def add_model_options(command: argparse.ArgumentParser) -> None:
    """Add ``--model`` and ``--device``."""
    command.add_argument("--model", metavar="NAME|FILE", help=MODEL_HELP)
    command.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help=DEVICE_HELP
    )


def _add_reconstruct(commands: Any) -> None:
    command = add_command(
        commands,
        "reconstruct",
        _reconstruct,
        summary="radiographs in, synthetic CT out",
        description="Compute a synthetic CT (sCT) from radiographs or DRRs.\n\n"
        "Writes the sCT in HU and, beside it under the same name with .json, its provenance:\n"
        "inputs, geometry, model, seed, device, version, warnings.",
        example="tomoray reconstruct --ap drr/ap.nrrd --lat drr/lat.nrrd --out sct.nrrd\n"
        "tomoray reconstruct --ap ap.dcm --lat lat.png --spacing 0.3 --out sct.nii.gz",
    )
    for view, words in (("ap", "frontal radiograph, AP"), ("lat", "lateral radiograph")):
        command.add_argument(
            f"--{view}",
            metavar="FILE",
            type=Path,
            help=f"{words}: DICOM, PNG, TIFF, JPEG, NRRD or MHA",
        )
    command.add_argument("--pa", metavar="FILE", type=Path, help="frontal radiograph, PA")
    add_model_options(command)
    command.add_argument(
        "--geometry",
        metavar="FILE",
        type=Path,
        help="geometry.json of the radiographs (default: what the files state, else the model's)",
    )
    command.add_argument(
        "--spacing",
        type=float,
        metavar="MM",
        help="detector pixel spacing, for files that do not state it",
    )
    command.add_argument(
        "--invert", action="store_true", help="bone is dark in the files: swap black and white"
    )
    command.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        required=True,
        help="the sCT: .nrrd, .nii, .nii.gz, .mha or .mhd",
    )
    add_common(command)


def _add_compare(commands: Any) -> None:
    command = add_command(
        commands,
        "compare",
        _compare,
        summary="synthetic CT against ground truth: metrics and picture",
        description="Compare a synthetic CT with the true CT.\n\n"
        "Writes metrics.json and comparison.png: sCT over ground truth over difference, in axial,\n"
        "coronal and sagittal slices. Where the radiographs are known (given here, or named in\n"
        "the sCT's provenance), they are shown beside the sCT's own projections.",
        example="tomoray compare sct.nrrd head.nrrd --out comparison --window brain",
    )
    command.add_argument("sct", metavar="SCT", type=Path, help="synthetic CT")
    command.add_argument("ct", metavar="CT", type=Path, help=f"ground truth; {CT_HELP}")
    command.add_argument("--out", metavar="DIR", type=Path, required=True, help="output folder")
    command.add_argument(
        "--window",
        choices=tuple(WINDOWS),
        default="full",
        help="HU window of metrics and picture (default: %(default)s)",
    )
    for view in ("ap", "pa", "lat"):
        command.add_argument(
            f"--{view}", metavar="FILE", type=Path, help=f"{view.upper()} radiograph to show"
        )
    add_common(command)


def _add_demo(commands: Any) -> None:
    command = add_command(
        commands,
        "demo",
        _demo,
        summary="all of it on a head phantom, or on a CT of yours",
        description="Go through everything: CT, DRRs, synthetic CT, comparison.\n\n"
        "Without --ct a head phantom is made (and written as ct.nrrd). Leaves the DRRs, the sCT\n"
        "with its provenance, metrics.json and comparison.png in the folder.",
        example="tomoray demo\ntomoray demo --ct head.nrrd --out my-head",
    )
    command.add_argument("--ct", metavar="FILE", type=Path, help=CT_HELP)
    command.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("demo-output"),
        help="output folder (default: %(default)s)",
    )
    add_model_options(command)
    add_common(command)


def _reconstruct(arguments: argparse.Namespace, console: Console) -> int:
    from TomoRayCore.pipeline import reconstruct_files

    result = reconstruct_files(
        _radiographs(arguments),
        arguments.out,
        model=arguments.model,
        device=arguments.device,
        geometry=arguments.geometry,
        spacing_mm=arguments.spacing,
        invert=arguments.invert,
        report=console.progress,
    )
    return _finish(console, result)


def _compare(arguments: argparse.Namespace, console: Console) -> int:
    from TomoRayCore.pipeline import compare_files

    result = compare_files(
        arguments.sct,
        arguments.ct,
        arguments.out,
        radiographs=_radiographs(arguments) or None,
        window=arguments.window,
        report=console.progress,
    )
    return _finish(console, result)


def _demo(arguments: argparse.Namespace, console: Console) -> int:
    from TomoRayCore.pipeline import as_report, case_files, phantom_file

    progress = Progress(console.progress)
    ct = arguments.ct
    if ct is None:
        ct = arguments.out / "ct.nrrd"
        phantom_file(ct, report=as_report(progress.part(0.0, 0.2)))
    result = case_files(
        arguments.out,
        ct=ct,
        model=arguments.model,
        device=arguments.device,
        report=as_report(progress.part(0.0 if arguments.ct else 0.2, 1.0)),
    )
    if arguments.ct is None:
        result["outputs"] = {"ct": str(ct), **result["outputs"]}
    return _finish(console, result)


def _finish(console: Console, result: Mapping[str, Any]) -> int:
    for warning in result["warnings"]:
        console.warn(warning)
    lines = [outputs_text(result)]
    if "metrics" in result:
        lines.append(_metrics_text(result["metrics"]))
    console.result(result, "\n".join(lines))
    return 0


def _metrics_text(metrics: Mapping[str, Any]) -> str:
    from TomoRayCore.metrics import LABELS

    window = f"[{metrics['window_low_hu']:g}, {metrics['window_high_hu']:g}] HU"
    lines = [f"Metrics, window {metrics['window']} {window}"]
    for name, label in LABELS.items():
        infinite = name in metrics["infinite"]
        value = "-" if metrics[name] is None else f"{metrics[name]:.4g}"
        lines.append(f"  {label:<24}{'infinite' if infinite else value}")
    for view, correlation in metrics["reprojection_correlation"].items():
        lines.append(f"  {f'Re-projection {view}, r':<24}{correlation:.4f}")
    return "\n".join(lines)


def _radiographs(arguments: argparse.Namespace) -> dict[str, Path]:
    files = {"AP": arguments.ap, "PA": arguments.pa, "LAT": arguments.lat}
    return {view: path for view, path in files.items() if path is not None}
