"""``drr``: DRRs of one CT or of many."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from TomoRayCore.cli.console import Console, add_command, add_common, outputs_text
from TomoRayCore.errors import InputError
from TomoRayCore.presets import PRESETS
from TomoRayCore.structure_names import structure_wish
from TomoRayCore.view_names import refuse_same

if TYPE_CHECKING:
    from TomoRayCore.case_runner import Outcome
    from TomoRayCore.drr_request import DrrRequest

DESCRIPTION = """\
Compute DRRs (digitally reconstructed radiographs) of CTs.

Of one CT: writes ap.nrrd and lat.nrrd (float32 line integrals of attenuation), ap.png and
lat.png (16 bit, bone white), geometry.json, and drr.json with all that made them, into DIR.
Of several, or of a table (.csv with the columns case and ct): a folder of these for each, and
report.csv. A second run skips the cases whose CT, options and outputs are unchanged; a bad
case is reported and the next one gets its turn.

Views are ap, pa, lat or angles. 30 puts the source 30 degrees from anterior toward the
patient's left (90 is lat, 180 posterior, -90 on the right); 30:10 also raises it 10 degrees
toward the head, so that the beam runs toward the feet; ap:30 works too. Their files are called
a30.nrrd, a30t10.nrrd, apt30.nrrd.

