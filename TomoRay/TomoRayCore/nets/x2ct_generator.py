"""The biplanar generator of X2CT-GAN and of X2CT-CNN (X2CT +B), and its ablations.

Ying et al., "X2CT-GAN: Reconstructing CT from Biplanar X-Rays with Generative Adversarial
Networks", CVPR 2019, figures 3-4 and table 2, with the layer sizes of the authors' published
configuration.

Each view has its own 2-D encoder (DenseNet) and 3-D decoder: the encoder's last map becomes a 4^3
cube through a fully connected layer (Connection-A), and 2-D maps are repeated along the ray
direction into the decoder (Connection-B). At every resolution the two decoders' features are
averaged in common axes and handed to a third, fusing decoder (Connection-C).

Where the published code and the paper differ, the code is followed: the last map is averaged over
its area before Connection-A, where the paper flattens it (``flatten_last_map``, 407,770,547
weights), and the average also replaces both views' own features. The code does the latter from the
4^3 cube on; here that is ``feed_cube_back``, off by default.

The paper's "without C" is two things in the released code: the fusing decoder hears the views'
4^3 average only, which also cuts it off from Connection-B, while the average is still handed back
to the views, whose later work no result depends on. Here the two are separate arguments:

| released variant | connection_b | concatenate_average | feed_average_back | weights |
| --- | --- | --- | --- | --- |
| ``multiview_..._transposed`` | yes | yes | yes | 61,740,467 |
| ``NoFuse`` (``backToSub=False``) | yes | yes | no | 61,740,467 |
| ``withoutskip`` | no | yes | yes | 60,551,603 |
| ``withoutconnect`` | yes | no | yes | 61,146,035 |
| ``withoutconnectAndskip`` | no | no | yes | 59,957,171 |

These counts, as the authors' code gives them, include layers that no result depends on: the views'
own output layers and last convolutions, without B the links, and without the concatenation
everything that the views compute after Connection-A. They are never run. ``unused_layers=False``
leaves them out of the network.

Departures: ``width`` scales all channel counts; ``input_size`` may be another multiple of 32, which
changes the cube of Connection-A; a smaller ``output_size`` leaves out the last doublings.
"""

from __future__ import annotations

from TomoRayCore.nets.blocks import initialise
from TomoRayCore.nets.x2ct_parts import BiplanarGenerator, FusionDecoder, Sizes


class X2CTGenerator(BiplanarGenerator):
    """Two radiographs to a volume: (B, 2, I, I) to (B, 1, S, S, S).

    Images are frontal, lateral, in [0, 1]; row 0 superior, columns as in ``Radiograph``. The
    volume's D runs from superior to inferior like the images' rows, H from anterior to
    posterior, W from the patient's right to left; values are at least 0, 1 being the top of the
    HU window. Instance norms use the statistics of the input at hand, in training and testing.

    Args:
        width: Factor on all channel counts; 1 is the published network.
        output_size: Edge S of the volume: ``input_size`` as published, its half or its quarter.
        dropout: After Connection-A, in training only.
        input_size: Edge I of the images: 128 as published, or another multiple of 32 from 64.
        connection_b: Whether 2-D maps are lifted into the decoders.
        concatenate_average: Whether the fusing decoder hears the views at every resolution.
        feed_average_back: Whether the average replaces both views' own features.
        feed_cube_back: Whether the average already replaces the cubes of Connection-A, as in the
            released code. Model files from before this argument do without.
        flatten_last_map: Whether Connection-A takes the encoder's last map flattened, as the paper
            writes, instead of its mean.
        unused_layers: Whether the published layers that no result depends on exist.
        checkpointing: Whether training computes inner tensors again on the way back instead of
            keeping them.

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
        connection_b: bool = True,
        concatenate_average: bool = True,
        feed_average_back: bool = True,
        feed_cube_back: bool = False,
        flatten_last_map: bool = False,
        unused_layers: bool = True,
        checkpointing: bool = False,
    ) -> None:
        sizes = Sizes(
            width,
            input_size,
            output_size,
            links=connection_b,
            fused=concatenate_average,
            unused_layers=unused_layers,
            flattened=flatten_last_map,
        )
        fusion = FusionDecoder(sizes)
        super().__init__(sizes, dropout, fusion, feed_average_back, feed_cube_back, checkpointing)
        initialise(self)
