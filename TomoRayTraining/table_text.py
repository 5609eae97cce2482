"""An evaluation's summary as a page of Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from TomoRayCore.metrics import LABELS

P_VALUES = ("p_signed_rank", "p_signed_rank_holm", "p_holm_all", "p_rank_sum")
HEADINGS = {
    "p_signed_rank": "p",
    "p_signed_rank_holm": "p Holm",
    "p_holm_all": "p Holm, all",
    "p_rank_sum": "p rank-sum",
    "shift": "Shift [95 %]",
    "rank_biserial": "Rank-biserial",
    "cliffs_delta": "Cliff's delta",
}


def table_text(summary: Mapping[str, Any]) -> str:
    """Return the page: figures of every method, comparisons, what it took, definitions."""
    methods, results = list(summary["methods"]), summary["results"]
    known = {name: row for name, row in results.items() if row}
    parts = [
        f"# Evaluation on the {summary['split']} split",
        f"{summary['patients']} patients, {summary['cases']} cases. Input: {summary['input']}. "
        f"Voxels: {summary['voxels']}; {summary['grid']}.",
        *_figures("Mean [95 % interval]", known, methods, ("mean", "low", "high")),
        f"Intervals: {summary['intervals']}.",
        *_figures("Median [quartiles]", known, methods, ("median", "q1", "q3")),
        *_compared(summary),
        *_used(summary["methods"]),
        "## Methods",
        _list({name: _told(facts) for name, facts in summary["methods"].items()}),
    ]
    if summary.get("left_out"):
        parts += ["Left out:", _list(summary["left_out"])]
    parts += ["## Definitions", _list(summary["definitions"])]
    return "\n\n".join(parts) + "\n"


def _figures(
    title: str, known: Mapping[str, Any], methods: Sequence[str], keys: tuple[str, str, str]
) -> list[str]:
    most = max(
        (row[m]["patients"] for row in known.values() for m in methods if m in row), default=0
    )

    def cell(metric: str, method: str) -> str:
        figures = known[metric].get(method)
        if figures is None:
            return "none"
        middle, low, high = (number(figures[key]) for key in keys)
        fewer = f" (n = {figures['patients']})" if figures["patients"] < most else ""
        return f"{middle} [{low}, {high}]{fewer}"

    lines = [[_label(metric), *(cell(metric, method) for method in methods)] for metric in known]
    return [f"## {title}", _grid(["Metric", *methods], lines)]


def _compared(summary: Mapping[str, Any]) -> list[str]:
    found = summary["comparisons"]
    if not found:
        return []
    head = ["Metric", "Method", "Mean difference [95 %]", HEADINGS["shift"]]
    head += [HEADINGS[name] for name in P_VALUES]
    head += [HEADINGS["rank_biserial"], HEADINGS["cliffs_delta"], "n"]
    lines = [
        [
            _label(c["metric"]),
            c["first"],
            f"{number(c['mean'])} [{number(c['low'])}, {number(c['high'])}]",
            _shift(c),
            *(p_text(c[name]) for name in P_VALUES),
            f"{c['rank_biserial']:.2f}",
            f"{c['cliffs_delta']:.2f}",
            str(c["patients"]),
        ]
        for c in found
    ]
    told = "\n".join(f"- {HEADINGS[name]}: {text}" for name, text in summary["tests"].items())
    return [f"## Method - {summary['reference']}", _grid(head, lines), told]


def _shift(c: Mapping[str, Any]) -> str:
    text = f"{number(c['shift'])} [{number(c['shift_low'])}, {number(c['shift_high'])}]"
    return text if c["shift_confidence"] >= 0.95 else f"{text} ({c['shift_confidence']:.0%})"


def _used(methods: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, facts in methods.items():
        seconds, memory = facts["seconds"], facts["peak_memory_mib"]
        took = "none" if seconds is None else f"{number(seconds['median'])} "
        if seconds is not None:
            took += f"[{number(seconds['q1'])}, {number(seconds['q3'])}]"
        lines.append([name, took, "none" if memory is None else f"{memory:.0f}"])
    return ["## Time and memory", _grid(["Method", "Seconds a case", "Peak memory (MiB)"], lines)]


def _told(facts: Mapping[str, Any]) -> str:
    return "; ".join(str(facts[key]) for key in ("model", "description") if facts.get(key))


def number(value: float) -> str:
    """Return about four significant digits, without an exponent where that is readable."""
    return f"{value:.4g}" if abs(value) < 9999.5 else f"{value:.0f}"


def p_text(p: float) -> str:
    """Return a p value as journals print it."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _label(metric: str) -> str:
    return LABELS.get(metric, metric)


def _grid(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(c.replace("|", "/") for c in row) + " |" for row in rows)


def _list(entries: Mapping[str, str]) -> str:
    return "\n".join(f"- `{name}`: {text}" for name, text in entries.items())