A value that starts with a minus sign is joined by '=': --views=-45,45"""

EXAMPLE = """\
tomoray drr head.nrrd --out drr
tomoray drr dicom/ --out drr --preset radiography --size 256 --views pa,lat,30,120:10
tomoray drr head.nrrd --out drr --physics physical --kvp 90 --format tiff,dicom
tomoray drr head.nrrd --out drr --structures bone,soft,clip=2500:,tumour=mask.nrrd
tomoray drr cts/*.nrrd --out drrs
tomoray drr cases.csv --out drrs"""

PHYSICS = ("line-integral", "physical", "plastimatch-compatible")
FORMATS = ("nrrd", "tiff", "png", "dicom")


def add_commands(commands: Any) -> None:
    """Add the command."""
    command = add_command(
        commands,
        "drr",
        _drr,
        summary="project CTs: frontal, lateral and any other DRRs",
        description=DESCRIPTION,
        example=EXAMPLE,
    )
    command.add_argument(
        "cts",
        metavar="CT",
        type=Path,
        nargs="+",
        help="NRRD, NIfTI or MHA file, a DICOM folder, one of its files, or a table",
    )
    command.add_argument("--out", metavar="DIR", type=Path, required=True, help="output folder")
    _add_geometry(command.add_argument_group("geometry"))
    _add_physics(command.add_argument_group("physics"))
    _add_files(command.add_argument_group("images"))
    add_common(command)


def request_of(arguments: argparse.Namespace) -> DrrRequest:
    """Return what the options ask for."""
    from TomoRayCore.drr_request import DrrRequest

    return DrrRequest(
        preset=arguments.preset,
        size=arguments.size,
        views=arguments.views,
        sad_mm=arguments.sad_mm,
        sdd_mm=arguments.sdd_mm,
        isocentre=arguments.isocentre,
        parallel=arguments.parallel,
        spacing_mm=arguments.spacing,
        detector_mm=arguments.detector,
        rotate_deg=arguments.rotate,
        detector_offset_mm=arguments.detector_offset,
        formats=arguments.format,
        structures=arguments.structures,
        physics=_physics(arguments),
        seed=arguments.seed,
        window=arguments.window,
    )


def _add_geometry(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        default="cranial-biplanar",
        help="arrangement of sources and detectors (default: %(default)s)",
    )
    group.add_argument(
        "--views",
        type=_views,
        default=("AP", "LAT"),
        metavar="VIEW,...",
        help="ap, pa, lat, DEGREES or DEGREES:TILT (default: ap,lat)",
    )
    group.add_argument(
        "--size",
        type=_size,
        default=128,
        metavar="R[,C]",
        help="detector pixels along each edge, or rows and columns (default: 128)",
    )
    edges = group.add_mutually_exclusive_group()
    edges.add_argument(
        "--spacing",
        type=_one_or_two,
        metavar="MM[,MM]",
        help="pixel spacing at the detector, of rows and columns",
    )
    edges.add_argument(
        "--detector",
        type=_one_or_two,
        metavar="MM[,MM]",
        help="height and width of the detector (default: the shadow of a 256 mm cube)",
    )
    group.add_argument("--sad", "--sad-mm", dest="sad_mm", type=float, metavar="MM",
                       help="source to isocentre")  # fmt: skip
    group.add_argument("--sdd", "--sdd-mm", dest="sdd_mm", type=float, metavar="MM",
                       help="source to detector")  # fmt: skip
    group.add_argument("--parallel", action="store_true", help="a parallel beam")
    group.add_argument(
        "--isocentre",
        type=_isocentre,
        default="head",
        metavar="head|centre|X,Y,Z",
        help="head: found in the CT (default); centre: the volume's middle; or LPS mm",
    )
    group.add_argument(
        "--rotate",
        type=float,
        default=0.0,
        metavar="DEG",
        help="turn of the detector in its plane, clockwise as its image is shown",
    )
    group.add_argument(
        "--detector-offset",
        type=_two,
        default=(0.0, 0.0),
        metavar="MM,MM",
        help="shift of the detector along its rows and columns (to the image's right, down)",
    )


def _add_physics(group: argparse._ArgumentGroup) -> None:
    flag = argparse.BooleanOptionalAction
    group.add_argument(
        "--physics",
        choices=PHYSICS,
        default=PHYSICS[0],
        help="line integrals at 60 keV (default); physical: a skull radiograph's tube, scatter, "
        "blur and noise; or plastimatch's own numbers. The options below replace single parts",
    )
    group.add_argument("--kvp", type=float, metavar="KV", help="tube voltage: a real spectrum")
    group.add_argument(
        "--filtration", type=_filtration, metavar="AL[,CU]", help="mm of aluminium and copper"
    )
    group.add_argument("--oversample", type=int, metavar="N", help="N x N rays a pixel")
    group.add_argument("--focal-spot", type=float, metavar="MM", help="edge of the focal spot")
    group.add_argument("--scatter", action=flag, default=None, help="add Compton scatter")
    group.add_argument("--grid", action=flag, default=None, help="a grid holds scatter back")
    group.add_argument("--blur", type=float, metavar="MM", help="detector blur, sigma")
    noise = group.add_mutually_exclusive_group()
    noise.add_argument(
        "--noise", type=float, metavar="PHOTONS", help="photons per mm2 of the open beam; 0: none"
    )
    noise.add_argument("--exposure", type=float, metavar="UGY", help="the same as air kerma")
    group.add_argument(
        "--electronic-noise", type=float, metavar="QUANTA", help="sigma of a pixel's read-out"
    )
    group.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    group.add_argument(
        "--transmission", action="store_true", help="transmitted share, not its logarithm"
    )


def _add_files(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--format",
        type=_formats,
        default=("nrrd", "png"),
        metavar="FORMAT,...",
        help=f"out of {', '.join(FORMATS)} (default: nrrd,png)",
    )
    group.add_argument(
        "--structures",
        type=_structures,
        default=(),
        metavar="PART,...",
        help="further images of parts alone: bone, soft, NAME=LOW:HIGH in HU, NAME=MASK-FILE",
    )
    group.add_argument(
        "--window",
        type=_two,
        metavar="LOW,HIGH",
        help="lowest and highest value that the PNG shows, bone white (default: air to the densest "
        "pixel; of --transmission what passes a head)",
    )
    again = group.add_mutually_exclusive_group()
    again.add_argument(
        "--resume",
        dest="resume",
        action="store_true",
        default=True,
        help="of many CTs, skip those that an earlier run finished (the default)",
    )
    again.add_argument("--restart", dest="resume", action="store_false", help="do all anew")


def _drr(arguments: argparse.Namespace, console: Console) -> int:
    request = request_of(arguments)
    cts = arguments.cts
    if len(cts) > 1 or cts[0].suffix.lower() == ".csv":
        return _many(arguments, request, console)
    from TomoRayCore.drr_case import write_drrs

    result = write_drrs(cts[0], arguments.out, request, report=console.progress)
    for warning in result["warnings"]:
        console.warn(warning)
    console.result(result, outputs_text(result))
    return 0


def _many(arguments: argparse.Namespace, request: DrrRequest, console: Console) -> int:
    from TomoRayCore.cli.many import finish, show_outcome
    from TomoRayCore.drr_cases import run_drrs

    def show(outcome: Outcome) -> None:
        show_outcome(outcome, console)

    result = run_drrs(
        arguments.cts,
        arguments.out,
        request,
        resume=arguments.resume,
        report=console.progress,
        on_case=show,
    )
    return finish(result, console)


def _physics(arguments: argparse.Namespace) -> str | dict[str, Any]:
    """Return a preset's name where nothing is changed, so that nothing need be loaded for it."""
    given: dict[str, Any] = {
        "kvp": arguments.kvp,
        "filtration_al_mm": arguments.filtration and arguments.filtration[0],
        "filtration_cu_mm": arguments.filtration and arguments.filtration[1],
        "oversampling": arguments.oversample,
        "focal_spot_mm": arguments.focal_spot,
        "scatter": arguments.scatter,
        "grid": arguments.grid,
        "detector_blur_mm": arguments.blur,
        "photons_per_mm2": arguments.noise,
        "exposure_ugy": arguments.exposure,
        "electronic_noise_quanta": arguments.electronic_noise,
        "quantity": "transmission" if arguments.transmission else None,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return str(arguments.physics)
    if given.get("scatter") is False:
        given.setdefault("grid", False)
    if arguments.noise is not None or arguments.exposure is not None:
        given.setdefault("photons_per_mm2", None)
        given.setdefault("exposure_ugy", None)
    if arguments.noise == 0:
        given["photons_per_mm2"] = None
        given.setdefault("electronic_noise_quanta", 0.0)
    from TomoRayCore.physics.options import options_named

    return {**options_named(arguments.physics).to_dict(), **given}


def _views(text: str) -> tuple[str, ...]:
    views = tuple(view.strip() for view in text.split(",") if view.strip())
    try:
        refuse_same(views)
    except InputError as error:
        raise argparse.ArgumentTypeError(f"{error.message} {error.remedy}") from error
    if not views:
        raise argparse.ArgumentTypeError(f"{text!r} names no view")
    return views


def _structures(text: str) -> tuple[str, ...]:
    wishes = tuple(wish.strip() for wish in text.split(",") if wish.strip())
    try:
        for wish in wishes:
            structure_wish(wish)
    except InputError as error:
        raise argparse.ArgumentTypeError(f"{error.message} {error.remedy}") from error
    return wishes


def _formats(text: str) -> tuple[str, ...]:
    formats = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    if not formats or not set(formats) <= set(FORMATS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list out of {', '.join(FORMATS)}")
    return formats


def _size(text: str) -> int | tuple[int, int]:
    parts = text.split(",")
    sizes = [int(part) if part.strip().isdecimal() else 0 for part in parts]
    if len(sizes) > 2 or not all(16 <= size <= 4096 for size in sizes):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither one nor two whole numbers between 16 and 4096"
        )
    return sizes[0] if len(sizes) == 1 else (sizes[0], sizes[1])


def _one_or_two(text: str) -> tuple[float, float]:
    numbers = _numbers(text)
    if not 1 <= len(numbers) <= 2 or not min(numbers) > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is neither one nor two positive numbers")
    return numbers[0], numbers[-1]


def _filtration(text: str) -> tuple[float, float | None]:
    numbers = _numbers(text)
    if not 1 <= len(numbers) <= 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not AL or AL,CU in mm")
    return numbers[0], numbers[1] if len(numbers) == 2 else None


def _two(text: str) -> tuple[float, float]:
    numbers = _numbers(text)
    if len(numbers) != 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not two numbers with a comma between")
    return numbers[0], numbers[1]


def _isocentre(text: str) -> str | tuple[float, ...]:
    if text in ("head", "centre"):
        return text
    numbers = _numbers(text)
    if len(numbers) != 3:
        raise argparse.ArgumentTypeError(f"{text!r} is neither head nor centre nor X,Y,Z")
    return numbers


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        return ()
