"""``python -m TomoRayTraining``: prepare, train, evaluate, draw and export."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from TomoRayCore.bundle import Bundle, read_bundle
from TomoRayCore.devices import DEVICES
from TomoRayCore.errors import Cancelled, InputError, SetupError
from TomoRayCore.harmonise import ViewReference
from TomoRayCore.io.atomic import write_text
from TomoRayCore.nets import TRANSLATORS, build
from TomoRayCore.progress import Step
from TomoRayTraining.cases import Case, read_cases
from TomoRayTraining.checkpoint import load_checkpoint
from TomoRayTraining.config import IMAGES, Config, DataConfig
from TomoRayTraining.config_file import read_config
from TomoRayTraining.dataset import training_references
from TomoRayTraining.engine import Trainer
from TomoRayTraining.evaluate import (
    evaluate,
    mean_head_prediction,
    model_prediction,
    summary,
    write_rows,
)
from TomoRayTraining.export import ModelCard, TrainedStage, export
from TomoRayTraining.figures.command import add_figures
from TomoRayTraining.films import cases_with_films
from TomoRayTraining.prepare import prepare
from TomoRayTraining.recipes import recipe

METRICS = ("mae_hu", "psnr_db", "ssim", "cosine_similarity", "mae_bone_hu", "dice_bone")
SHOWN = {
    "drr": "DRRs of each patient's CT, {}",
    "realistic": "DRRs of each patient's CT made realistic, {}",
    "films": "each patient's radiographs",
}
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
    training = _split(cases, "train")
    validate = recipe(config.optimisation.recipe).validation(
        _split(cases, "val"), config, _references(training, config)
    )
    Trainer(config, training, options.out, validate, options.device, initial).run(_show)


def _evaluate(options: argparse.Namespace) -> None:
    bundle = read_bundle(options.model)
    cases = read_cases(options.cases)
    result = _evaluated(bundle, cases, options.split, options.out, options.images)
    print(json.dumps(result, indent=2))


def _export(options: argparse.Namespace) -> None:
    config, cases = read_config(options.config), read_cases(options.cases)
    trainer = Trainer(config, _split(cases, "train"), options.run)
    average, state = load_checkpoint(trainer.checkpoint, trainer.recipe)
    write = partial(
        export,
        config=config,
        weights=average,
        card=ModelCard.read(options.card),
        cases=cases,
        state=state,
        stages=[TrainedStage.read(path) for path in options.stage],
        large=options.large,
    )
    kind = recipe(config.optimisation.recipe)
    if kind.REGISTRY is TRANSLATORS:
        references = _references(_split(cases, "train"), config)
        score = kind.validation(_split(cases, "test"), config, references)
        net = build(config.model.architecture, config.model.arguments, TRANSLATORS)
        net.load_state_dict(average)
        metrics: dict[str, Any] = {"split": "test", "results": score(net.eval())}
    else:
        bundle = write(options.run / f"{config.name}.safetensors", metrics={})
        folder = options.run / "test"
        metrics = _evaluated(bundle, cases, "test", folder, config.data.images)
    write(options.out, metrics=metrics)
    print(json.dumps(metrics, indent=2))


def _references(training: Sequence[Case], config: Config) -> list[ViewReference]:
    """Return what films are matched to, where films or the like of them are what is seen."""
    return [] if config.data.images == "drr" else training_references(training, config)


def _evaluated(
    bundle: Bundle, cases: Sequence[Case], split: str, folder: Path, images: str
) -> dict[str, Any]:
    """Evaluate a model and the mean head on a split; write both tables; return the summary."""
    chosen = _split(cases, split)
    if images == "films":
        chosen = cases_with_films(chosen, DataConfig(views=bundle.geometry.labels))
    heads = [c for c in cases if c.split == "train" and c.kind == "completed"]
    heads = heads or _split(cases, "train")
    model = evaluate(chosen, model_prediction(bundle, images=images), _show)
    baseline = evaluate(chosen, mean_head_prediction(heads, bundle.output), _show)
    write_rows(folder / "model.csv", model)
    write_rows(folder / "mean_head.csv", baseline)
    result = {
        "split": split,
        "patients": len(chosen),
        "input": SHOWN[images].format(bundle.geometry.name),
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
    command.add_argument(
        "--images", default="drr", choices=IMAGES, help="what to reconstruct from (drr)"
    )
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(command=_evaluate)
    command = commands.add_parser("export", help="evaluate a run and write its model file")
    command.add_argument("config", type=Path)
    command.add_argument("--cases", type=Path, required=True)
    command.add_argument("--run", type=Path, required=True)
    command.add_argument("--card", type=Path, required=True, help="model card, JSON")
    command.add_argument("--out", type=Path, required=True, help="the .safetensors file")
    command.add_argument(
        "--stage",
        type=Path,
        action="append",
        default=[],
        metavar="RUN_OR_FILE",
        help="a trained translator to run on films before the generator; may be repeated",
    )
    command.add_argument("--large", action="store_true", help="allow a file of more than 20 MB")
    command.set_defaults(command=_export)
    add_figures(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
