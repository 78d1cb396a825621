"""Rectified linear units whose slope for negative values is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._channels import Channels

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["PReLU"]

Shape = tuple[int, int, int]


class PReLU:
    """``y = x`` where x > 0, else ``w[c] * x``; x, y (N, C, inner), w (C,), or of one element for all channels.

    NaN stays NaN. Source: Caffe's prelu_layer.cu.

    Args:
        backend: a GPU.
        shared: whether all channels have one slope.
    """

    def __init__(self, backend: Backend, shared: bool) -> None:
        self._backend = backend
        self._kernels = cast("GpuBackend", backend).kernels("prelu")
        self._shared = shared
        self._shape: Shape = (0, 0, 0)

    def plan(self, shape: Shape) -> None:
        """Reserve the sums of each channel's pieces."""
        if shape == self._shape:
            return
        self._shape = shape
        self._channels = Channels(shape)
        self._sums = self._backend.empty((self._channels.blocks,), np.float64)
        # Element i has the slope of i / inner modulo the number of slopes.
        self._places = (np.int32(1 if self._shared else shape[1]), np.int32(shape[2]))

    def forward(self, x: Array, w: Array, out: Array) -> None:
        """``out`` may be ``x``."""
        self._kernels.elements("prelu_forward", x.size, x, w, *self._places, out)

    def backward_data(self, x: Array, dy: Array, w: Array, out: Array) -> None:
        """``out = dy`` where x > 0, else ``w[c] * dy``; ``out`` may be ``dy``."""
        self._kernels.elements("prelu_backward", x.size, x, dy, w, *self._places, out)

    def backward_filter(self, x: Array, dy: Array, out: Array) -> None:
        """Adds the sum of ``x * dy`` where x <= 0 to ``out``, of w's shape."""
        if self._channels.empty:
            return
        blocks = self._channels.blocks
        self._kernels.launch("prelu_sum", blocks, (x, dy, self._channels.numbers, self._sums))
        pieces = np.int32(blocks if self._shared else self._channels.pieces)
        self._kernels.elements("prelu_add", out.size, self._sums, pieces, out)
