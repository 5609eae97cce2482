"""From radiographs to a synthetic CT: the one path that every door uses."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from TomoRayCore import __version__
from TomoRayCore.bundle import Bundle
from TomoRayCore.checks import check_radiographs
from TomoRayCore.devices import pick_device
from TomoRayCore.errors import InputError
from TomoRayCore.geometry import AcquisitionGeometry, ViewGeometry
from TomoRayCore.nets import build
from TomoRayCore.nets.blocks import channels_last
from TomoRayCore.network_io import network_images, view_matrices, volume_from_output
from TomoRayCore.progress import Progress, Report
from TomoRayCore.radiograph import Radiograph
from TomoRayCore.resample import resample
from TomoRayCore.volume import SYNTHETIC_KEY, Volume, canonical_grid

FRONTAL = ("AP", "PA")
FRONTAL_FIRST = (*FRONTAL, "LAT")
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
        radiographs: One frontal and one lateral image, in any order.
        geometry: Where source and detector stood. None: what the images themselves state; else
            the model's own arrangement with the images' pixel spacing.
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
    warnings = check_radiographs(radiographs)
    ordered = sorted(radiographs, key=lambda radiograph: FRONTAL_FIRST.index(radiograph.view))
    _check_views(ordered, bundle)
    geometry, geometry_warnings = _geometry_for(ordered, geometry, bundle)
    warnings += geometry_warnings
    where = pick_device(device)
    progress("model", 0.1, f"Loading {bundle.name} on {where}")
    net = load_network(bundle).to(where)
    progress("preparing", 0.3, "Bringing the images to the network's field of view")
    images = network_images([r.pixels for r in ordered], geometry, bundle.input)
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
    """Return the bundle's network in evaluation mode, float32, on the CPU.

    Raises:
        InputError: ``ARCHITECTURE_UNKNOWN``, ``ARCHITECTURE_ARGUMENTS``, or ``MODEL_MISMATCH``
            when the weights are not those of the architecture.
    """
    architecture = bundle.description["architecture"]
    name, arguments = str(architecture.get("name")), architecture.get("arguments", {})
    with torch.device("meta"):  # shapes alone: wrong arguments must not fill the memory
        shapes = build(name, arguments).state_dict()
    expected = {name: tuple(tensor.shape) for name, tensor in shapes.items()}
    got = {name: tensor.shape for name, tensor in bundle.tensors.items()}
    if expected != got:
        wrong = sorted(set(expected.items()) ^ set(got.items()))[0]
        raise InputError(
            "MODEL_MISMATCH",
            f"The weights of {bundle.path.name} are not those of {architecture.get('name')!r}; "
            f"the first difference is {wrong[0]!r} {wrong[1]}.",
            "Get the file again, or correct its architecture's arguments.",
        )
    net = build(name, arguments)
    net.load_state_dict(  # which converts to the types of the network: float32, counts to integers
        {name: torch.from_numpy(np.array(t)) for name, t in bundle.tensors.items()}
    )
    return channels_last(net).eval()


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


def _check_views(radiographs: Sequence[Radiograph], bundle: Bundle) -> None:
    """Refuse a model whose views are others than these; AP and PA count as the same."""
    given = [radiograph.view for radiograph in radiographs]
    wanted = bundle.geometry.labels
    if [view in FRONTAL for view in given] != [label in FRONTAL for label in wanted]:
        raise InputError(
            "MODEL_MISMATCH",
            f"{bundle.name} takes the views {', '.join(wanted)}; got {', '.join(given)}.",
            "Give the views that the model takes, or pick another model.",
        )


def _geometry_for(
    radiographs: Sequence[Radiograph], geometry: AcquisitionGeometry | None, bundle: Bundle
) -> tuple[AcquisitionGeometry, list[str]]:
    """Return the geometry of exactly these images, and what to warn about."""
    warnings: list[str] = []
    if geometry is None:
        geometry = _stated_geometry(radiographs)
    if geometry is None:
        geometry = _assumed_geometry(radiographs, bundle)
        warnings.append(
            "GEOMETRY_ASSUMED: the images do not state where source and detector stood; "
            f"{bundle.geometry.name} about the middle of each image was assumed."
        )
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


def _assumed_geometry(radiographs: Sequence[Radiograph], bundle: Bundle) -> AcquisitionGeometry:
    """Return the model's own arrangement with each image's size and spacing."""
    trained = bundle.geometry
    views = []
    for radiograph, view in zip(radiographs, trained.views, strict=True):
        if radiograph.pixel_spacing_mm is None:
            raise InputError(
                "SPACING_UNKNOWN",
                f"The pixel spacing of the {radiograph.view} image is not known.",
                "State it in mm at the detector (--spacing MM, or in the panel), "
                "or give a geometry file.",
            )
        if radiograph.view != view.label:
            view = _from_the_other_side(view, trained.isocentre_lps, radiograph.view)
        views.append(
            replace(view, size=radiograph.shape, pixel_spacing_mm=radiograph.pixel_spacing_mm)
        )
    return AcquisitionGeometry(trained.name, trained.isocentre_lps, tuple(views))


def _from_the_other_side(
    view: ViewGeometry, isocentre_lps: tuple[float, float, float], label: str
) -> ViewGeometry:
    """Turn AP into PA or back: source and detector change sides, the image is hung the same."""

    def opposite(point: tuple[float, float, float]) -> tuple[float, float, float]:
        x, y, z = (2 * centre - c for centre, c in zip(isocentre_lps, point, strict=True))
        return x, y, z

    return replace(
        view,
        label=label,
        source_lps=opposite(view.source_lps),
        detector_centre_lps=opposite(view.detector_centre_lps),
    )


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
