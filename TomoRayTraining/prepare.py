"""Training data from a collection of heads and from phantoms: files and a case table."""

from __future__ import annotations

from pathlib import Path

from TomoRayCore.io.volume_io import write_volume
from TomoRayCore.phantom import make_phantom
from TomoRayCore.progress import Progress, Report
from TomoRayTraining.cases import Case, cases_of_collection, write_cases


def prepare(
    collection: Path | None, folder: Path, phantoms: int, report: Report | None = None
) -> Path:
    """Write ``cases.csv`` and the phantoms it lists; return its path.

    Args:
        collection: Folder with ``manifest.csv``, or None for phantoms alone.
        folder: Receives the table and ``phantoms/``.
        phantoms: How many to make, seeds 1, 2, ...; a tenth of them, at least one, is kept for
            validation when there are no real heads. Files that exist are kept.
        report: Receives progress.
    """
    progress = Progress(report)
    cases = [] if collection is None else cases_of_collection(collection)
    (folder / "phantoms").mkdir(parents=True, exist_ok=True)
    held_out = 0 if cases else max(1, phantoms // 10)
    for seed in range(1, phantoms + 1):
        path = folder / "phantoms" / f"phantom_{seed:04d}.nrrd"
        if not path.exists():
            write_volume(make_phantom(seed, pathology="random").ct, path)
        split = "val" if seed <= held_out else "test" if seed <= 2 * held_out else "train"
        cases.append(
            Case(path.stem, path.stem, split, "phantom", path.relative_to(folder))  # type: ignore[arg-type]
        )
        progress("phantoms", seed / phantoms, path.name)
    table = folder / "cases.csv"
    write_cases(table, cases)
    return table
