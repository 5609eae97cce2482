"""Tell a file's format by its first bytes, since suffixes lie."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Format = Literal["dicom", "png", "tiff", "jpeg", "nrrd", "unknown"]

SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"NRRD000", "nrrd"),
)

DICOM_SUFFIXES = {".dcm", ".dicom", ".ima"}


def format_of(path: Path) -> Format:
    """Return the format by content; ``unknown`` for anything else or an unreadable file."""
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        return "unknown"
    if head[128:132] == b"DICM":
        return "dicom"
    for signature, name in SIGNATURES:
        if head.startswith(signature):
            return name
    # DICOM data sets without a preamble start with group 0002 or 0008, little endian.
    if head[:2] in (b"\x02\0", b"\x08\0") and head[3:4] == b"\0" and len(head) == 132:
        return "dicom"
    return "unknown"


def looks_like_dicom(path: Path) -> bool:
    """Say whether a file is DICOM by content, or claims to be by its name."""
    found = format_of(path)
    return found == "dicom" or (found == "unknown" and path.suffix.lower() in DICOM_SUFFIXES)
