"""The geometry of a ``plastimatch drr`` command line, and back.

As plastimatch 1.9.4 does it, found by running it:

- ``nrm`` points from the detector to the source; the source stands at ``o + sad * nrm`` and the
  detector at right angles to ``nrm``, ``sid`` away from the source.
- Row 0 is on the side of ``vup``; columns grow along ``vup x nrm``.
- ``r``, ``z`` and ``c`` are **columns first**, although its help says "row col".
- ``c`` is the pixel, counted from 0, that the ray along ``nrm`` hits; (n-1)/2 unless given.
- ``o`` is 0 0 0 unless given, wherever the CT may be.
- Numbers are kept in single precision.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from TomoRayCore.errors import InputError
from TomoRayCore.geometry import (
    UNIT_TOLERANCE,
    AcquisitionGeometry,
    Vector,
    ViewGeometry,
    as_triple,
    as_vector,
    bad_geometry,
)

Pair = tuple[float, float]

SPELLINGS = {
    **dict.fromkeys(("-n", "--nrm", "-nrm"), "nrm"),
    **dict.fromkeys(("--vup", "-vup"), "vup"),
    **dict.fromkeys(("--sad", "-sad"), "sad"),
    **dict.fromkeys(("--sid", "-sid"), "sid"),
    **dict.fromkeys(("-r", "--dim"), "r"),
    **dict.fromkeys(("-z", "--detector-size"), "z"),
    **dict.fromkeys(("-c", "--image-center"), "c"),
    **dict.fromkeys(("-o", "--isocenter"), "o"),
    "-g": "sad sid",
}
"""Options of the geometry; those with one dash and several letters are of older releases."""

PASSED_OVER = {
    **dict.fromkeys(("-i", "--algorithm", "-t", "--output-format", "-P", "--hu-conversion"), 1),
    **dict.fromkeys(("-I", "--input", "-O", "--output", "-A", "--threading"), 1),
    **dict.fromkeys(("-s", "--intensity-scale", "--autoscale-range"), 1),
    **dict.fromkeys(("-e", "--exponential", "--autoscale"), 0),
}
"""Options that say nothing about the geometry -> the number of their values."""


@dataclass(frozen=True)
class PlastimatchView:
    """One image of ``plastimatch drr``, in the words of its options and with its defaults; mm.

    Attributes:
        nrm: Direction from the detector to the source, LPS, of any length.
        vup: Direction from the detector's middle to its top row, LPS, of any length.
        sad: Source to isocentre.
        sid: Source to detector.
        r: Number of (columns, rows).
        z: Size of the detector along (a row, a column).
        c: (column, row) that the ray along ``nrm`` hits, from 0; None: the detector's middle.
        o: Isocentre, LPS.

    Raises:
        InputError: ``BAD_GEOMETRY`` for numbers that give no view.
    """

    nrm: Vector = (1.0, 0.0, 0.0)
    vup: Vector = (0.0, 0.0, 1.0)
    sad: float = 1000.0
    sid: float = 1500.0
    r: tuple[int, int] = (128, 128)
    z: Pair = (600.0, 600.0)
    c: Pair | None = None
    o: Vector = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("nrm", "vup", "o"):
            object.__setattr__(self, name, as_vector(name, getattr(self, name)))
        if np.linalg.norm(np.cross(self.vup, self.nrm)) < UNIT_TOLERANCE:
            raise bad_geometry(f"nrm = {self.nrm} and vup = {self.vup} span no plane.")
        if not 0 < self.sad < self.sid or min(self.r) < 1:
            raise bad_geometry(
                f"0 < sad < sid and at least one pixel are needed; got sad {self.sad:g}, "
                f"sid {self.sid:g} mm, r {self.r}."
            )

    @staticmethod
    def from_command(command: str | Sequence[str]) -> PlastimatchView:
        """Read the options of a command line, given as one text or in parts.

        Options for the file, the algorithm and the output are passed over. Note that ``-e`` there
        means other pixel values than ``siddon_project`` returns: ``exp(-value)``.

        Raises:
            InputError: ``BAD_GEOMETRY`` for an option that is not known, or that asks for several
                images (``-a``, ``-N``, ``-y``) or a part of one (``-w``).
        """
        parts = shlex.split(command) if isinstance(command, str) else list(command)
        values = parts[2:] if parts[1:2] == ["drr"] else parts
        texts: dict[str, str] = {}
        while values:
            option, *given = values.pop(0).split("=", 1)
            if not option.startswith("-"):  # the CT's file
                continue
            if option in PASSED_OVER:
                del values[: PASSED_OVER[option] - len(given)]
            elif option not in SPELLINGS or not (given or values):
                raise bad_geometry(f"The part {option!r} of a plastimatch command is not known.")
            else:
                texts[SPELLINGS[option]] = given[0] if given else values.pop(0)
        return PlastimatchView._from_texts(texts)

    @staticmethod
    def _from_texts(texts: Mapping[str, str]) -> PlastimatchView:
        numbers = dict(itertools.chain(*(_numbers(*item).items() for item in texts.items())))
        d = PlastimatchView()
        sad, sid = (numbers.get(name, (getattr(d, name),))[0] for name in ("sad", "sid"))
        columns, rows = numbers.get("r", d.r)
        width, height = numbers.get("z", d.z)
        centre = (numbers["c"][0], numbers["c"][1]) if "c" in numbers else None
        nrm, vup, o = (as_vector(n, numbers.get(n, getattr(d, n))) for n in ("nrm", "vup", "o"))
        return PlastimatchView(
            nrm, vup, sad, sid, (int(columns), int(rows)), (width, height), centre, o
        )

    @staticmethod
    def from_view(view: ViewGeometry, isocentre_lps: ArrayLike) -> PlastimatchView:
        """Return the options that make plastimatch project a view.

        plastimatch's isocentre lies on the ray along the detector's normal: where the given one is
        beside it, its foot on that ray is taken, and the images are the same.

        Raises:
            InputError: ``NOT_FOR_PLASTIMATCH`` for a parallel beam or mirrored columns.
        """
        normal, up = view.normal, -np.array(view.v)
        if view.beam != "cone" or np.cross(up, normal) @ np.array(view.u) < 0:
            raise InputError(
                "NOT_FOR_PLASTIMATCH",
                f"plastimatch has no view like {view.label}: {view.beam} beam, u = {view.u}.",
                "Use a cone beam, and columns that grow to the right as seen from the source.",
            )
        sad_mm, source = view.sad_mm(isocentre_lps), np.array(view.source_lps)
        foot = view.project_points(source - view.sdd_mm * normal)
        (rows, columns), (row_mm, column_mm) = view.size, view.pixel_spacing_mm
        return PlastimatchView(
            nrm=as_triple(normal),
            vup=as_triple(up),
            sad=sad_mm,
            sid=view.sdd_mm,
            r=(columns, rows),
            z=(columns * column_mm, rows * row_mm),
            c=(float(foot[1]), float(foot[0])),
            o=as_triple(source - sad_mm * normal),
        )

    def view(self, label: str) -> ViewGeometry:
        """Return the view that plastimatch would project, with the numbers as it keeps them."""
        nrm, vup, o, z = (_single(part) for part in (self.nrm, self.vup, self.o, self.z))
        sad, sid = _single((self.sad, self.sid))
        columns, rows = self.r
        middle = np.array([(columns - 1) / 2, (rows - 1) / 2])
        normal = nrm / np.linalg.norm(nrm)
        u = np.cross(vup, normal)
        u /= np.linalg.norm(u)
        v = np.cross(u, normal)
        off = (middle - (middle if self.c is None else _single(self.c))) * z / self.r
        source = o + sad * normal
        centre = source - sid * normal + off[0] * u + off[1] * v
        return ViewGeometry(
            label=label,
            source_lps=as_triple(source),
            detector_centre_lps=as_triple(centre),
            u=as_triple(u),
            v=as_triple(v),
            pixel_spacing_mm=(z[1] / rows, z[0] / columns),
            size=(rows, columns),
        )

    def arguments(self) -> list[str]:
        """Return the options as parts of a command line."""
        pairs = [("--nrm", self.nrm), ("--vup", self.vup), ("--sad", (self.sad,))]
        pairs += [("--sid", (self.sid,)), ("-r", self.r), ("-z", self.z), ("-o", self.o)]
        if self.c is not None:
            pairs.append(("-c", self.c))
        return [part for name, values in pairs for part in (name, " ".join(map(repr, values)))]


def geometry_from_commands(commands: Mapping[str, str | Sequence[str]]) -> AcquisitionGeometry:
    """Return the geometry of one plastimatch command line a view: label -> command.

    Raises:
        InputError: ``BAD_GEOMETRY`` for a command that gives no single view.
    """
    views = {label: PlastimatchView.from_command(c) for label, c in commands.items()}
    isocentre = next((as_triple(_single(view.o)) for view in views.values()), (0.0, 0.0, 0.0))
    return AcquisitionGeometry(
        "plastimatch", isocentre, tuple(view.view(label) for label, view in views.items())
    )


def commands_from_geometry(geometry: AcquisitionGeometry) -> dict[str, list[str]]:
    """Return the options of ``plastimatch drr`` for every view: label -> parts.

    Raises:
        InputError: ``NOT_FOR_PLASTIMATCH`` for a view that plastimatch cannot project.
    """
    return {
        view.label: PlastimatchView.from_view(view, geometry.isocentre_lps).arguments()
        for view in geometry.views
    }


COUNTS = {"nrm": 3, "vup": 3, "o": 3, "sad": 1, "sid": 1, "r": 2, "z": 2, "c": 2, "sad sid": 2}


def _numbers(name: str, text: str) -> dict[str, tuple[float, ...]]:
    """Return option -> numbers; the old ``-g`` gives two options."""
    try:
        values = tuple(float(word) for word in text.split())
    except ValueError:
        values = ()
    if len(values) != COUNTS[name] or not np.isfinite(values).all():
        raise bad_geometry(f"plastimatch's {name} needs {COUNTS[name]} numbers; got {text!r}.")
    if name == "sad sid":
        return {"sad": values[:1], "sid": values[1:]}
    return {name: values}


def _single(values: ArrayLike) -> NDArray[np.float64]:
    """Return numbers rounded to single precision."""
    return np.asarray(values, np.float32).astype(np.float64)
