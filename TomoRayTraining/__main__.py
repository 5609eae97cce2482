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
from TomoRayCore.nets import TRANSLATORS, build
from TomoRayCore.progress import Step
from TomoRayTraining.benchmark import TABLE, bad_method, benchmark, tabulate
from TomoRayTraining.cases import Case, read_cases
from TomoRayTraining.checkpoint import load_checkpoint
from TomoRayTraining.config import IMAGES, Config
from TomoRayTraining.config_file import read_config
from TomoRayTraining.dataset import training_references
from TomoRayTraining.engine import Trainer
from TomoRayTraining.export import ModelCard, TrainedStage, export
from TomoRayTraining.figures.command import add_figures
from TomoRayTraining.prepare import prepare
from TomoRayTraining.recipes import recipe
from TomoRayTraining.scorers import SCORERS

IN_MODEL_FILE = (
    "split", "patients", "input", "voxels", "grid", "definitions", "intervals", "results"
)  # fmt: skip
"""What a model file keeps of its evaluation."""

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
    predictions = dict(map(_named_path, options.predictions))
    if len(predictions) < len(options.predictions):
        raise bad_method("Two folders of predictions have one name.")
    result = benchmark(
        _models(options.model, is_default_wanted=not predictions),
        read_cases(options.cases),
        options.split,
        options.out,
        predictions={name: Path(path) for name, path in predictions.items()},
        images=options.images,
        device=options.device,
        reference=options.reference,
        scores=options.scores,
        report=_show,
    )
    print(json.dumps(result, indent=2))


def _tabulate(options: argparse.Namespace) -> None:
    tabulate(options.folder, options.reference)
    print(options.folder / TABLE)


def _models(given: Sequence[str], is_default_wanted: bool) -> dict[str, Bundle]:
    """Return model files by column: one alone is ``model``, several go by their own names."""
    if not given:
        return {"model": read_bundle()} if is_default_wanted else {}
    models: dict[str, Bundle] = {}
    for text in given:
        name, path = ("", text) if Path(text).exists() else _named_path(text)
        bundle = read_bundle(path)
        name = name or ("model" if len(given) == 1 else bundle.name)
        if name in models:
            raise bad_method(f"Two models are called {name!r}.")
        models[name] = bundle
    return models


def _named_path(text: str) -> tuple[str, str]:
    """Split ``NAME=PATH``; without a name it is empty."""
    name, _, path = text.rpartition("=")
    return name, path


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
        metrics = benchmark(
            {"model": bundle},
            cases,
            "test",
            folder,
            images=config.data.images,
            baselines=["mean_head"],
            report=_show,
        )
        metrics = {key: metrics[key] for key in IN_MODEL_FILE}
    write(options.out, metrics=metrics)
    print(json.dumps(metrics, indent=2))


def _references(training: Sequence[Case], config: Config) -> list[ViewReference]:
    """Return what films are matched to, where films or the like of them are what is seen."""
    return [] if config.data.images == "drr" else training_references(training, config)


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
    _add_evaluate(commands)
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


def _add_evaluate(commands: Any) -> None:
    command = commands.add_parser("evaluate", help="score models, predictions and baselines")
    command.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="[NAME=]MODEL",
        help="name or path (the default model, unless there are --predictions); may be repeated",
    )
    command.add_argument(
        "--predictions",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="a folder of volumes called by the cases; may be repeated",
    )
    command.add_argument("--cases", type=Path, required=True)
    command.add_argument("--split", default="test", choices=("train", "val", "test"))
    command.add_argument(
        "--images", default="drr", choices=IMAGES, help="what to reconstruct from (drr)"
    )
    command.add_argument(
        "--reference", default="mean_head", help="method to test the others against (mean_head)"
    )
    command.add_argument("--scores", default="plain", choices=sorted(SCORERS))
    command.add_argument("--device", default="auto", choices=DEVICES)
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(command=_evaluate)
    command = commands.add_parser("table", help="write an evaluation's tables again from its CSVs")
    command.add_argument("folder", type=Path, help="what evaluate wrote")
    command.add_argument("--reference", help="method to test the others against (as before)")
    command.set_defaults(command=_tabulate)


if __name__ == "__main__":
    sys.exit(main())
