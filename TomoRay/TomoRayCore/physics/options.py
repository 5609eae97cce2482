"""What a DRR shall include beyond line integrals: one frozen object, checked, that names itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Literal

from TomoRayCore.errors import InputError
from TomoRayCore.physics.spectrum import (
    HIGHEST_KVP,
    LARGEST_ANGLE_DEG,
    LOWEST_KVP,
    MOST_AL_MM,
    MOST_CU_MM,
    SMALLEST_ANGLE_DEG,
)

Quantity = Literal["line-integral", "transmission"]
Projector = Literal["tomoray", "plastimatch"]

STRUCTURES = ("bone", "soft-tissue")

# name: (low, high, unit); for numbers that may be None, None passes.
RANGES: Mapping[str, tuple[float, float, str]] = MappingProxyType(
    {
        "kvp": (LOWEST_KVP, HIGHEST_KVP, "kV"),
        "filtration_al_mm": (0.5, MOST_AL_MM, "mm"),
        "filtration_cu_mm": (0.0, MOST_CU_MM, "mm"),
        "anode_angle_deg": (SMALLEST_ANGLE_DEG, LARGEST_ANGLE_DEG, "degrees"),
        "oversampling": (1, 8, "pixels"),
        "focal_spot_mm": (0.0, 5.0, "mm"),
        "detector_blur_mm": (0.0, 10.0, "mm"),
        "exposure_ugy": (1e-4, 1e6, "uGy"),
        "photons_per_mm2": (1e-2, 1e12, "1/mm2"),
        "electronic_noise_quanta": (0.0, 1e6, "quanta"),
    }
)
MAY_BE_NONE = ("kvp", "exposure_ugy", "photons_per_mm2")


@dataclass(frozen=True)
class DrrOptions:
    """The physics of a DRR. The default is monochromatic line integrals and nothing else.

    Attributes:
        kvp: Tube voltage in kV for a polychromatic beam, 40 to 150; None: 60 keV alone.
        filtration_al_mm: All filtration that counts as aluminium, inherent and added.
        filtration_cu_mm: Added copper.
        anode_angle_deg: Angle of the tungsten anode.
        oversampling: Rays per pixel along an edge, 1 to 8; a pixel is the mean of their intensity.
        focal_spot_mm: Edge of the focal spot; blurs by the isocentre's magnification.
        scatter: Whether Compton scatter is added.
        grid: Whether an antiscatter grid stands before the detector; needs ``scatter``.
        detector_blur_mm: Standard deviation of the detector's blur at the detector; see
            ``detector.sigma_mm_from_mtf10``.
        exposure_ugy: Air kerma of the open beam at the detector (before a grid) for noise; None:
            no noise.
        photons_per_mm2: The same as photons; one of the two.
        electronic_noise_quanta: Standard deviation per pixel in quanta; needs an exposure.
        quantity: Pixels are line integrals (``-log`` of the intensity) or the transmission.
        structures: Further images of the head's bone-like or water-like part alone: any of
            ``bone``, ``soft-tissue``.
        projector: ``tomoray``, or ``plastimatch``: the numbers of ``plastimatch drr -i exact``,
            which nothing else goes with.

    Raises:
        InputError: ``BAD_OPTION`` with the value and the way out.
    """

    kvp: float | None = None
    filtration_al_mm: float = 2.5
    filtration_cu_mm: float = 0.0
    anode_angle_deg: float = 12.0
    oversampling: int = 1
    focal_spot_mm: float = 0.0
    scatter: bool = False
    grid: bool = False
    detector_blur_mm: float = 0.0
    exposure_ugy: float | None = None
    photons_per_mm2: float | None = None
    electronic_noise_quanta: float = 0.0
    quantity: Quantity = "line-integral"
    structures: tuple[str, ...] = ()
    projector: Projector = "tomoray"

    def __post_init__(self) -> None:
        for name, (low, high, unit) in RANGES.items():
            object.__setattr__(self, name, _number(name, getattr(self, name), low, high, unit))
        for name in ("scatter", "grid"):
            if not isinstance(getattr(self, name), bool):
                raise _bad(f"{name} is {getattr(self, name)!r}.", "Give true or false.")
        _choice("quantity", self.quantity, ("line-integral", "transmission"))
        _choice("projector", self.projector, ("tomoray", "plastimatch"))
        object.__setattr__(self, "structures", _structures(self.structures))
        self._check_together()

    def _check_together(self) -> None:
        others = {f.name: f.default for f in fields(self) if f.name != "projector"}
        if self.projector == "plastimatch" and any(
            getattr(self, name) != default for name, default in others.items()
        ):
            raise _bad(
                "plastimatch-compatible numbers cannot be combined with other physics.",
                "Leave out the other options, or take another preset.",
            )
        tube = (self.filtration_al_mm, self.filtration_cu_mm, self.anode_angle_deg)
        if self.kvp is None and tube != (2.5, 0.0, 12.0):
            raise _bad(
                "Filtration and anode angle change nothing without a tube voltage.",
                "Give kvp as well.",
            )
        if self.grid and not self.scatter:
            raise _bad("A grid without scatter has nothing to hold back.", "Switch scatter on.")
        if self.exposure_ugy is not None and self.photons_per_mm2 is not None:
            raise _bad(
                f"The exposure is given twice: {self.exposure_ugy:g} uGy and "
                f"{self.photons_per_mm2:g} photons per mm2.",
                "Give one of them.",
            )
        if self.electronic_noise_quanta and not self.noisy:
            raise _bad(
                f"Electronic noise of {self.electronic_noise_quanta:g} quanta has no exposure "
                "to be compared with.",
                "Give exposure_ugy or photons_per_mm2.",
            )

    @property
    def noisy(self) -> bool:
        """Whether pixels are drawn at random."""
        return self.exposure_ugy is not None or self.photons_per_mm2 is not None

    @property
    def pixels_are_projections(self) -> bool:
        """Whether a pixel is one ray's line integral, with nothing to do after projecting."""
        return replace(self, structures=()) == DrrOptions()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types that ``from_dict`` reads back."""
        return asdict(self) | {"structures": list(self.structures)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> DrrOptions:
        """Build from the types of ``to_dict``; what is missing keeps its default.

        Raises:
            InputError: ``BAD_OPTION``, also for a name that is no option.
        """
        known = [field.name for field in fields(DrrOptions)]
        unknown = [str(name) for name in data if name not in known]
        if unknown:
            raise _bad(f"There is no option {unknown[0]!r}.", f"Use any of {', '.join(known)}.")
        return DrrOptions(**data)

    def describe(self) -> str:
        """Return one line that says what is applied."""
        if self.projector == "plastimatch":
            return (
                "plastimatch-compatible: a tenth of the exact line integral through blocky voxels"
            )
        parts = [self._beam()]
        if self.oversampling > 1:
            parts.append(f"{self.oversampling} x {self.oversampling} rays a pixel")
        if self.focal_spot_mm:
            parts.append(f"{self.focal_spot_mm:g} mm focal spot")
        if self.scatter:
            parts.append("scatter behind a grid" if self.grid else "scatter")
        if self.detector_blur_mm:
            parts.append(f"detector blur {self.detector_blur_mm:.3g} mm")
        if self.exposure_ugy is not None:
            parts.append(f"noise at {self.exposure_ugy:g} uGy")
        if self.photons_per_mm2 is not None:
            parts.append(f"noise at {self.photons_per_mm2:g} photons/mm2")
        if self.electronic_noise_quanta:
            parts.append(f"electronic noise {self.electronic_noise_quanta:g} quanta")
        if self.structures:
            parts.append(f"also {' and '.join(self.structures)} alone")
        unit = "transmission" if self.quantity == "transmission" else "line integrals"
        return f"{unit}: {', '.join(parts)}"

    def _beam(self) -> str:
        if self.kvp is None:
            return "60 keV"
        copper = f" + {self.filtration_cu_mm:g} mm Cu" if self.filtration_cu_mm else ""
        anode = f", anode {self.anode_angle_deg:g} deg" if self.anode_angle_deg != 12 else ""
        return f"{self.kvp:g} kV, {self.filtration_al_mm:g} mm Al{copper}{anode}"


def _number(name: str, value: Any, low: float, high: float, unit: str) -> float | int | None:
    if value is None and name in MAY_BE_NONE:
        return None
    whole = name == "oversampling"
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not low <= value <= high or (whole and value != int(value)):
        raise _bad(
            f"{name} is {value!r}.",
            f"Give a {'whole ' if whole else ''}number from {low:g} to {high:g} {unit}.",
        )
    return int(value) if whole else float(value)


def _structures(value: Any) -> tuple[str, ...]:
    names = tuple(value) if isinstance(value, list | tuple) else (value,)
    for name in names:
        _choice("structure", name, STRUCTURES)
    if len(set(names)) != len(names):
        raise _bad(f"A structure is named twice: {', '.join(names)}.", "Name each once.")
    return names


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise _bad(f"There is no {name} {value!r}.", f"Use one of {', '.join(choices)}.")


def _bad(message: str, remedy: str) -> InputError:
    return InputError("BAD_OPTION", message, remedy)


PRESETS: Mapping[str, DrrOptions] = MappingProxyType(
    {
        "line-integral": DrrOptions(),
        "physical": DrrOptions(
            kvp=70.0,
            filtration_al_mm=3.0,
            oversampling=2,
            focal_spot_mm=1.2,
            scatter=True,
            grid=True,
            detector_blur_mm=0.15,
            exposure_ugy=800.0,
            electronic_noise_quanta=10.0,
        ),
        "plastimatch-compatible": DrrOptions(projector="plastimatch"),
    }
)
"""``physical`` is a skull radiograph: the beam quality of IEC 61267 RQR 5 (70 kV, 3 mm Al gives
its half-value layer), a large focal spot, a CsI panel whose MTF is 50 % at 1.25 and 10 % at 2.3
per mm, and the exposure of about 2 mGy at the skin."""


def options_named(name: str) -> DrrOptions:
    """Return a preset.

    Raises:
        InputError: ``BAD_OPTION`` for any other name.
    """
    _choice("physics preset", name, tuple(PRESETS))
    return PRESETS[name]
