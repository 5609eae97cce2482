"""P values in an evaluation's summary, wherever it keeps them.

A p value belongs to a metric and two methods. The summary names them as keys on the way to it, as
one key for both (``a vs b``), or as fields beside it; what names fewer or more is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OURS = ("model", "mean_head")
"""Whom the key ``difference`` compares where nothing else is said."""

PARTNERS = ("first", "second", "a", "b", "method", "other", "baseline", "reference", "against")
BOTH = ("methods", "pair", "between")
BETWEEN = re.compile(r"\s+(?:vs\.?|versus|-|−|–)\s+|__vs__|_vs_|/|\|")
LEVELS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
LEGEND = "* p < 0.05, ** p < 0.01, *** p < 0.001, n.s. not significant"
KEY = re.compile(r"p(?:$|_.*|-?values?$)")


@dataclass(frozen=True)
class Comparison:
    """How likely two methods differ by chance in one metric.

    Attributes:
        metric: Column.
        first: Method.
        second: The other one.
        p_value: In [0, 1].
        test: What the summary calls the value, in words.
    """

    metric: str
    first: str
    second: str
    p_value: float
    test: str

    @property
    def mark(self) -> str:
        """Asterisks as journals print them, or ``n.s.``."""
        return next((mark for level, mark in LEVELS if self.p_value < level), "n.s.")


def comparisons_in(
    summary: Mapping[str, Any], methods: Sequence[str], metrics: Sequence[str]
) -> list[Comparison]:
    """Return each metric's pairs of methods with a p value; corrected values before plain ones."""
    found: dict[tuple[str, frozenset[str]], Comparison] = {}
    for comparison in _walk(summary, None, (), methods, metrics):
        pair = (comparison.metric, frozenset((comparison.first, comparison.second)))
        found.setdefault(pair, comparison)
    return list(found.values())


def _walk(
    node: Any,
    metric: str | None,
    pair: tuple[str, ...],
    methods: Sequence[str],
    metrics: Sequence[str],
) -> Iterator[Comparison]:
    if isinstance(node, list):
        for item in node:
            yield from _walk(item, metric, pair, methods, metrics)
    if not isinstance(node, dict):
        return
    named = node.get("metric")
    metric = named if isinstance(named, str) and named in metrics else metric
    pair = _joined(pair, _beside(node, methods))
    best = _best(node)
    if best is not None and metric is not None and len(pair) == 2:
        yield Comparison(metric, pair[0], pair[1], *best)
    for key, value in node.items():
        own = _joined(pair, _in_key(key, methods))
        if key == "difference" and not own and set(OURS) <= set(methods):
            own = OURS
        yield from _walk(value, key if key in metrics else metric, own, methods, metrics)


def _joined(pair: tuple[str, ...], more: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*pair, *more)))


def _in_key(key: str, methods: Sequence[str]) -> list[str]:
    parts = [key] if key in methods else BETWEEN.split(key)
    return parts if all(part in methods for part in parts) else []


def _beside(node: Mapping[str, Any], methods: Sequence[str]) -> list[str]:
    found = [node.get(key) for key in PARTNERS]
    for key in BOTH:
        value = node.get(key)
        if isinstance(value, list):
            found += value
        elif isinstance(value, str):
            found += _in_key(value, methods)
    return [name for name in found if isinstance(name, str) and name in methods]


def _best(node: Mapping[str, Any]) -> tuple[float, str] | None:
    """Return the p value to print: corrected for many tests if there is one, paired if it may be."""
    values = {
        key: float(value)
        for key, value in node.items()
        if KEY.match(key)
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and 0 <= value <= 1
    }
    if not values:
        return None

    def rank(key: str) -> tuple[bool, bool]:
        corrected = any(word in key for word in ("holm", "adjusted", "corrected"))
        return not corrected, "signed" not in key and "paired" not in key

    key = min(values, key=rank)
    return values[key], _in_words(key)


def _in_words(key: str) -> str:
    words = []
    if "signed_rank" in key:
        words.append("Wilcoxon signed-rank")
    elif "rank_sum" in key:
        words.append("Wilcoxon rank-sum")
    if "holm" in key:
        words.append("Holm-corrected")
    return ", ".join(words) or key.replace("_", " ")
