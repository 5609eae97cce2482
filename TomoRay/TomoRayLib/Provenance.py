"""What a synthetic node says about itself, wherever the scene travels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import TomoRayCore

NAME_SUFFIX = "sCT (SYNTHETIC)"
PREFIX = "TomoRay."

_ATTRIBUTES = {
    "Model": "model",
    "ModelSha256": "model_sha256",
    "Geometry": "geometry",
    "Seed": "seed",
    "Device": "device",
    "Seconds": "seconds",
    "Created": "created",
}
"""Node attribute (without prefix) by the provenance's field."""


def stampSynthetic(node, provenance: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    """Write provenance into a synthetic CT's attributes, description and node references.

    Args:
        node: The volume node.
        provenance: As the engine's reconstruction states it.
        inputs: Input nodes by role, e.g. ``AP``, ``LAT``, ``CT``; None values are left out.
    """
    for name, field in _ATTRIBUTES.items():
        node.SetAttribute(PREFIX + name, _text(provenance.get(field)))
    node.SetAttribute(PREFIX + "Version", TomoRayCore.__version__)
    node.SetAttribute(PREFIX + "Synthetic", "true")
    for role, inputNode in inputs.items():
        if inputNode is not None:
            node.SetNodeReferenceID(PREFIX + role, inputNode.GetID())
    node.SetDescription(
        f"SYNTHETIC CT, computed by TomoRay {TomoRayCore.__version__} with the model "
        f"{provenance.get('model')} from radiographs. Research use only, not for diagnosis."
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
