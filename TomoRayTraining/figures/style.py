"""How every figure looks and is saved: journal widths, colours that all eyes tell apart, no dates."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.figure import Figure

COLUMN_IN, PAGE_IN = 3.5, 7.2
"""Widths of a journal's column and page in inches."""

COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"),
    *("#56B4E9", "#000000", "#8C8C8C", "#882255", "#999933"),
)
"""After Okabe and Ito, and Tol; without yellow, which paper swallows."""

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
"""With the colours, 40 lines that differ."""

NOTE_SIZE = 6.5

LOOK: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "savefig.dpi": 300,
    # TrueType: text stays text in the journal's hands.
    "pdf.fonttype": 42,
    # Numbers as the CSV files write them.
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save in our look, whatever the user's own settings are."""
    with matplotlib.style.context(["default", LOOK]):
        yield


def colour(number: int) -> str:
    """Return the colour of a method or run by its place."""
    return COLOURS[number % len(COLOURS)]


def dash(number: int) -> Any:
    """Return the line style of a run by its place."""
    return DASHES[number // len(COLOURS) % len(DASHES)]


def shown_name(name: str) -> str:
    """Return a method's name for people."""
    return name.replace("_", " ")


def note_lines(text: str, width_in: float) -> list[str]:
    """Return a note in lines of nearly equal length that fit into a figure's width."""
    # An equation stays on one line.
    for sign in (" < ", " = ", "* p"):
        text = text.replace(sign, sign.replace(" ", "\N{NO-BREAK SPACE}"))
    most = int(width_in * 72 / (0.56 * NOTE_SIZE))
    needed = len(textwrap.wrap(text, most, break_on_hyphens=False))
    return textwrap.wrap(text, min(most, len(text) // needed + 8), break_on_hyphens=False)


def write_note(figure: Figure, text: str) -> None:
    """Write what a reader has to know below everything else."""
    lines = note_lines(text, figure.get_figwidth())
    figure.supxlabel("\n".join(lines), fontsize=NOTE_SIZE, color="0.25")


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write ``name.png`` (300 dots an inch) and ``name.pdf``; the same figure gives the same bytes.

    Returns:
        Both paths, the PNG first.
    """
    png, pdf = folder / f"{name}.png", folder / f"{name}.pdf"
    figure.savefig(png, metadata={"Software": None})
    figure.savefig(pdf, metadata={"CreationDate": None, "Producer": None, "Creator": None})
    return [png, pdf]
