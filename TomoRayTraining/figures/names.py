"""What metrics are called, their units, and which end is the good one, from their column names.

A column's name is words joined by ``_``, the last of which may be a unit, after the groups that it
belongs to: ``surface.bone.assd_mm``.
"""

from __future__ import annotations

from TomoRayCore.metrics import LABELS

UNITS = {"hu": "HU", "db": "dB", "mm": "mm", "ml": "ml", "s": "s", "mib": "MiB", "percent": "%"}
HIGHER = {"psnr", "ssim", "cosine", "dice", "ncc", "nsd", "correlation", "iou"}
LOWER = {"mae", "mse", "rmse", "lpips", "assd", "hd95", "hausdorff", "seconds"}
UPPER_CASE = {*HIGHER, *LOWER, "2d", "3d"} - {
    "cosine",
    "dice",
    "correlation",
    "hausdorff",
    "seconds",
}


def metric_label(name: str) -> str:
    """Return a metric's name with its unit, e.g. ``ASSD (mm), surface bone``."""
    if name in LABELS:
        return LABELS[name]
    *groups, own = name.split(".")
    words = own.split("_")
    unit = UNITS.get(words[-1], "") if len(words) > 1 else ""
    if unit:
        words = words[:-1]
    unit = unit or {"psnr": "dB", "seconds": "s"}.get(words[0], "")
    text = " ".join(word.upper() if word in UPPER_CASE else word for word in words)
    text = text[:1].upper() + text[1:] + (f" ({unit})" if unit else "")
    return f"{text}, {' '.join(groups).replace('_', ' ')}" if groups else text


def better(name: str) -> str:
    """Return ``higher is better``, ``lower is better``, or nothing where the name does not say."""
    words = set(name.lower().replace(".", "_").split("_"))
    if words & LOWER:
        return "lower is better"
    return "higher is better" if words & HIGHER else ""
