"""Time the CUDA projector: ``python -m Testing.benchmarks.gpu``, for whoever has a GPU.

A batch of 16 volumes of 128^3 voxels, each seen frontally and laterally on 128 x 128 pixels:
forward, adjoint, and forward with the gradient to the volume; the same in general position; and
nanodrr's Triton path where it is installed. Prints one JSON object a line, times in microseconds
a pair of views, medians between CUDA events, and the share of the least time that moving the
volumes and images through the device's memory takes.

State: written without a GPU at hand and tried with ``--device cpu`` only, where it reads the wall
clock and the kernels do not take part.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from Testing.benchmarks.peers import versions
from Testing.benchmarks.scene import facing, turned
from TomoRayCore import __version__
from TomoRayCore.devices import pick_device
from TomoRayCore.drr.torch_projector import Projector
from TomoRayCore.errors import SetupError
from TomoRayCore.geometry import AcquisitionGeometry
from TomoRayCore.volume import Grid, canonical_grid

EDGE_MM = 256.0
Work = Callable[[], object]


def main(argv: list[str]) -> int:
    """Print the results."""
    parser = argparse.ArgumentParser(prog="python -m Testing.benchmarks.gpu")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--batch", type=int, default=16, help="volumes (default: 16)")
    parser.add_argument("--voxels", type=int, default=128, help="along each edge (default: 128)")
    parser.add_argument("--size", type=int, default=128, help="pixels along an edge (default: 128)")
    parser.add_argument("--repeat", type=int, default=50, help="runs a timing (default: 50)")
    arguments = parser.parse_args(argv)
    try:
        device = pick_device(arguments.device)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 3
    grid = canonical_grid((0.0, 0.0, 0.0), arguments.voxels, EDGE_MM / arguments.voxels)
    volumes = _heads(grid, arguments.batch).to(device)
    common = {"batch": arguments.batch, "voxels": arguments.voxels, "size": arguments.size}
    _print(name="run", device=_name(device), versions=_versions(), **common)
    bandwidth = _bandwidth_gb_per_s(device, arguments.repeat)
    _print(name="memory bandwidth", value=_short(bandwidth), unit="GB/s", **common)
    for label, geometry in (("", facing(arguments.size)), (", any pose", turned(arguments.size))):
        projector = Projector(grid, geometry, device)
        works, least_bytes = _ours(projector, volumes)
        peers = _nanodrr(grid, geometry, volumes)
        times = _timed({**works, **peers}, device, arguments.repeat)
        for name in works:
            ours, floor = times[name], least_bytes[name] / bandwidth / 1e3  # microseconds
            result: dict[str, Any] = {
                "name": name + label,
                "backend": projector.backends[0],
                "ours_us": _short(statistics.median(ours) / arguments.batch),
                "spread": _short(_spread(ours)),
                "percent_of_bandwidth": _short(100 * floor / statistics.median(ours)),
            }
            if f"nanodrr {name}" in times:
                theirs = statistics.median(times[f"nanodrr {name}"])
                result["peer"] = "nanodrr"
                result["peer_us"] = _short(theirs / arguments.batch)
                result["ratio"] = _short(theirs / statistics.median(ours))
            _print(**result, unit="us a pair", **common)
        if peers:
            _print(name="difference from nanodrr" + label, **_difference(works, peers), **common)
    return 0


def _heads(grid: Grid, batch: int) -> Tensor:
    """Return (B, 1, D, H, W): a smooth ball in 1/mm, a little larger in each next volume."""
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in grid.shape]
    radius = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij", sparse=True)))
    sizes = 0.6 + 0.2 * np.arange(batch, dtype=np.float32) / max(batch, 1)
    balls = 0.02 * np.clip(20 * (sizes[:, None, None, None] - radius), 0, 1)
    return torch.from_numpy(balls.astype(np.float32))[:, None]


def _ours(projector: Projector, volumes: Tensor) -> tuple[dict[str, Work], dict[str, int]]:
    """Return what is timed, and the bytes that each must at least read and write."""
    images = projector.forward(volumes)
    leaf = volumes.clone().requires_grad_()

    def gradient() -> Tensor:
        return torch.autograd.grad(projector(leaf).sum(), leaf)[0]

    volume_bytes, image_bytes = volumes.nbytes, images.nbytes
    works: dict[str, Work] = {
        "forward": lambda: projector.forward(volumes),
        "adjoint": lambda: projector.adjoint(images),
        "forward and gradient": gradient,
    }
    once = volume_bytes + image_bytes
    return works, {"forward": once, "adjoint": once, "forward and gradient": 2 * once}


def _nanodrr(grid: Grid, geometry: AcquisitionGeometry, volumes: Tensor) -> dict[str, Work]:
    """Return the same of nanodrr, one call a volume with both poses, as its batches are poses."""
    if "nanodrr" not in versions():
        return {}
    from nanodrr.data import Subject
    from nanodrr.drr import DRR

    device, view = volumes.device, geometry.views[0]
    to_world = torch.from_numpy(grid.ijk_to_lps.copy())
    subjects = [
        Subject(
            volume[None],
            torch.zeros_like(volume[None]),
            to_world.float(),
            to_world.inverse().float(),
            Subject._make_voxel_to_grid(volume[None].shape),
            torch.tensor(grid.centre_lps, dtype=torch.float32),
            max_label=0,
            convert_to_mu=False,
        ).to(device)
        for volume in volumes.clone()
    ]
    row_mm, column_mm = view.pixel_spacing_mm
    drr = DRR.from_carm_intrinsics(
        view.sdd_mm, column_mm, row_mm, 0.0, 0.0, *view.size, dtype=torch.float32, device=device
    )
    poses = np.tile(np.eye(4, dtype=np.float32), (len(geometry.views), 1, 1))
    for pose, one in zip(poses, geometry.views, strict=True):
        pose[:3, :3] = np.stack([one.u, one.v, -one.normal], axis=1)
        pose[:3, 3] = one.source_lps
    camera_to_world = torch.from_numpy(poses).to(device)
    samples = max(grid.shape)
    backend = "triton" if device.type == "cuda" else "torch"

    def forward() -> Tensor:
        with torch.no_grad():
            return torch.cat(
                [drr(one, camera_to_world, n_samples=samples, backend=backend) for one in subjects]
            )

    def gradient() -> list[Tensor]:
        gradients = []
        for one in subjects:
            one._image_hu.requires_grad_(True)
            image = drr(one, camera_to_world, n_samples=samples, backend=backend)
            gradients.append(torch.autograd.grad(image.sum(), one._image_hu)[0])
            one._image_hu.requires_grad_(False)
        return gradients

    return {"nanodrr forward": forward, "nanodrr forward and gradient": gradient}


def _difference(works: dict[str, Work], peers: dict[str, Work]) -> dict[str, Any]:
    """Return how far the two images are apart, as a share of the mean where there is a head."""
    ours, theirs = works["forward"](), peers["nanodrr forward"]()
    if not isinstance(ours, Tensor) or not isinstance(theirs, Tensor):
        raise TypeError("A projector returned no tensor.")
    error = ours - theirs.reshape(ours.shape)
    inside = ours[ours > 0.05 * ours.max()].mean()
    return {"value": _short(float(100 * error.square().mean().sqrt() / inside)), "unit": "% rms"}


def _timed(works: dict[str, Work], device: torch.device, repeat: int) -> dict[str, list[float]]:
    """Return the microseconds of each piece of work in interleaved rounds, after three unseen."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(-3, repeat):
        for name, work in works.items():
            used = _microseconds(work, device)
            if number >= 0:
                times[name].append(used)
    return times


def _microseconds(work: Work, device: torch.device) -> float:
    if device.type != "cuda":
        started = time.perf_counter()
        work()
        return (time.perf_counter() - started) * 1e6
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    start.record()
    work()
    end.record()
    torch.cuda.synchronize(device)
    return float(start.elapsed_time(end)) * 1e3


def _bandwidth_gb_per_s(device: torch.device, repeat: int) -> float:
    """Return what a copy of an array beyond any cache reads and writes a second."""
    source = torch.ones(1 << (28 if device.type == "cuda" else 24), device=device)
    target = torch.empty_like(source)
    times = _timed({"copy": lambda: target.copy_(source)}, device, repeat)["copy"]
    return 2 * source.nbytes / statistics.median(times) / 1e3


def _spread(times: list[float]) -> float:
    """Return the interquartile range as a share of the median."""
    if len(times) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(times, n=4)
    return (high - low) / middle


def _versions() -> dict[str, str]:
    found = {"tomoray": __version__, "torch": torch.__version__}
    if "nanodrr" in (peers := versions()):
        found["nanodrr"] = peers["nanodrr"]
    return found


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _print(**result: Any) -> None:
    print(json.dumps(result, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
