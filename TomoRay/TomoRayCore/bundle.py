"""The model file: weights and all that is needed to use them rightly, in one safetensors file.

The header's metadata hold one JSON text under ``tomoray``: what the network is, what it expects,
what it gives, what it was trained on, how well it does and where it fails. Two sha256 values, of
the tensors and of the description, make any change of the file visible. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from TomoRayCore import __version__
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.harmonise import ViewReference, references_from_dict
from TomoRayCore.io.atomic import atomic_path
from TomoRayCore.network_io import InputSpec, OutputSpec
from TomoRayCore.stages import Stage, read_stages

SCHEMA = 1
METADATA_KEY = "tomoray"
DEFAULT_MODEL = "tomoray-head-64"
MAX_HEADER_BYTES = 10_000_000
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
"""What safetensors raises for number types that numpy lacks: bfloat16, float8, ..."""

HASHES = ("tensors_sha256", "description_sha256")
REQUIRED = {
    "schema": int,
    "name": str,
    "summary": str,
    "architecture": dict,
    "input": dict,
    "output": dict,
    "geometry": dict,
    "tolerance": dict,
    "training": dict,
    "intended_use": str,
    "known_failures": list,
    "metrics": dict,
    "code_version": str,
    "seed": int,
    "tensors_sha256": str,
    "description_sha256": str,
}
"""Fields of the description and their JSON types."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A model file that passed every check.

    Attributes:
        path: Where it was read from.
        description: The JSON object of the header.
        tensors: Weights by name, as stored.
        sha256: Of the tensors; with the name it identifies the model.
        input: What the network expects of its images.
        output: What its output means.
        geometry: The acquisition it was trained for, about the world's origin.
        stages: Networks that run on the images before the generator, in order.
        references: For each view, the line integrals that films are matched to, or None.
    """

    path: Path
    description: Mapping[str, Any]
    tensors: Mapping[str, NDArray[Any]] = field(repr=False)
    sha256: str
    input: InputSpec
    output: OutputSpec
    geometry: AcquisitionGeometry
    stages: tuple[Stage, ...]
    references: tuple[ViewReference | None, ...]

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.description["name"])


def model_folder() -> Path:
    """Return the folder of the models that come with TomoRay."""
    here = Path(__file__).resolve().parent
    in_wheel = here / "_models"
    return in_wheel if in_wheel.is_dir() else here.parent / "Resources" / "Models"


def available_models() -> list[Path]:
    """Return the model files that come with TomoRay, by name."""
    return sorted(model_folder().glob("*.safetensors"))


def find_model(name_or_path: str | Path | None = None) -> Path:
    """Return the file of a model: a path, a name without suffix, or None for the default.

    Raises:
        InputError: ``MODEL_NOT_FOUND`` with the names there are.
    """
    wanted = str(name_or_path or DEFAULT_MODEL)
    as_path = Path(wanted)
    with suppress(RuntimeError):  # the home of a user who does not exist
        as_path = as_path.expanduser()
    if as_path.suffix == ".safetensors" or as_path.parent != Path():
        if as_path.is_file():
            return as_path
    elif (shipped := model_folder() / f"{wanted}.safetensors").is_file():
        return shipped
    names = ", ".join(path.stem for path in available_models()) or "none"
    raise InputError(
        "MODEL_NOT_FOUND",
        f"There is no model {wanted!r}.",
        f"Give the path of a .safetensors file or one of the models that are here: {names}.",
    )


def read_description(path: Path) -> dict[str, Any]:
    """Return a model file's description, checked, without reading its weights.

    Raises:
        InputError: ``MODEL_NOT_FOUND``, ``MODEL_NOT_SAFETENSORS``, ``MODEL_NOT_TOMORAY``,
            ``MODEL_DESCRIPTION``, ``MODEL_SCHEMA`` or ``MODEL_HASH``.
    """
    metadata = _read_header(path).get("__metadata__")
    text = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise InputError(
            "MODEL_NOT_TOMORAY",
            f"{path.name} is a safetensors file without a TomoRay description.",
            "Export the model with TomoRay's training package.",
        )
    try:
        description = json.loads(text)
        _check_fields(path, description)
        intact = _description_sha256(description) == description["description_sha256"]
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "its description is not JSON", "MODEL_DESCRIPTION") from error
    if not intact:
        raise _damaged(path, "its description does not match its checksum", "MODEL_HASH")
    return dict(description)


def read_bundle(name_or_path: str | Path | None = None) -> Bundle:
    """Read a model file and check all of it.

    Raises:
        InputError: As ``find_model`` and ``read_description``; ``MODEL_TRUNCATED`` for a file
            that ends early, ``MODEL_HASH`` for changed weights, ``MODEL_WEIGHTS`` for weights
            that are no numbers.
    """
    # Here, since Slicer does not bring it: models can be listed before it is installed.
    import safetensors.numpy

    path = find_model(name_or_path)
    description = read_description(path)
    try:
        tensors = safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, OSError, *UNREADABLE) as error:
        raise _damaged(path, f"its weights cannot be read ({error})", "MODEL_TRUNCATED") from error
    if not tensors or tensors_sha256(tensors) != description["tensors_sha256"]:
        raise _damaged(path, "its weights do not match their checksum", "MODEL_HASH")
    if not all(_is_finite(tensor) for tensor in tensors.values()):
        raise _damaged(path, "some weights are no finite float32 numbers", "MODEL_WEIGHTS")
    try:
        _check_tolerance(description["tolerance"])
        geometry = AcquisitionGeometry.from_dict(description["geometry"])
        return Bundle(
            path=path,
            description=description,
            tensors=tensors,
            sha256=str(description["tensors_sha256"]),
            input=InputSpec.from_dict(description["input"]),
            output=OutputSpec.from_dict(description["output"]),
            geometry=geometry,
            stages=read_stages(description.get("stages", []), tensors),
            references=_references(description.get("harmonise"), geometry.labels),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _damaged(path, f"a field is garbled ({error!r})", "MODEL_DESCRIPTION") from error


def write_bundle(
    path: Path, description: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> None:
    """Write a model file; schema, code version and both checksums are filled in here."""
    import safetensors.numpy

    complete = dict(description)
    complete |= {"schema": SCHEMA, "code_version": __version__}
    complete["tensors_sha256"] = tensors_sha256(tensors)
    complete["description_sha256"] = _description_sha256(complete)
    _check_fields(path, complete)
    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        safetensors.numpy.save_file(
            contiguous, temporary, {METADATA_KEY: json.dumps(complete, sort_keys=True)}
        )


def tensors_sha256(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return the sha256 over names, types, shapes and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = np.asarray(tensors[name], order="C")
        digest.update(f"{name}:{tensor.dtype.str}:{tensor.shape}\n".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _description_sha256(description: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in description.items() if key != "description_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _read_header(path: Path) -> dict[str, Any]:
    """Return the JSON object that a safetensors file begins with."""
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            raw = stream.read(length) if 2 <= length <= MAX_HEADER_BYTES else b""
    except OSError as error:
        raise InputError(
            "MODEL_NOT_FOUND",
            f"The model file {path} cannot be read: {error.strerror}.",
            "Give the path of a TomoRay model file (.safetensors).",
        ) from error
    try:
        header = json.loads(raw.decode("utf-8")) if len(raw) == length else None
    except (ValueError, RecursionError):  # not UTF-8, not JSON, too deep, too many digits
        header = None
    if not isinstance(header, dict):
        raise InputError(
            "MODEL_NOT_SAFETENSORS",
            f"{path.name} is not a safetensors file, or its header is damaged.",
            "Pick a TomoRay model file (.safetensors); pickled checkpoints are never loaded.",
        )
    return header


def _check_fields(path: Path, description: Any) -> None:
    if not isinstance(description, dict):
        raise _damaged(path, "its description is not a JSON object", "MODEL_DESCRIPTION")
    if description.get("schema") != SCHEMA:
        raise InputError(
            "MODEL_SCHEMA",
            f"{path.name} has description schema {description.get('schema')!r}, not {SCHEMA}.",
            "Use the TomoRay version that wrote it, or export it again.",
        )
    for name, kind in REQUIRED.items():
        if not isinstance(description.get(name), kind):
            raise _damaged(
                path,
                f"the field {name!r} of its description is missing or no {kind.__name__}",
                "MODEL_DESCRIPTION",
            )


def _check_tolerance(tolerance: Mapping[str, Any]) -> None:
    low_mm, high_mm = (float(n) for n in tolerance["sad_mm"])
    if not 0 < low_mm <= high_mm < math.inf or not 0 <= float(tolerance["angle_deg"]) <= 90:
        raise ValueError(f"tolerance {dict(tolerance)}")


def _references(
    harmonise: Mapping[str, Any] | None, labels: tuple[str, ...]
) -> tuple[ViewReference | None, ...]:
    if harmonise is None:
        return (None,) * len(labels)
    return tuple(references_from_dict(harmonise, labels))


def _is_finite(tensor: NDArray[Any]) -> bool:
    """Say whether all values are numbers that float32 can hold."""
    if tensor.dtype.kind not in "fiub":
        return False
    with np.errstate(over="ignore"):
        return bool(np.isfinite(tensor.astype(np.float32)).all())


def _damaged(path: Path, what: str, code: str) -> InputError:
    return InputError(
        code,
        f"The model file {path.name} cannot be trusted: {what}.",
        "Get the file again from where it came from.",
    )
