"""DICOM data sets: opened without surprises, their values read without exceptions."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from TomoRayCore.io.guard import unreadable_as_input_error


def read_dataset(
    path: Path, keywords: Sequence[str] | None = None, *, pixels: bool = True
) -> Dataset:
    """Read a data set, also one without the preamble that files should have.

    Args:
        path: A DICOM file.
        keywords: Read these attributes only.
        pixels: Read the pixel data too.

    Raises:
        InputError: ``UNREADABLE_FILE``, also for nesting that exhausts the parser's stack.
    """
    with unreadable_as_input_error(path), quiet():
        return pydicom.dcmread(
            path,
            force=True,
            stop_before_pixels=not pixels,
            specific_tags=None if keywords is None else list(keywords),
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the parser from warning and logging: its messages quote values, names among them."""
    logger = logging.getLogger("pydicom")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def value(dataset: Dataset, keyword: str) -> Any:
    """Return an attribute's value; None where it is missing, empty or malformed.

    A parser converts values on access and raises all sorts of errors then. What cannot be read is
    unknown, and whoever needs it refuses the file.
    """
    try:
        with quiet():
            found = dataset.get(keyword)
    except Exception:
        return None
    return None if found is None or found == "" else found


def text(dataset: Dataset, keyword: str) -> str:
    """Return a single-valued attribute as upper-case text without blanks at its ends, or ''."""
    found = value(dataset, keyword)
    return "" if found is None or isinstance(found, bytes) else str(found).strip().upper()


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return a multi-valued attribute as upper-case texts."""
    found = value(dataset, keyword)
    if found is None:
        return ()
    several = [found] if isinstance(found, str | bytes) or not _iterable(found) else list(found)
    return tuple(str(item).strip().upper() for item in several)


def floats(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return exactly ``count`` finite numbers, or None."""
    found = value(dataset, keyword)
    several = list(found) if _iterable(found) and not isinstance(found, str | bytes) else [found]
    try:
        numbers = tuple(float(item) for item in several)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return one finite number, or None."""
    found = floats(dataset, keyword, 1)
    return None if found is None else found[0]


def whole(dataset: Dataset, keyword: str) -> int | None:
    """Return one whole number, or None."""
    found = number(dataset, keyword)
    return int(found) if found is not None and found == int(found) else None


def meta(dataset: Dataset, keyword: str) -> str:
    """Return an attribute of the file's meta information as text, or ''."""
    header = getattr(dataset, "file_meta", None)
    return "" if header is None else text(header, keyword)


def is_synthetic(dataset: Dataset) -> bool:
    """Say whether a data set is marked as computed, not acquired."""
    return text(dataset, "SyntheticData") == "YES" or "SYNTHETIC" in texts(dataset, "ImageType")


def is_drr(dataset: Dataset) -> bool:
    """Say whether a data set is a DRR in the class of computed pictures, as TomoRay writes it."""
    computed = text(dataset, "SOPClassUID") == SecondaryCaptureImageStorage
    return computed and texts(dataset, "ImageType")[2:3] == ("DRR",)


def _iterable(found: Any) -> bool:
    return hasattr(found, "__iter__")
