"""Where source and detector stand: one view, and a whole acquisition.

Everything is in LPS millimetres (x to the patient's left, y to posterior, z to superior). The
detector's axes are stored as unit vectors, so no convention needs to be remembered:
``u`` runs along an image row (growing column), ``v`` down an image column (growing row).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from TomoRayCore.errors import InputError

Beam = Literal["cone", "parallel"]
Vector = tuple[float, float, float]

SCHEMA = 1
UNIT_TOLERANCE = 1e-6
FARTHEST_MM = 1e6
"""No source, detector or head stands farther than a kilometre from the world's origin."""

MOST_PIXELS = 8192
"""Along an edge of a detector."""


@dataclass(frozen=True)
class ViewGeometry:
    """Source and flat detector of one view, in LPS mm.

    Attributes:
        label: The view's name: ``AP``, ``PA``, ``LAT`` or a free one for further views.
        source_lps: Focal spot. For a parallel beam only its direction from the detector counts.
        detector_centre_lps: Middle of the detector.
        u: Unit vector of growing column.
        v: Unit vector of growing row, at a right angle to ``u``.
        pixel_spacing_mm: (row, column) spacing: along ``v``, along ``u``.
        size: (rows, columns).
        beam: ``cone`` or ``parallel`` (rays along the detector's normal).
    """

    label: str
    source_lps: Vector
    detector_centre_lps: Vector
    u: Vector
    v: Vector
    pixel_spacing_mm: tuple[float, float]
    size: tuple[int, int]
    beam: Beam = "cone"

    def __post_init__(self) -> None:
        for name in ("source_lps", "detector_centre_lps", "u", "v"):
            object.__setattr__(self, name, as_vector(name, getattr(self, name)))
        rows, columns = (int(n) for n in self.size)
        row_mm, column_mm = (float(s) for s in self.pixel_spacing_mm)
        object.__setattr__(self, "size", (rows, columns))
        object.__setattr__(self, "pixel_spacing_mm", (row_mm, column_mm))
        if not (1 <= rows <= MOST_PIXELS and 1 <= columns <= MOST_PIXELS):
            raise bad_geometry(
                f"The detector size {rows} x {columns} is not between 1 and {MOST_PIXELS}."
            )
        if not (0 < row_mm < 100 and 0 < column_mm < 100):
            raise bad_geometry(
                f"The pixel spacing {row_mm:g} x {column_mm:g} mm is not in (0, 100)."
            )
        if self.beam not in ("cone", "parallel"):
            raise bad_geometry(f"The beam {self.beam!r} is neither 'cone' nor 'parallel'.")
        u, v = np.array(self.u), np.array(self.v)
        norms = np.array([u @ u, v @ v, 1 + u @ v])
        if np.abs(norms - 1).max() > UNIT_TOLERANCE:
            raise bad_geometry(
                f"u = {self.u} and v = {self.v} must be unit vectors at a right angle."
            )
        if self.sdd_mm <= 0:
            raise bad_geometry("The source lies in the detector's plane.")

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector from the detector to the source's side, at right angles to the detector."""
        normal = np.cross(self.u, self.v)
        towards = np.subtract(self.source_lps, self.detector_centre_lps)
        return normal if normal @ towards >= 0 else -normal

    @property
    def sdd_mm(self) -> float:
        """Distance from the source to the detector's plane ("SID" in radiology)."""
        return float(abs(np.dot(np.cross(self.u, self.v), self._source_to_centre())))

    def sad_mm(self, isocentre_lps: ArrayLike) -> float:
        """Distance from the source to the isocentre along the detector's normal."""
        towards = np.subtract(self.source_lps, np.asarray(isocentre_lps, float))
        return float(self.normal @ towards)

    def pixel_centres_lps(self) -> NDArray[np.float64]:
        """World positions of all pixel centres, shape (rows, columns, 3)."""
        rows, columns = self.size
        down = (np.arange(rows) - (rows - 1) / 2) * self.pixel_spacing_mm[0]
        along = (np.arange(columns) - (columns - 1) / 2) * self.pixel_spacing_mm[1]
        centre = np.array(self.detector_centre_lps)
        offsets = down[:, None, None] * np.array(self.v) + along[None, :, None] * np.array(self.u)
        return np.asarray(centre + offsets)

    def project_points(self, points_lps: ArrayLike) -> NDArray[np.float64]:
        """Return (row, column) of where points in space fall, shape (..., 2), pixel units."""
        points = np.asarray(points_lps, float)
        centre, normal = np.array(self.detector_centre_lps), self.normal
        if self.beam == "parallel":
            hit = points - centre
        else:
            source = np.array(self.source_lps)
            ray = points - source
            depth = -(ray @ normal)[..., None]
            hit = source + ray * (self.sdd_mm / depth) - centre
        row = hit @ np.array(self.v) / self.pixel_spacing_mm[0] + (self.size[0] - 1) / 2
        column = hit @ np.array(self.u) / self.pixel_spacing_mm[1] + (self.size[1] - 1) / 2
        return np.stack([row, column], axis=-1)

    def resized(self, size: tuple[int, int]) -> ViewGeometry:
        """Return the same detector area with another number of pixels."""
        area = [s * n for s, n in zip(self.pixel_spacing_mm, self.size, strict=True)]
        return replace(self, size=size, pixel_spacing_mm=(area[0] / size[0], area[1] / size[1]))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "label": self.label,
            "beam": self.beam,
            "source_lps": list(self.source_lps),
            "detector_centre_lps": list(self.detector_centre_lps),
            "u": list(self.u),
            "v": list(self.v),
            "pixel_spacing_mm": list(self.pixel_spacing_mm),
            "size": list(self.size),
        }

    def _source_to_centre(self) -> NDArray[np.float64]:
        return np.subtract(self.detector_centre_lps, self.source_lps)


