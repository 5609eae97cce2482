"""From radiographs to a synthetic CT: the one path that every door uses."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from TomoRayCore import __version__
from TomoRayCore.bundle import Bundle
from TomoRayCore.checks import check_radiographs, kind_of_view
from TomoRayCore.devices import pick_device
from TomoRayCore.errors import InputError
from TomoRayCore.film_geometry import geometry_of_films
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry
from TomoRayCore.harmonise import cleaned
from TomoRayCore.nets import TRANSLATORS
from TomoRayCore.nets.blocks import channels_last
from TomoRayCore.nets.loading import network_from
from TomoRayCore.network_io import network_images, view_matrices, volume_from_output
from TomoRayCore.progress import Progress, Report
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.resample import resample
from TomoRayCore.stages import generator_tensors, run_stages
from TomoRayCore.volume import SYNTHETIC_KEY, Volume, canonical_grid

NOT_FOR_DIAGNOSIS = "SYNTHETIC CT computed by a network from radiographs - not for diagnosis"


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A synthetic CT and how it came about.

    Attributes:
        sct: int16 HU on a canonical grid about the isocentre, marked as synthetic.
        provenance: Model, checksums, geometry, seed, device, seconds, versions; JSON types.
        warnings: What the user should know before trusting it.
    """

    sct: Volume
    provenance: dict[str, Any]
    warnings: tuple[str, ...]


def reconstruct(
    radiographs: Sequence[Radiograph],
    geometry: AcquisitionGeometry | None,
    bundle: Bundle,
    device: str = "auto",
    report: Report | None = None,
    seed: int = 0,
) -> Reconstruction:
    """Reconstruct a synthetic CT.

    Args:
        radiographs: One image of each view that the model takes, in any order; AP and PA count as
            the same.
        geometry: Where source and detector stood. None: what the images themselves state; else
            the model's own arrangement with the images' pixel spacing and distances.
        bundle: A checked model file.
        device: ``auto``, ``cpu`` or ``cuda``.
        report: Receives progress; may raise ``Cancelled``.
        seed: For networks that draw random numbers; recorded in any case.

    Raises:
        InputError: For images, geometry or model that do not fit: ``VIEWS_MISSING``,
            ``IDENTICAL_VIEWS``, ``SPACING_UNKNOWN``, ``GEOMETRY_MISMATCH``,
            ``GEOMETRY_NOT_SUPPORTED``, ``MODEL_MISMATCH``.
        SetupError: ``NO_CUDA``.
    """
    started = time.perf_counter()
    progress = Progress(report)
    progress("checking", 0.0, "Checking images, geometry and model")
    warnings = check_radiographs(radiographs, bundle.geometry.labels)
    ordered = _ordered(radiographs, bundle)
    geometry, geometry_warnings = _geometry_for(ordered, geometry, bundle)
    warnings += geometry_warnings
    where = pick_device(device)
    progress("model", 0.1, f"Loading {bundle.name} on {where}")
    net = load_network(bundle).to(where)
    progress("preparing", 0.3, "Bringing the images to the network's field of view")
    images, prepared = _prepared(ordered, geometry, bundle, where, seed)
    progress("network", 0.4, "Running the network")
    matrices = view_matrices(geometry, bundle.input, bundle.output)
    output = run_network(net, images, matrices, where, seed)
    progress("resampling", 0.9, "Bringing the result to the output grid")
    sct = _to_output_grid(output, bundle, geometry)
    provenance = {
        "synthetic": True,
        "notice": NOT_FOR_DIAGNOSIS,
        "model": bundle.name,
        "model_sha256": bundle.sha256,
        "architecture": dict(bundle.description["architecture"]),
        "geometry": geometry.to_dict(),
        "images": [_image_record(radiograph) for radiograph in ordered],
        **prepared,
        "seed": seed,
        "device": str(where),
        "seconds": round(time.perf_counter() - started, 3),
        "tomoray_version": __version__,
        "torch_version": torch.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "warnings": list(warnings),
    }
    progress("done", 1.0, "Synthetic CT ready")
    return Reconstruction(sct, provenance, tuple(warnings))


