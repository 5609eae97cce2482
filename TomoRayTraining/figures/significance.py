"""P values in an evaluation's summary, wherever it keeps them.

A p value belongs to a metric and two methods. The summary names them as keys on the way to it, as
one key for both (``a vs b``), or as fields beside it; what names fewer or more is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BASELINE = "mean_head"
"""Whom the key ``difference`` compares the first method with, where nothing else is said."""

PARTNERS = ("first", "second", "a", "b", "method", "other", "baseline", "against")
BOTH = ("methods", "pair", "between")
BETWEEN = re.compile(r"\s+(?:vs\.?|versus|-|−|–)\s+|__vs__|_vs_|/|\|")
LEVELS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
LEGEND = "* p < 0.05, ** p < 0.01, *** p < 0.001, n.s. not significant"
CORRECTED = ("holm", "adjusted", "corrected")
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
    def is_corrected(self) -> bool:
        """Whether the value takes into account that there are many."""
        return any(word in self.test for word in ("Holm", *CORRECTED))

    @property
    def mark(self) -> str:
        """Asterisks as journals print them, or ``n.s.``."""
        return next((mark for level, mark in LEVELS if self.p_value < level), "n.s.")


def comparisons_in(
    summary: Mapping[str, Any], methods: Sequence[str], metrics: Sequence[str]
) -> list[Comparison]:
    """Return each metric's pairs of methods with a p value; corrected values before plain ones."""
    found: dict[tuple[str, frozenset[str]], Comparison] = {}
    for comparison in _walk(summary, _Place(), methods, metrics):
        pair = (comparison.metric, frozenset((comparison.first, comparison.second)))
        if pair not in found or (comparison.is_corrected and not found[pair].is_corrected):
            found[pair] = comparison
    return list(found.values())


@dataclass(frozen=True)
class _Place:
    """What has been said on the way to a value."""

    metric: str | None = None
    pair: tuple[str, ...] = ()
    reference: str | None = None

    def compared(self) -> tuple[str, ...]:
        """Return the two methods, or fewer."""
        if len(self.pair) == 1 and self.reference not in (None, *self.pair):
            return (*self.pair, str(self.reference))
        return self.pair


def _walk(
    node: Any, place: _Place, methods: Sequence[str], metrics: Sequence[str]
) -> Iterator[Comparison]:
    if isinstance(node, list):
        for item in node:
            yield from _walk(item, place, methods, metrics)
    if not isinstance(node, dict):
        return
    place = _refined(place, node, methods, metrics)
    best, compared = _best(node), place.compared()
    if best is not None and place.metric is not None and len(compared) == 2:
        yield Comparison(place.metric, compared[0], compared[1], *best)
    for key, value in node.items():
        own = _in_key(key, methods)
        if key == "difference" and not own and not place.pair:
            own = [methods[0], BASELINE]
        below = _Place(
            key if key in metrics else place.metric,
            tuple(own) if len(own) == 2 else tuple(dict.fromkeys((*place.pair, *own))),
            place.reference,
        )
        yield from _walk(value, below, methods, metrics)


def _refined(
    place: _Place, node: Mapping[str, Any], methods: Sequence[str], metrics: Sequence[str]
) -> _Place:
    """Return the place with what a value's neighbours say of it."""
    metric, reference = node.get("metric"), node.get("reference")
    beside = _beside(node, methods)
    if len(beside) != 2:  # two names say it all
        beside = list(dict.fromkeys((*place.pair, *beside)))
    return _Place(
        metric if isinstance(metric, str) and metric in metrics else place.metric,
        tuple(beside),
        reference if isinstance(reference, str) and reference in methods else place.reference,
    )


def _in_key(key: str, methods: Sequence[str]) -> list[str]:
    parts = [key] if key in methods else BETWEEN.split(key)
    return parts if all(part in methods for part in parts) else []


def _beside(node: Mapping[str, Any], methods: Sequence[str]) -> list[str]:
    found = [node.get(key) for key in PARTNERS]
    for key in BOTH:
        value = node.get(key)
        if isinstance(value, list) and len(value) == 2:
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
        corrected = any(word in key for word in CORRECTED)
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
