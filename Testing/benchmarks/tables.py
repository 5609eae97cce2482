"""Markdown tables of results, as in docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Result = Mapping[str, Any]


def markdown(results: Sequence[Result]) -> str:
    """Return the tables of one run."""
    ratios = [r for r in results if "ratio" in r]
    parts = [_heading(next((r for r in results if r["name"] == "run"), None))]
    parts += [_ratios([r for r in ratios if "target" in r], targets=True)]
    parts += [_ratios([r for r in ratios if "target" not in r], targets=False)]
    parts += [_values([r for r in results if "value" in r])]
    parts += [_steps([r for r in results if r["name"].startswith("step: ")])]
    return "\n\n".join(part for part in parts if part)


def _heading(run: Result | None) -> str:
    if run is None:
        return ""
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return f"{run['date']}, commit {run['commit']}, {run['machine']}. {versions}."


def _ratios(results: Sequence[Result], targets: bool) -> str:
    if not results:
        return ""
    asked = " asked | met |" if targets else ""
    lines = [f"| what | against | size | ours, ms | theirs, ms | ratio | spread |{asked}"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: | ---: |" + " ---: | --- |" * targets)
    for r in results:
        line = (
            f"| {r['name']} | {r['peer']} | {r['size']}² | {_number(r['ours_ms'])} "
            f"| {_number(r['peer_ms'])} | {_number(r['ratio'])} | {r['spread']:.0%} |"
        )
        lines.append(line + (f" {r['target']:g} | {_met(r)} |" if targets else ""))
    return "\n".join(lines)


def _values(results: Sequence[Result]) -> str:
    if not results:
        return ""
    lines = ["| what | size | value | at most | met |", "| --- | ---: | ---: | ---: | --- |"]
    for r in results:
        limit = f"{r['target']:g} | {_met(r)}" if "target" in r else " | "
        lines.append(
            f"| {r['name']} | {r['size']}² | {_number(r['value'])} {r['unit']} | {limit} |"
        )
    return "\n".join(lines)


def _steps(results: Sequence[Result]) -> str:
    if not results:
        return ""
    lines = ["| step | CPU ms |", "| --- | ---: |"]
    lines += [f"| {r['name'].removeprefix('step: ')} | {_number(r['ours_ms'])} |" for r in results]
    return "\n".join(lines)


def _met(result: Result) -> str:
    return "yes" if result["met"] else "**no**"


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 100 else f"{value:.3g}"
