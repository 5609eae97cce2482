"""The structural similarity index, with every choice that papers leave unsaid as an argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from TomoRayCore.scores.arrays import Array, Mask, mean_in

K1, K2 = 0.01, 0.03
GAUSSIAN_SIGMA = 1.5
GAUSSIAN_SIZE = 11
UNIFORM_SIZE = 7


@dataclass(frozen=True)
class Ssim:
    """One definition of SSIM (Wang et al., IEEE TIP 2004), K1 0.01 and K2 0.03.

    Attributes:
        window: ``uniform`` (7 voxels wide) or ``gaussian`` (sigma 1.5, cut at 11 voxels).
        data_range: L.
        sample_covariance: Divide by n - 1, as scikit-image does unless told otherwise; else by n.
        zero_padding: Take what lies outside as 0 and count every voxel, as networks' convolutions
            do; else count only voxels whose window lies inside.
    """

    window: Literal["uniform", "gaussian"]
    data_range: float = 1.0
    sample_covariance: bool = False
    zero_padding: bool = False

    @property
    def size(self) -> int:
        """Width of the window in voxels."""
        return UNIFORM_SIZE if self.window == "uniform" else GAUSSIAN_SIZE

    def describe(self, dimensions: int) -> str:
        """Return the window in words."""
        size = " x ".join([str(self.size)] * dimensions)
        shape = "uniform" if self.window == "uniform" else f"Gaussian, sigma {GAUSSIAN_SIGMA:g},"
        covariance = "sample" if self.sample_covariance else "population"
        border = "zeros outside" if self.zero_padding else "windows inside only"
        return f"{shape} {size}, K1 {K1:g}, K2 {K2:g}, {covariance} covariance, {border}"

    def volume(self, first: Array, second: Array, mask: Mask | None = None) -> float | None:
        """Return the mean of the 3-D map, over a mask where given; None without a full window."""
        return self._mean(first, second, (0, 1, 2), mask)

    def slices(self, first: Array, second: Array) -> float | None:
        """Return the 2-D mean over all slices across each axis, then over the three axes."""
        found = [self._mean(first, second, axes, None) for axes in ((1, 2), (0, 2), (0, 1))]
        values = [value for value in found if value is not None]
        return float(np.mean(values)) if len(values) == 3 else None

    def _mean(
        self, first: Array, second: Array, axes: tuple[int, ...], mask: Mask | None
    ) -> float | None:
        if not self.zero_padding and min(first.shape[axis] for axis in axes) < self.size:
            return None
        similarity = self._map(first, second, axes)
        counted = np.ones(first.shape, bool) if mask is None else mask
        if not self.zero_padding:
            edge = self.size // 2
            inner = tuple(
                slice(edge, n - edge) if axis in axes else slice(None)
                for axis, n in enumerate(first.shape)
            )
            similarity, counted = similarity[inner], counted[inner]
        return mean_in(similarity, counted)

    def _map(self, first: Array, second: Array, axes: tuple[int, ...]) -> Array:
        """Return the similarity at each voxel, windows extending along ``axes`` only."""
        mean_1, mean_2 = self._filter(first, axes), self._filter(second, axes)
        n = self.size ** len(axes)
        # A Gaussian window has no count of samples: scikit-image corrects by its box all the same.
        factor = n / (n - 1) if self.sample_covariance else 1.0
        variances = self._filter(first**2, axes) - mean_1**2
        variances += self._filter(second**2, axes) - mean_2**2
        covariance = self._filter(first * second, axes) - mean_1 * mean_2
        c1, c2 = (K1 * self.data_range) ** 2, (K2 * self.data_range) ** 2
        above = (2 * mean_1 * mean_2 + c1) * (2 * factor * covariance + c2)
        return above / ((mean_1**2 + mean_2**2 + c1) * (factor * variances + c2))

    def _filter(self, values: Array, axes: tuple[int, ...]) -> Array:
        mode = "constant" if self.zero_padding else "reflect"
        if self.window == "uniform":
            return np.asarray(ndimage.uniform_filter(values, self.size, mode=mode, axes=axes))
        reach = GAUSSIAN_SIZE // 2
        return np.asarray(
            ndimage.gaussian_filter(values, GAUSSIAN_SIGMA, mode=mode, radius=reach, axes=axes)
        )
