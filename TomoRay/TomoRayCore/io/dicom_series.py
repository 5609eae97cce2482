"""Which files of a folder are the slices of the CT series that is meant."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
)

from TomoRayCore.errors import InputError
from TomoRayCore.io.dicom_dataset import floats, meta, read_dataset, text, texts, value, whole
from TomoRayCore.io.guard import existing_file
from TomoRayCore.io.sniff import looks_like_dicom

MAX_FILES = 20_000

KEYWORDS = (
    "SOPClassUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "FrameOfReferenceUID",
    "Modality",
    "ImageType",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "PixelRepresentation",
    "ImagePositionPatient",
    "ImageOrientationPatient",
)

MULTI_FRAME_CLASSES = {EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage}


@dataclass(frozen=True)
class Slice:
    """What the header of one file says about its place; None where it says nothing usable.

    Attributes:
        path: The file.
        series: Series Instance UID.
        series_number: For people.
        sop_class: SOP Class UID.
        modality: Such as ``CT``.
        is_localizer: A scout view, not a slice.
        frames: Number of frames.
        frame_of_reference: UID of the coordinate system.
        size: (rows, columns); None for a header that ends early.
        spacing: (row, column) spacing in mm.
        position: LPS position of the first pixel in mm.
        orientation: Row direction, then column direction, as six numbers.
    """

    path: Path
    series: str
    series_number: int | None
    sop_class: str
    modality: str
    is_localizer: bool
    frames: int
    frame_of_reference: str
    size: tuple[int, int] | None
    spacing: tuple[float, ...] | None
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None

    @property
    def is_ct(self) -> bool:
        """Whether this is a CT slice: screenshots that a scanner files under CT are not."""
        image = self.sop_class == CTImageStorage or self.sop_class in MULTI_FRAME_CLASSES
        return self.modality == "CT" and (image or self.position is not None)


def find_series(source: Path) -> tuple[list[Slice], list[str]]:
    """Return the slices of the one CT series that a folder or a file stands for, and remarks.

    Args:
        source: A folder with one CT series (other files in it do not matter), or one file of a
            series, of which the neighbours are then found.

    Raises:
        InputError: ``FILE_NOT_FOUND``, ``NO_DICOM``, ``NOT_CT``, ``SEVERAL_SERIES``,
            ``MULTI_FRAME_CT``, ``UNREADABLE_SLICE`` or ``TOO_LARGE``.
    """
    if source.is_dir():
        found = list(_slices(_files(source, deep=False)))
        if not any(s.is_ct for s in found):
            found = list(_slices(_files(source, deep=True)))
        return _one_series(source, found)
    chosen = _slice(existing_file(source))
    if chosen is None:
        raise _no_dicom(source)
    if not chosen.is_ct:
        raise _not_ct(source, [chosen])
    neighbours = _slices(_files(source.parent, deep=False))
    return _one_series(source, [s for s in neighbours if s.series == chosen.series])


def _files(folder: Path, *, deep: bool) -> list[Path]:
    files: list[Path] = []
    for root, _, names in os.walk(folder):
        files += [Path(root) / name for name in sorted(names)]
        if len(files) > MAX_FILES:
            raise InputError(
                "TOO_LARGE",
                f"{folder} holds more than {MAX_FILES} files.",
                "Name the folder of the one series.",
            )
        if not deep:
            break
    return files


def _slices(files: list[Path]) -> Iterator[Slice]:
    for file in files:
        if file.is_file() and looks_like_dicom(file):
            found = _slice(file)
            if found is not None:
                yield found


def _slice(path: Path) -> Slice | None:
    """Return a file's slice; None for a DICOM file that is no image, such as a DICOMDIR.

    A file that claims to be DICOM and cannot be read may be the slice that is then missing, so it
    is not skipped.
    """
    try:
        data = read_dataset(path, KEYWORDS, pixels=False)
    except InputError as error:
        raise unreadable_slice(path, "its header cannot be parsed") from error
    kind = text(data, "SOPClassUID") or meta(data, "MediaStorageSOPClassUID")
    if kind == MediaStorageDirectoryStorage:
        return None
    series = text(data, "SeriesInstanceUID")
    if not kind or not series:
        raise unreadable_slice(path, "its header ends early or is no DICOM")
    rows, columns = whole(data, "Rows"), whole(data, "Columns")
    # The last attribute before the pixels that no image may lack: without it the file is cut.
    complete = rows is not None and columns is not None and "PixelRepresentation" in data
    return Slice(
        path=path,
        series=series,
        series_number=whole(data, "SeriesNumber"),
        sop_class=kind,
        modality=text(data, "Modality"),
        is_localizer="LOCALIZER" in texts(data, "ImageType"),
        frames=whole(data, "NumberOfFrames") or 1,
        frame_of_reference=str(value(data, "FrameOfReferenceUID") or ""),
        size=(rows or 0, columns or 0) if complete else None,
        spacing=floats(data, "PixelSpacing", 2),
        position=floats(data, "ImagePositionPatient", 3),
        orientation=floats(data, "ImageOrientationPatient", 6),
    )


def _one_series(source: Path, found: list[Slice]) -> tuple[list[Slice], list[str]]:
    ct = [s for s in found if s.is_ct]
    if not found:
        raise _no_dicom(source)
    if not ct:
        raise _not_ct(source, found)
    remarks = []
    slices = [s for s in ct if not s.is_localizer]
    if not slices:
        raise InputError(
            "TOO_FEW_SLICES",
            f"{source.name} holds {len(ct)} scout view(s) and no slices.",
            "Name the folder of the axial series.",
        )
    if len(slices) < len(ct):
        remarks.append(f"{len(ct) - len(slices)} localizer image(s) left out")
    groups: dict[str, list[Slice]] = {}
    for s in slices:
        groups.setdefault(s.series, []).append(s)
    if len(groups) > 1:
        raise _several_series(source, list(groups.values()))
    for s in slices:
        if s.frames > 1 or s.sop_class in MULTI_FRAME_CLASSES:
            raise InputError(
                "MULTI_FRAME_CT",
                f"{s.path.name} is an enhanced multi-frame CT, which is not read yet.",
                "Convert it to a classic CT series or to NRRD, for instance with 3D Slicer.",
            )
    return slices, remarks


def unreadable_slice(path: Path, why: str) -> InputError:
    """Return the refusal of a series because of one of its files."""
    return InputError(
        "UNREADABLE_SLICE",
        f"{path.name} cannot be used: {why}.",
        "Copy or export the series again; a volume without this slice would be wrong.",
    )


def _several_series(source: Path, groups: list[list[Slice]]) -> InputError:
    lines = [
        f"series {'without number' if g[0].series_number is None else g[0].series_number} "
        f"({len(g)} slices, such as {g[0].path.name})"
        for g in groups
    ]
    return InputError(
        "SEVERAL_SERIES",
        f"{source.name} holds {len(groups)} CT series: {'; '.join(lines[:12])}.",
        "Name one file of the series that is meant; its other slices are then found.",
    )


def _no_dicom(source: Path) -> InputError:
    return InputError(
        "NO_DICOM",
        f"{source.name} holds no DICOM images.",
        "Name the folder with the slices, or a NRRD, NIfTI or MHA file.",
    )


def _not_ct(source: Path, found: list[Slice]) -> InputError:
    kinds = sorted({s.modality[:16] or "unstated" for s in found})
    return InputError(
        "NOT_CT",
        f"{source.name} holds DICOM of the modality {', '.join(kinds)}, not CT slices.",
        "Name a CT series; radiographs are given as AP and lateral input.",
    )
