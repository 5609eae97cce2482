"""The generator of X-Recon: X2CT's with lighter encoders and a volume from every resolution.

Wang et al., "X-Recon: Learning-based Patient-specific High-Resolution CT Reconstruction from
Orthogonal X-Ray Images", 2024, as released. Dense blocks of 4, 8, 16, 8, 4 layers. There is no last
7x7x7 convolution: at every resolution a 1x1x1 convolution of the views' average and the fusing
decoder's cube gives a volume (leaky ReLU 0.01), and the running volume is the mean of that and of
its own trilinear doubling, the first one with 0; a last leaky ReLU follows. The views' average is
handed back to them from the cube of Connection-A on. 98.80 M weights for 224 x 224 images, as
published, 37.52 M for 128 x 128, since the cube of Connection-A has an edge of 7 or 4.

The released code never uses the fusing decoder's convolutions at the last resolution, nor the
views' own output layers; ``unused_layers=False`` leaves them out.

Departures: ``width`` scales all channel counts; a smaller ``output_size`` leaves out the last
doublings.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional

from TomoRayCore.nets.blocks import initialise
from TomoRayCore.nets.x2ct_parts import BiplanarGenerator, FusionDecoder, Sizes

DENSE_LAYERS = (4, 8, 16, 8, 4)
SLOPE = 0.01


class XReconGenerator(BiplanarGenerator):
    """Two radiographs to a volume: (B, 2, I, I) to (B, 1, S, S, S).

    Axes and arguments are those of ``X2CTGenerator``; voxels may be slightly negative.

    Raises:
        InputError: ``ARCHITECTURE_ARGUMENTS`` for impossible sizes, width or dropout.
    """

    def __init__(
        self,
        width: float = 1.0,
        output_size: int = 128,
        dropout: float = 0.5,
        input_size: int = 128,
        *,
        unused_layers: bool = True,
        checkpointing: bool = False,
    ) -> None:
        sizes = Sizes(
            width, input_size, output_size, dense_layers=DENSE_LAYERS, unused_layers=unused_layers
        )
        super().__init__(sizes, dropout, VolumeFusion(sizes), True, True, checkpointing)
        initialise(self)


class VolumeFusion(FusionDecoder):
    """The fusing decoder; what its methods hand on is its cube and the running volume."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes, output=False)
        last = str(sizes.edges[-1])
        if not sizes.unused_layers:
            del self.compress[last], self.extra[last]
        self.last_edge = sizes.edges[-1]
        self.to_volume = nn.ModuleDict(
            {str(edge): nn.Conv3d(2 * sizes.channels(edge), 1, 1) for edge in sizes.edges}
        )

    def begin(self, average: Tensor) -> Any:
        return self.first(average), None

    def hear(self, edge: int, average: Tensor) -> Any:
        layer = cast(nn.Conv3d, self.to_volume[str(edge)])
        weight = layer.weight[:, : average.shape[1]]
        volume = functional.conv3d(average, weight, layer.bias)
        return volume, None if edge == self.last_edge else super().hear(edge, average)

    def join(self, edge: int, state: Any, heard: Any) -> Any:
        cube, running = state
        volume, average = heard
        weight = cast(nn.Conv3d, self.to_volume[str(edge)]).weight[:, -cube.shape[1] :]
        volume = functional.leaky_relu(volume + functional.conv3d(cube, weight), SLOPE)
        if running is not None:
            volume = volume + functional.interpolate(running, scale_factor=2, mode="trilinear")
        if edge < self.last_edge:
            cube = super().join(edge, cube, average)
        return cube, volume / 2

    def grow(self, edge: int, state: Any) -> Any:
        cube, running = state
        return super().grow(edge, cube), running

    def end(self, state: Any) -> Tensor:
        return functional.leaky_relu(state[1], SLOPE)
