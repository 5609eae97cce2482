"""A model file with a very slim, untrained network: all doors work, the images mean nothing."""

from __future__ import annotations

from pathlib import Path


def write_tiny_model(path: Path) -> Path:
    """Write it; the same bytes every time."""
    import torch

    from TomoRayCore.bundle import write_bundle
    from TomoRayCore.nets import build
    from TomoRayCore.network_io import InputSpec, OutputSpec
    from TomoRayCore.presets import from_preset

    torch.manual_seed(7)
    arguments = {"width": 0.0625, "output_size": 64}
    net = build("x2ct-biplanar", arguments)
    description = {
        "name": "tiny",
        "summary": "Untrained, for tests",
        "architecture": {"name": "x2ct-biplanar", "arguments": arguments},
        "input": InputSpec().to_dict(),
        "output": OutputSpec(64, 4.0, 64, 4.0).to_dict(),
        "geometry": from_preset().to_dict(),
        "tolerance": {"sad_mm": [700, 2000], "angle_deg": 10},
        "training": {"data": "none"},
        "intended_use": "tests",
        "known_failures": ["everything"],
        "metrics": {"held_out": {"mae_hu": 1.5}, "mean_head": {"mae_hu": 1.0}},
        "seed": 7,
    }
    write_bundle(path, description, {name: t.numpy() for name, t in net.state_dict().items()})
    return path
