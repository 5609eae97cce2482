"""``models`` and ``doctor``: what there is, and whether it works."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from TomoRayCore.cli.console import Console, add_command, add_common
from TomoRayCore.errors import InputError
from TomoRayCore.failures import DONE, ENVIRONMENT


def add_commands(commands: Any) -> None:
    """Add this group's commands."""
    command = add_command(
        commands,
        "models",
        _models,
        summary="model files and architectures",
        description="List the model files that came with TomoRay, with their held-out metrics\n"
        "next to those of the mean head and their limits, and the architectures that a model\n"
        "file may name, with their parameter counts.",
        example="tomoray models\ntomoray models --json",
    )
    add_common(command)
    command = add_command(
        commands,
        "doctor",
        _doctor,
        summary="versions, memory, GPU, model files: text for a bug report",
        description="Examine this installation. The text names no person, path or host.\n"
        "Exit code 3 when something needs mending.",
        example="tomoray doctor",
    )
    add_common(command)


def list_models() -> list[dict[str, Any]]:
    """Describe every model file; an unusable one is listed with its error."""
    from TomoRayCore.bundle import available_models

    return [_describe(path) for path in available_models()]


def list_architectures() -> list[dict[str, Any]]:
    """Name every architecture with its parameter count at the default arguments."""
    import torch

    from TomoRayCore.nets import GENERATORS, build, parameter_count

    found = []
    for name, generator in GENERATORS.items():
        with torch.device("meta"):  # counts without taking the memory
            count = parameter_count(build(name))
        kind = getattr(generator, "func", generator)  # a variant is a partial of its class
        summary = (kind.__doc__ or "").strip().partition("\n")[0]
        found.append({"name": name, "parameters": count, "summary": summary})
    return found


def _describe(path: Path) -> dict[str, Any]:
    from TomoRayCore.bundle import read_bundle

    entry: dict[str, Any] = {"file": path.name, "mib": round(path.stat().st_size / 2**20, 2)}
    try:
        bundle = read_bundle(path)
    except InputError as error:
        return {**entry, "error": error.code, "message": error.message}
    described = bundle.description
    return {
        **entry,
        "name": bundle.name,
        "summary": described["summary"],
        "architecture": described["architecture"],
        "parameters": sum(int(tensor.size) for tensor in bundle.tensors.values()),
        "sha256": bundle.sha256,
        "intended_use": described["intended_use"],
        "known_failures": described["known_failures"],
        "training": described["training"],
        "metrics": described["metrics"],
    }


def _models(arguments: argparse.Namespace, console: Console) -> int:
    models, architectures = list_models(), list_architectures()
    lines = ["Models"]
    for model in models:
        lines += _model_lines(model)
    if not models:
        lines.append("  none came with this installation")
    lines.append("Architectures")
    lines += [
        f"  {net['name']:<20}{net['parameters']:>12,} parameters  {net['summary']}"
        for net in architectures
    ]
    console.result({"models": models, "architectures": architectures}, "\n".join(lines))
    return DONE


def _model_lines(model: Mapping[str, Any]) -> list[str]:
    if "error" in model:
        return [f"  {model['file']}  UNUSABLE [{model['error']}] {model['message']}"]
    lines = [
        f"  {model['name']}  {model['mib']} MiB, {model['parameters']:,} values, "
        f"sha256 {model['sha256'][:12]}",
        f"    {model['summary']}",
        f"    architecture: {model['architecture'].get('name')}",
        f"    intended use: {model['intended_use']}",
    ]
    lines += [f"    limit: {failure}" for failure in model["known_failures"]]
    return lines + _metric_lines(model["metrics"])


def _metric_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Return the held-out table that training writes; another form is shown as it is."""
    results = metrics.get("results")
    if not isinstance(results, Mapping):
        return _nested("metrics", metrics, "    ")
    columns = ("model", "mean_head", "difference")
    head = "".join(f"{name.replace('_', ' '):>32}" for name in columns)
    lines = [
        f"    held-out {metrics.get('split')} patients: {metrics.get('patients')}; "
        f"{metrics.get('voxels')}; {metrics.get('input')}",
        f"    {'mean [95 % interval]':<20}{head}",
    ]
    for name, row in results.items():
        cells = "".join(f"{_interval(row.get(column)):>32}" for column in columns)
        lines.append(f"    {name:<20}{cells}")
    return lines


def _interval(figures: Any) -> str:
    try:
        return f"{figures['mean']:.4g} [{figures['low']:.4g}, {figures['high']:.4g}]"
    except (KeyError, TypeError, ValueError):
        return "-"


def _nested(name: str, value: Any, indent: str) -> list[str]:
    """Return a JSON value as indented lines; the table's form is the model's own."""
    if isinstance(value, Mapping):
        lines = [f"{indent}{name}:"]
        for key, item in value.items():
            lines += _nested(str(key), item, indent + "  ")
        return lines
    return [
        f"{indent}{name}: {value:.4g}" if isinstance(value, float) else f"{indent}{name}: {value}"
    ]


def _doctor(arguments: argparse.Namespace, console: Console) -> int:
    from TomoRayCore.doctor import as_text, examine

    facts = examine()
    console.result(facts, as_text(facts))
    return ENVIRONMENT if facts["problems"] else DONE
