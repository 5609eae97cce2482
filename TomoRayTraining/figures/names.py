"""What metrics are called, their units, and which end is the good one, from their column names."""

from __future__ import annotations

from TomoRayCore.metrics import LABELS

UNITS = {"hu": "HU", "db": "dB", "mm": "mm", "ml": "ml", "s": "s", "mib": "MiB", "percent": "%"}
HIGHER = ("psnr", "ssim", "cosine", "dice", "ncc", "correlation", "iou", "jaccard")
LOWER = ("mae", "mse", "rmse", "error", "distance", "lpips", "hausdorff", "assd", "seconds")


def metric_label(name: str) -> str:
    """Return a metric's name with its unit, e.g. ``MAE (HU)``; columns end in their unit."""
    if name in LABELS:
        return LABELS[name]
    words = name.split("_")
    unit = UNITS.get(words[-1]) if len(words) > 1 else None
    if unit:
        words = words[:-1]
    short = [w.upper() if len(w) <= 4 and w in {*HIGHER, *LOWER, "ct", "sct"} else w for w in words]
    text = " ".join(short)
    text = text[:1].upper() + text[1:]
    return f"{text} ({unit})" if unit else text


def better(name: str) -> str:
    """Return ``higher is better``, ``lower is better``, or nothing where the name does not say."""
    words = name.lower().split("_")
    if any(word in LOWER for word in words):
        return "lower is better"
    if any(word in HIGHER for word in words):
        return "higher is better"
    return ""
