"""What BatchNorm by stored numbers and a Scale layer come to: a factor and an offset for each channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["ChannelAffine"]


class ChannelAffine:
    """What BatchNorm by stored numbers, then Scale, make of ``y + b``, written as ``scale * y + shift`` by channel::

        scale = factor / sqrt(variance / weight + eps)
        shift = (b - mean / weight) * scale + offset

    Where weight is 0, mean and variance count as 0 (Caffe's batch_norm_layer.cpp). Computed in float64, then rounded.

    Args:
        backend: a GPU.
        eps: of the BatchNorm layer; any number where there is none.
    """

    def __init__(self, backend: Backend, eps: float) -> None:
        self._kernels = cast("GpuBackend", backend).kernels("channel_affine")
        self._eps = np.float64(eps)

    def plan(self, channels: int) -> None:
        """Nothing to prepare: any number will do."""

    def forward(
        self,
        b: Array | None,
        statistics: tuple[Array, Array, Array] | None,
        factor: Array | None,
        offset: Array | None,
        scale: Array,
        shift: Array,
    ) -> None:
        """``scale`` and ``shift`` (channels,) are overwritten, and may be none of the arrays that are read.

        ``statistics`` are BatchNorm's blobs: sums of mean and of variance (channels,), and their weight (1,); without
        them scale is the factor alone. ``b``, ``factor`` and ``offset`` (channels,) count as 0, 1 and 0 where they are
        None.
        """
        read = (b, *(statistics or (None, None, None)), factor, offset)
        # A null pointer stands for what there is not.
        arrays = (np.uintp(0) if array is None else array for array in read)
        self._kernels.elements("channel_affine", scale.size, *arrays, scale, shift, self._eps)
