"""The single-view generator of X2CT-GAN and of X2CT-CNN (X2CT +S), with and without Connection-B.

Ying et al., CVPR 2019; see ``x2ct_generator``. One view's branch alone, whose own 7x7x7 output layer
gives the volume. Released as ``singleview_network_denseUNet_transposed`` (29,384,481 weights) and
``..._withoutskip`` (28,790,049, which counts the links although none is used).
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from TomoRayCore.errors import InputError
from TomoRayCore.nets.blocks import initialise
from TomoRayCore.nets.common import check_dropout, check_images, kept
from TomoRayCore.nets.x2ct_parts import FRONTAL_AXES, LATERAL_AXES, Sizes, ViewBranch

AXES = {"frontal": FRONTAL_AXES, "lateral": LATERAL_AXES}


class X2CTSingleGenerator(nn.Module):
    """One radiograph to a volume: (B, 1, I, I) to (B, 1, S, S, S).

    Axes, ranges and the arguments not named here are those of ``X2CTGenerator``.

    Args:
        view: ``frontal`` as published, lifted along H, or ``lateral``, lifted along W.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for impossible sizes, width, dropout or view.
    """

    view_count = 1

    def __init__(
        self,
        width: float = 1.0,
        output_size: int = 128,
        dropout: float = 0.5,
        input_size: int = 128,
        *,
        view: Literal["frontal", "lateral"] = "frontal",
        connection_b: bool = True,
        flatten_last_map: bool = False,
        unused_layers: bool = True,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_dropout(dropout)
        if view not in AXES:
            raise InputError(
                "ARCHITECTURE_ARGUMENTS", f"Got view {view!r}.", "Give frontal or lateral."
            )
        self.sizes = Sizes(
            width,
            input_size,
            output_size,
            links=connection_b,
            unused_layers=unused_layers,
            flattened=flatten_last_map,
        )
        self.input_size, self.output_size = input_size, output_size
        self.checkpointing = checkpointing
        self.view = ViewBranch(self.sizes, AXES[view], dropout, ends=True)
        initialise(self)

    def forward(self, images: Tensor, view_matrices: Tensor | None = None) -> Tensor:
        """Return the volume. The view is lifted orthographically: ``view_matrices`` have no use."""
        check_images(images, 1, self.input_size)
        cube, maps = self.view.encode(images)
        cube = self.view.start(cube)
        for edge in self.sizes.edges:
            if edge > self.sizes.edges[0]:
                cube = kept(self.checkpointing, self.view.grow, edge // 2, cube)
            cube = kept(self.checkpointing, self.view.join, edge, cube, maps.pop(edge))
        volume: Tensor = kept(self.checkpointing, self.view.end, self.output_size, cube)
        return volume
