"""One HTML file with tables and figures inside: no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from TomoRayTraining.figures.tables import Rows

STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff;
       max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
table { border-collapse: collapse; font-size: .9rem; margin: 1rem 0; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; vertical-align: top; }
thead th { border-bottom: 1px solid #444; } tbody tr { border-bottom: 1px solid #e4e4e4; }
td { font-variant-numeric: tabular-nums; }
figure { margin: 1.5rem 0; } img { max-width: 100%; height: auto; }
figcaption { font-size: .85rem; color: #444; }
.wide { overflow-x: auto; }
"""


@dataclass(frozen=True)
class Picture:
    """A figure of the report.

    Attributes:
        file: PNG.
        caption: What it shows; also for readers who cannot see it.
        width_in: Printed width in inches.
    """

    file: Path
    caption: str
    width_in: float


@dataclass(frozen=True)
class Section:
    """A heading with tables and pictures below."""

    title: str
    text: str = ""
    tables: Sequence[Rows] = ()
    pictures: Sequence[Picture] = ()


def report(title: str, sections: Sequence[Section]) -> str:
    """Return the page."""
    body = "\n".join(_section(section) for section in sections)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    if section.text:
        parts.append(f"<p>{escape(section.text)}</p>")
    parts += [_table(rows) for rows in section.tables if len(rows) > 1]
    parts += [_picture(picture) for picture in section.pictures]
    return "\n".join(parts)


def _table(rows: Rows) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in rows[0])
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows[1:]]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.file.read_bytes()).decode("ascii")
    caption = escape(picture.caption, quote=True)
    return (
        f'<figure><img width="{picture.width_in * 96:.0f}" alt="{caption}" '
        f'src="data:image/png;base64,{data}">\n<figcaption>{caption}</figcaption></figure>'
    )
