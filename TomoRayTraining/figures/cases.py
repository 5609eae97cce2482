"""Cases to look at, from volumes and radiographs that the user names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from TomoRayCore.drr import project
from TomoRayCore.errors import InputError
from TomoRayCore.io.radiograph_io import read_radiograph
from TomoRayCore.io.volume_io import read_volume
from TomoRayCore.presets import from_preset
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.volume import Volume
from TomoRayCore.windows import Window
from TomoRayTraining.figures.evaluation import Evaluation
from TomoRayTraining.figures.panels import Shown

PRESET = "cranial-biplanar"
MOST_VIEWS = 3


def read_shown(
    words: Sequence[str],
    radiographs: Mapping[str, Sequence[tuple[str, Path]]],
    evaluation: Evaluation | None,
    window: Window,
) -> Shown:
    """Read one case.

    Args:
        words: ``CASE CT NAME=SCT [NAME=SCT ...]``.
        radiographs: View and file by case; where there are none, DRRs of the truth are shown.
        evaluation: Gives the methods' numbers, where it has the case.
        window: HU of black and white.

    Raises:
        InputError: ``BAD_VOLUMES`` for words that are not of this form.
    """
    if len(words) < 3:
        raise bad_volumes(f"--volumes {' '.join(words)!r} is too short.")
    case, truth, *rest = words
    paths = dict(named(word) for word in rest)
    if len(paths) < len(rest):
        raise bad_volumes(f"--volumes of {case} names a method twice.")
    ct = read_volume(Path(truth))
    scts = {name: read_volume(path) for name, path in paths.items()}
    films, note = _inputs(radiographs.get(case, ()), ct, scts)
    return Shown(case, ct, scts, films, _numbers(evaluation, case, list(scts)), window, note)


def read_views(words: Sequence[str]) -> tuple[str, list[tuple[str, Path]]]:
    """Return case, views and files of ``CASE VIEW=FILE [VIEW=FILE ...]``.

    Raises:
        InputError: ``BAD_VOLUMES`` for words that are not of this form.
    """
    if not 2 <= len(words) <= MOST_VIEWS + 1:
        raise bad_volumes(f"--radiographs {' '.join(words)!r} needs a case and one to three views.")
    return words[0], [named(word) for word in words[1:]]


def named(word: str) -> tuple[str, Path]:
    """Return name and path of ``NAME=PATH``.

    Raises:
        InputError: ``BAD_VOLUMES`` where one of them is missing.
    """
    name, _, path = word.partition("=")
    if not name or not path:
        raise bad_volumes(f"{word!r} is not of the form NAME=FILE.")
    return name, Path(path)


def _inputs(
    named_files: Sequence[tuple[str, Path]], ct: Volume, scts: Mapping[str, Volume]
) -> tuple[list[Radiograph], str]:
    if named_files:
        return [read_radiograph(path, view) for view, path in named_files], ""
    # A reconstruction lies around the isocentre of its views.
    isocentre = next(iter(scts.values())).grid.centre_lps
    geometry = from_preset(PRESET, isocentre_lps=isocentre)
    films = [
        Radiograph(image, view.label, view.pixel_spacing_mm, "line_integral", {}, geometry)
        for image, view in zip(project(ct, geometry), geometry.views, strict=True)
    ]
    return films, f"inputs: DRRs of the ground truth, {PRESET}"


def _numbers(evaluation: Evaluation | None, case: str, methods: Sequence[str]) -> dict[str, str]:
    if evaluation is None:
        return {}
    found = {}
    for method in methods:
        values = evaluation.cases.get(method, {}).get(case, {})
        if "mae_hu" in values:
            found[method] = f"MAE {values['mae_hu']:.0f} HU"
    return found


def bad_volumes(message: str) -> InputError:
    """Return the error for words that name no case to show."""
    return InputError(
        "BAD_VOLUMES",
        message,
        "Write --volumes CASE CT NAME=SCT ..., --radiographs CASE AP=FILE LAT=FILE.",
    )
