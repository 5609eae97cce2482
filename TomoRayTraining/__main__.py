"""``python -m TomoRayTraining``: prepare, train, evaluate and export."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from TomoRayCore.bundle import read_bundle
from TomoRayCore.devices import DEVICES
from TomoRayCore.errors import Cancelled, InputError, SetupError
from TomoRayCore.io.atomic import write_text
from TomoRayCore.progress import Step
from TomoRayTraining.cases import Case, read_cases
from TomoRayTraining.checkpoint import load_checkpoint
from TomoRayTraining.config import read_config
from TomoRayTraining.engine import Trainer
from TomoRayTraining.evaluate import (
    evaluate,
    mean_head_prediction,
    model_prediction,
    summary,
    write_rows,
)
from TomoRayTraining.export import ModelCard, export
from TomoRayTraining.prepare import prepare
from TomoRayTraining.recipes import recipe

METRICS = ("mae_hu", "psnr_db", "ssim", "cosine_similarity", "mae_bone_hu", "dice_bone")
EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 usage, 3 environment, 130 stopped (resumable)."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = _parser().parse_args(argv)
    try:
        options.command(options)
    except InputError as error:
        print(f"error [{error.code}] {error.message}\n{error.remedy}", file=sys.stderr)
        return 1
    except SetupError as error:
        print(f"error [{error.code}] {error.message}\n{error.remedy}", file=sys.stderr)
        return 3
    except (Cancelled, KeyboardInterrupt):
        print("Stopped; run the same command again to go on.", file=sys.stderr)
        return 130
    return 0


def _prepare(options: argparse.Namespace) -> None:
    table = prepare(options.collection, options.out, options.phantoms, _show)
    print(table)


def _train(options: argparse.Namespace) -> None:
    config = read_config(options.config)
    cases = read_cases(options.cases)
    initial = read_bundle(options.initial) if options.initial else None
    validate = recipe(config.optimisation.recipe).validation(_split(cases, "val"), config)
    Trainer(config, _split(cases, "train"), options.out, validate, options.device, initial).run(
        _show
    )


def _evaluate(options: argparse.Namespace) -> None:
    bundle = read_bundle(options.model)
    cases = read_cases(options.cases)
    print(json.dumps(_evaluated(bundle, cases, options.split, options.out), indent=2))


def _export(options: argparse.Namespace) -> None:
    config, cases = read_config(options.config), read_cases(options.cases)
    trainer = Trainer(config, _split(cases, "train"), options.run)
    average, state = load_checkpoint(trainer.checkpoint, trainer.recipe)
    card = ModelCard.read(options.card)
    draft = options.run / f"{config.name}.safetensors"
    bundle = export(draft, config, average, card, cases, {}, state)
    metrics = _evaluated(bundle, cases, "test", options.run / "test")
    export(options.out, config, average, card, cases, metrics, state)
    print(json.dumps(metrics, indent=2))


def _evaluated(bundle: Any, cases: Sequence[Case], split: str, folder: Path) -> dict[str, Any]:
    """Evaluate a model and the mean head on a split; write both tables; return the summary."""
    chosen = _split(cases, split)
    heads = [c for c in cases if c.split == "train" and c.kind == "completed"]
    heads = heads or _split(cases, "train")
    model = evaluate(chosen, model_prediction(bundle), _show)
    baseline = evaluate(chosen, mean_head_prediction(heads, bundle.output), _show)
    write_rows(folder / "model.csv", model)
    write_rows(folder / "mean_head.csv", baseline)
    result = {
        "split": split,
        "patients": len(chosen),
        "input": f"DRRs of each patient's CT, {bundle.geometry.name}",
        "voxels": "scanned slices only",
        "definitions": {name: model[0]["definitions"][name] for name in METRICS},
        "intervals": "95 % percentile bootstrap over patients",
        "results": summary(model, baseline, METRICS),
    }
    write_text(folder / "summary.json", json.dumps(result, indent=2))
    return result


def _split(cases: Sequence[Case], split: str) -> list[Case]:
    return [case for case in cases if case.split == split]


def _show(step: Step) -> None:
    eta = "" if step.eta_s is None else f", {step.eta_s / 60:.1f} min to go"
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"{step.fraction:6.1%} {step.message}{eta}", file=sys.stderr, end=end, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m TomoRayTraining", description=__doc__, epilog=EXIT_CODES
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("prepare", help="list heads, make phantoms, write cases.csv")
    command.add_argument("--collection", type=Path, help="folder with manifest.csv and heads_2mm")
    command.add_argument("--phantoms", type=int, default=40, help="how many to make (40)")
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(command=_prepare)
    command = commands.add_parser("train", help="train, or go on where a run stopped")
    command.add_argument("config", type=Path, help="an experiment's YAML file")
    command.add_argument("--cases", type=Path, required=True)
    command.add_argument("--out", type=Path, required=True, help="folder of the run")
    command.add_argument("--device", default="auto", choices=DEVICES)
    command.add_argument("--initial", type=Path, help="model file to start from (random weights)")
    command.set_defaults(command=_train)
    command = commands.add_parser("evaluate", help="score a model file and the mean head")
    command.add_argument("--model", help="name or path (the default model)")
    command.add_argument("--cases", type=Path, required=True)
    command.add_argument("--split", default="test", choices=("train", "val", "test"))
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(command=_evaluate)
    command = commands.add_parser("export", help="evaluate a run and write its model file")
    command.add_argument("config", type=Path)
    command.add_argument("--cases", type=Path, required=True)
    command.add_argument("--run", type=Path, required=True)
    command.add_argument("--card", type=Path, required=True, help="model card, JSON")
    command.add_argument("--out", type=Path, required=True, help="the .safetensors file")
    command.set_defaults(command=_export)
    return parser


if __name__ == "__main__":
    sys.exit(main())