@dataclass(frozen=True)
class AcquisitionGeometry:
    """All views of one examination; frontal first, then lateral, then any further one.

    Attributes:
        name: The preset it came from, or a free name.
        isocentre_lps: The point that the views share, in LPS mm; the sCT is centred on it.
        views: At least one view; labels are unique.
    """

    name: str
    isocentre_lps: Vector
    views: tuple[ViewGeometry, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "isocentre_lps", as_vector("isocentre_lps", self.isocentre_lps))
        object.__setattr__(self, "views", tuple(self.views))
        labels = self.labels
        if not labels or len(set(labels)) != len(labels):
            raise bad_geometry(f"An acquisition needs views with different labels; got {labels}.")
        for view in self.views:
            sad_mm = view.sad_mm(self.isocentre_lps)
            if view.beam == "cone" and not 0 < sad_mm < view.sdd_mm:
                raise bad_geometry(
                    f"{view.label}: the isocentre must lie between source and detector "
                    f"(0 < SAD < SDD); got SAD {sad_mm:g} mm, SDD {view.sdd_mm:g} mm."
                )

    @property
    def labels(self) -> tuple[str, ...]:
        """The views' labels in order."""
        return tuple(view.label for view in self.views)

    def view(self, label: str) -> ViewGeometry:
        """Return the view with this label.

        Raises:
            InputError: ``VIEW_UNKNOWN`` when there is none.
        """
        for view in self.views:
            if view.label == label:
                return view
        raise InputError(
            "VIEW_UNKNOWN",
            f"The geometry {self.name!r} has no view {label!r}; it has {', '.join(self.labels)}.",
            "Name one of these, or build the geometry with that view.",
        )

    def centred_on(self, isocentre_lps: ArrayLike) -> AcquisitionGeometry:
        """Return the same arrangement moved to another isocentre."""
        target = as_vector("isocentre_lps", isocentre_lps)
        shift = np.subtract(target, self.isocentre_lps)
        views = tuple(
            replace(
                view,
                source_lps=as_triple(view.source_lps + shift),
                detector_centre_lps=as_triple(view.detector_centre_lps + shift),
            )
            for view in self.views
        )
        return AcquisitionGeometry(self.name, target, views)

    def to_json(self) -> str:
        """Write as JSON text that ``from_json`` reads back to an equal geometry."""
        return json.dumps(self.to_dict(), indent=2)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, with the distances spelt out for readers."""
        views = []
        for view in self.views:
            entry = view.to_dict()
            entry["sdd_mm"] = view.sdd_mm
            entry["sad_mm"] = view.sad_mm(self.isocentre_lps)
            views.append(entry)
        return {
            "schema": SCHEMA,
            "name": self.name,
            "world": "LPS mm",
            "isocentre_lps": list(self.isocentre_lps),
            "views": views,
        }

    @staticmethod
    def from_json(text: str) -> AcquisitionGeometry:
        """Read what ``to_json`` wrote.

        Raises:
            InputError: ``BAD_GEOMETRY`` for anything else.
        """
        try:
            return AcquisitionGeometry.from_dict(json.loads(text))
        except (ValueError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise bad_geometry(f"The geometry is not JSON: {error}.") from error

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> AcquisitionGeometry:
        """Build from the plain types of ``to_dict``; ``sad_mm`` and ``sdd_mm`` are not read."""
        try:
            if data["schema"] != SCHEMA:
                raise bad_geometry(f"Geometry schema {data['schema']!r} is not {SCHEMA}.")
            views = tuple(
                ViewGeometry(
                    label=str(v["label"]),
                    source_lps=v["source_lps"],
                    detector_centre_lps=v["detector_centre_lps"],
                    u=v["u"],
                    v=v["v"],
                    pixel_spacing_mm=v["pixel_spacing_mm"],
                    size=v["size"],
                    beam=v["beam"],
                )
                for v in data["views"]
            )
            return AcquisitionGeometry(str(data["name"]), data["isocentre_lps"], views)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            raise bad_geometry(f"The geometry lacks or garbles a field: {error!r}.") from error


def bad_geometry(message: str) -> InputError:
    """Return the error for numbers that make no geometry."""
    return InputError("BAD_GEOMETRY", message, "Correct the geometry's numbers (mm, LPS).")


def as_vector(name: str, value: ArrayLike) -> Vector:
    """Return a point or vector as three floats, checked."""
    array = np.asarray(value, dtype=float)
    if array.shape != (3,) or not (np.abs(array) <= FARTHEST_MM).all():
        raise bad_geometry(
            f"{name} must be three numbers of at most {FARTHEST_MM:g}; got {value!r}."
        )
    return as_triple(array)


def as_triple(array: NDArray[np.float64]) -> Vector:
    """Return an array of three numbers as floats."""
    x, y, z = (float(c) for c in array)
    return x, y, z