def load_network(bundle: Bundle) -> nn.Module:
    """Return the bundle's generator in evaluation mode, float32, on the CPU.

    Raises:
        InputError: ``ARCHITECTURE_UNKNOWN``, ``ARCHITECTURE_ARGUMENTS``, or ``MODEL_MISMATCH``
            when the weights are not those of the architecture.
    """
    if str(bundle.description["architecture"].get("name")) in TRANSLATORS:
        raise InputError(
            "MODEL_MISMATCH",
            f"{bundle.path.name} holds a translator of images, which makes no volumes.",
            "Export a generator with it as a stage, and use that file.",
        )
    net = network_from(
        bundle.description["architecture"], generator_tensors(bundle), bundle.path.name
    )
    return channels_last(net)


def run_network(
    net: nn.Module,
    images: NDArray[np.float32],
    matrices: NDArray[np.float32],
    device: torch.device,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Run a generator on one examination: (V, S, S) and (V, 3, 4) in, (D, H, W) out."""
    torch.manual_seed(seed)
    inputs = (torch.from_numpy(array)[None].to(device) for array in (images, matrices))
    with torch.inference_mode():
        output = net(*inputs)
    return np.asarray(output[0, 0].float().cpu().numpy())


def _prepared(
    radiographs: Sequence[Radiograph],
    geometry: AcquisitionGeometry,
    bundle: Bundle,
    device: torch.device,
    seed: int,
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Return (V, S, S) as the generator takes them, and for the record what was done to films."""
    films = [radiograph.is_film for radiograph in radiographs]
    pixels = [radiograph.pixels for radiograph in radiographs]
    references = [
        reference if film else None
        for reference, film in zip(bundle.references, films, strict=True)
    ]
    record: dict[str, Any] = {}
    for place, (radiograph, reference) in enumerate(zip(radiographs, references, strict=True)):
        if reference is not None:
            clean = cleaned(radiograph.pixels)
            pixels[place] = clean.pixels
            record.setdefault("harmonised", {})[radiograph.view] = clean.to_dict()
    images = network_images(pixels, geometry, bundle.input, references)
    images, stages = run_stages(bundle, images, films, device, seed)
    return images, record | ({"stages": stages} if stages else {})


def _to_output_grid(
    output: NDArray[np.float32], bundle: Bundle, geometry: AcquisitionGeometry
) -> Volume:
    spec = bundle.output
    coarse = volume_from_output(output, spec, geometry.isocentre_lps)
    grid = canonical_grid(geometry.isocentre_lps, spec.size, spec.spacing_mm)
    array_hu = np.rint(resample(coarse, grid).array_hu).astype(np.int16)
    metadata = {
        SYNTHETIC_KEY: "true",
        "tomoray_notice": NOT_FOR_DIAGNOSIS,
        "tomoray_model": bundle.name,
        "tomoray_model_sha256": bundle.sha256,
        "tomoray_version": __version__,
    }
    return Volume(array_hu, grid.ijk_to_lps, metadata)


def _image_record(radiograph: Radiograph) -> dict[str, Any]:
    return {
        "view": radiograph.view,
        "size": list(radiograph.shape),
        "pixel_spacing_mm": radiograph.pixel_spacing_mm and list(radiograph.pixel_spacing_mm),
        "quantity": radiograph.quantity,
        **{f"source_{key}": value for key, value in radiograph.provenance.items()},
    }


def _ordered(radiographs: Sequence[Radiograph], bundle: Bundle) -> list[Radiograph]:
    """Return the images in the order of the model's views, which must be the canonical one."""
    kinds = [kind_of_view(label) for label in bundle.geometry.labels]
    if kinds not in (["frontal", "lateral"], ["frontal"], ["lateral"]):
        raise InputError(
            "MODEL_MISMATCH",
            f"{bundle.name} says that it takes the views {', '.join(bundle.geometry.labels)}.",
            "Networks take a frontal and a lateral view, in this order, or one of the two.",
        )
    return sorted(radiographs, key=lambda radiograph: kinds.index(kind_of_view(radiograph.view)))


def _geometry_for(
    radiographs: Sequence[Radiograph], geometry: AcquisitionGeometry | None, bundle: Bundle
) -> tuple[AcquisitionGeometry, list[str]]:
    """Return the geometry of exactly these images, and what to warn about."""
    warnings: list[str] = []
    if geometry is None:
        geometry = _stated_geometry(radiographs)
    if geometry is None:
        geometry, warnings = geometry_of_films(radiographs, bundle.geometry)
    views = [_fitted_view(radiograph, geometry) for radiograph in radiographs]
    geometry = AcquisitionGeometry(geometry.name, geometry.isocentre_lps, tuple(views))
    return geometry, warnings + _range_warnings(geometry, bundle)


def _stated_geometry(radiographs: Sequence[Radiograph]) -> AcquisitionGeometry | None:
    stated = [radiograph.acquisition for radiograph in radiographs]
    first = stated[0]
    if first is None or None in stated:
        return None
    for other in stated[1:]:
        if other is not None and not np.allclose(other.isocentre_lps, first.isocentre_lps):
            raise InputError(
                "GEOMETRY_MISMATCH",
                f"The images state different isocentres: {first.isocentre_lps} and "
                f"{other.isocentre_lps} mm.",
                "Give two images of the same examination, or a geometry of your own.",
            )
    views = tuple(
        acquisition.view(radiograph.view)
        for acquisition, radiograph in zip(stated, radiographs, strict=True)
        if acquisition is not None
    )
    return AcquisitionGeometry(first.name, first.isocentre_lps, views)


def _fitted_view(radiograph: Radiograph, geometry: AcquisitionGeometry) -> ViewGeometry:
    """Return the image's view; its detector must have the image's shape and spacing."""
    view = geometry.view(radiograph.view)
    if view.size != radiograph.shape:
        scale = np.array(radiograph.shape) / np.array(view.size)
        if abs(scale[0] / scale[1] - 1) > 0.02:
            raise InputError(
                "GEOMETRY_MISMATCH",
                f"The {view.label} image has {radiograph.shape[0]} x {radiograph.shape[1]} pixels, "
                f"the geometry's detector {view.size[0]} x {view.size[1]}.",
                "Give the geometry that belongs to the images.",
            )
        view = view.resized(radiograph.shape)
    stated = radiograph.pixel_spacing_mm
    if stated is not None and not np.allclose(stated, view.pixel_spacing_mm, rtol=0.02):
        raise InputError(
            "GEOMETRY_MISMATCH",
            f"The {view.label} image states a pixel spacing of {stated[0]:g} x {stated[1]:g} mm, "
            f"the geometry {view.pixel_spacing_mm[0]:g} x {view.pixel_spacing_mm[1]:g} mm.",
            "Give the geometry that belongs to the images.",
        )
    return view


def _range_warnings(geometry: AcquisitionGeometry, bundle: Bundle) -> list[str]:
    """Compare with what the model was trained for.

    Raises:
        InputError: ``GEOMETRY_NOT_SUPPORTED`` when a view points elsewhere than the model's.
    """
    tolerance = bundle.description["tolerance"]
    low_mm, high_mm = (float(n) for n in tolerance["sad_mm"])
    warnings = []
    for view, trained in zip(geometry.views, bundle.geometry.views, strict=True):
        side = float(view.normal @ trained.normal)
        off = min(abs(side), float(np.dot(view.u, trained.u)), float(np.dot(view.v, trained.v)))
        angle_deg = math.degrees(math.acos(min(max(off, -1.0), 1.0)))
        if angle_deg > float(tolerance["angle_deg"]):
            raise InputError(
                "GEOMETRY_NOT_SUPPORTED",
                f"The {view.label} view is {angle_deg:.0f} degrees off the model's "
                f"{trained.label} view.",
                f"{bundle.name} takes views within {tolerance['angle_deg']} degrees.",
            )
        if side < 0:
            warnings.append(
                f"OUTSIDE_TRAINING: the {view.label} source stands on the other side of the head "
                f"than in the training of {bundle.name}; near and far parts are magnified "
                "the other way round."
            )
        if view.beam != trained.beam:
            warnings.append(
                f"OUTSIDE_TRAINING: the {view.label} beam is {view.beam}; "
                f"{bundle.name} was trained for {trained.beam} beams."
            )
        sad_mm = view.sad_mm(geometry.isocentre_lps)
        if view.beam == "cone" and not low_mm <= sad_mm <= high_mm:
            warnings.append(
                f"OUTSIDE_TRAINING: the {view.label} source is {sad_mm:.0f} mm from the isocentre; "
                f"{bundle.name} was trained for {low_mm:.0f} to {high_mm:.0f} mm."
            )
    return warnings
