"""What this installation is and has, as text that anyone can paste into a bug report.

Nothing in it names a person: no paths, no user, no host.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from TomoRayCore import __version__
from TomoRayCore.errors import InputError

PACKAGES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "SimpleITK": "SimpleITK",
    "pydicom": "pydicom",
    "Pillow": "PIL",
    "scikit-image": "skimage",
    "safetensors": "safetensors",
    "torch": "torch",
}
"""Import name by package name: all that the engine needs."""

GIB = 2**30
LOW_MEMORY_GIB = 4.0
LOW_DISK_GIB = 1.0


def examine() -> dict[str, Any]:
    """Return everything as plain types; ``problems`` lists what must be mended first."""
    packages = {name: _version(name, module) for name, module in PACKAGES.items()}
    facts: dict[str, Any] = {
        "tomoray": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": packages,
        "gpu": _gpu() if packages["torch"] else "unknown: torch is missing",
        "processor_threads": os.cpu_count(),
        "threads_wanted": os.environ.get("OMP_NUM_THREADS", "not set"),
        "memory_gib": _memory_gib(),
        "free_disk_gib": {
            "current folder": _free_gib(Path.cwd()),
            "temporary folder": _free_gib(Path(tempfile.gettempdir())),
        },
        "models": _models() if packages["safetensors"] else [],
        "drr": _drr() if packages["numpy"] and packages["scipy"] else "unknown",
        "display": _display(),
        "slicer": _slicer(),
    }
    facts["problems"] = _problems(facts)
    return facts


def as_text(facts: Mapping[str, Any]) -> str:
    """Return the facts as lines to paste."""
    lines = [
        ("TomoRay", facts["tomoray"]),
        ("Python", facts["python"]),
        ("System", facts["system"]),
        ("CPU", f"{facts['processor_threads']} threads, OMP_NUM_THREADS {facts['threads_wanted']}"),
        ("Memory", f"{facts['memory_gib'] or '?'} GiB"),
    ]
    lines += [("Disk", f"{gib} GiB free, {where}") for where, gib in facts["free_disk_gib"].items()]
    lines += [(name, version or "MISSING") for name, version in facts["packages"].items()]
    lines.append(("GPU", facts["gpu"]))
    lines += [
        ("Model", f"{model['file']}, {model['mib']} MiB, {model['state']}")
        for model in facts["models"]
    ] or [("Model", "none")]
    lines += [("DRRs by", facts["drr"]), ("Display", facts["display"]), ("Slicer", facts["slicer"])]
    lines += [("PROBLEM", problem) for problem in facts["problems"]] or [("All is well.", "")]
    return "\n".join(f"{name:<14}{value}".rstrip() for name, value in lines)


def _version(package: str, module: str) -> str | None:
    """Return the installed version, or None; Slicer's own builds may lack package metadata."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        try:
            return str(getattr(importlib.import_module(module), "__version__", "unknown"))
        except ImportError:
            return None


def _drr() -> str:
    from TomoRayCore.drr import kernel

    return kernel.state()


def _gpu() -> str:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library of torch is missing
        return f"unknown: torch cannot be loaded ({type(error).__name__})"
    built_for = torch.version.cuda or "none"
    if not torch.cuda.is_available():
        return f"no CUDA GPU (torch built for CUDA: {built_for}); the CPU is used"
    device = torch.cuda.get_device_properties(0)
    return f"{device.name}, {device.total_memory / GIB:.1f} GiB, CUDA {built_for}"


def _memory_gib() -> float | None:
    """Return the machine's memory; None where the system does not tell."""
    if sys.platform == "win32":
        return _windows_memory_gib()
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1)
    except (ValueError, OSError):
        return None


def _windows_memory_gib() -> float | None:
    import ctypes

    kilobytes = ctypes.c_ulonglong(0)
    kernel = getattr(ctypes, "windll", None)
    if kernel is None:
        return None
    if not kernel.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes)):
        return None
    return round(kilobytes.value / 2**20, 1)


def _free_gib(folder: Path) -> float | None:
    try:
        return round(shutil.disk_usage(folder).free / GIB, 1)
    except OSError:
        return None


def _models() -> list[dict[str, Any]]:
    from TomoRayCore.bundle import available_models, read_bundle

    models = []
    for path in available_models():
        try:
            state = f"sha256 {read_bundle(path).sha256[:12]} as described"
        except InputError as error:
            state = f"UNUSABLE: {error.code}"
        models.append(
            {"file": path.name, "mib": round(path.stat().st_size / 2**20, 1), "state": state}
        )
    return models


def _display() -> str:
    if sys.platform in {"win32", "darwin"}:
        return "native"
    seen = [name for name in ("DISPLAY", "WAYLAND_DISPLAY") if os.environ.get(name)]
    platform_plugin = os.environ.get("QT_QPA_PLATFORM")
    words = f"{' and '.join(seen)} set" if seen else "none"
    return f"{words}, QT_QPA_PLATFORM {platform_plugin}" if platform_plugin else words


def _slicer() -> str:
    slicer = sys.modules.get("slicer")
    if slicer is not None and hasattr(slicer, "app"):
        return f"running inside {slicer.app.applicationVersion}"
    if os.environ.get("SLICER_HOME"):
        return "this is Slicer's Python"
    return "found on PATH" if shutil.which("Slicer") else "not found (not needed here)"


def _problems(facts: Mapping[str, Any]) -> list[str]:
    problems = [
        f"The package {name} is missing."
        for name, version in facts["packages"].items()
        if version is None
    ]
    if str(facts["gpu"]).startswith("unknown: torch cannot"):
        problems.append("torch is installed but cannot be loaded.")
    if not facts["models"]:
        problems.append("No model file came with this installation.")
    problems += [
        f"The model {model['file']} is unusable."
        for model in facts["models"]
        if model["state"].startswith("UNUSABLE")
    ]
    if facts["memory_gib"] is not None and facts["memory_gib"] < LOW_MEMORY_GIB:
        problems.append(f"Less than {LOW_MEMORY_GIB:g} GiB of memory.")
    for where, gib in facts["free_disk_gib"].items():
        if gib is not None and gib < LOW_DISK_GIB:
            problems.append(f"Less than {LOW_DISK_GIB:g} GiB free in the {where}.")
    return problems
