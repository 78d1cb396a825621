"""What BatchNorm by stored numbers and a Scale layer come to: a factor and an offset for each channel."""

from __future__ import annotations

import numpy as np

from caffepy.backend import Array, Backend

__all__ = ["ChannelAffine"]


class ChannelAffine:
    """What BatchNorm by stored numbers, then Scale, make of ``y + b``, written as ``scale * y + shift`` by channel::

        scale = factor / sqrt(variance / weight + eps)
        shift = (b - mean / weight) * scale + offset

    Where weight is 0, mean and variance count as 0 (Caffe's batch_norm_layer.cpp). Computed in float64, then rounded.

    Args:
        backend: the CPU.
        eps: of the BatchNorm layer; any number where there is none.
    """

    def __init__(self, backend: Backend, eps: float) -> None:
        self._eps = eps
        self._scale = self._shift = self._part = np.empty(0)

    def plan(self, channels: int) -> None:
        """Reserve memory for so many."""
        if channels != self._scale.size:
            self._scale, self._shift, self._part = np.empty((3, channels))

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
        wide, moved, part = self._scale, self._shift, self._part
        wide.fill(1)
        moved[...] = 0 if b is None else b
        if statistics is not None:
            mean, variance, weight = statistics
            share = 0.0 if weight[0] == 0 else 1.0 / float(weight[0])
            np.multiply(variance, share, out=wide, dtype=np.float64)
            wide += self._eps
            np.sqrt(wide, out=wide)
            np.divide(1.0, wide, out=wide)
            np.multiply(mean, share, out=part, dtype=np.float64)
            moved -= part
            moved *= wide
        if factor is not None:
            wide *= factor
            moved *= factor
        if offset is not None:
            moved += offset
        scale[...] = wide
        shift[...] = moved
