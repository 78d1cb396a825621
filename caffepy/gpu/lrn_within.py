"""Local response normalisation within each channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["LRNWithin"]

Shape = tuple[int, ...]


class LRNWithin:
    """``y = x * (1 + alpha * m)^-beta``, m the mean of x^2 over the ``size x size`` window; x (N, C, H, W).

    The mean is Caffe's average pooling with pad (size - 1) / 2 and stride 1: zeros around the image count. k is not
    used, as in Caffe's lrn_layer.cpp.

    Args:
        backend: a GPU.
        size: of the window, odd.
        alpha, beta: as above.
    """

    def __init__(self, backend: Backend, size: int, alpha: float, beta: float) -> None:
        self._backend = backend
        gpu = cast("GpuBackend", backend)
        self._kernels = gpu.kernels("lrn_within")
        self._size = np.int32(size)
        self._alpha, self._beta, self._factor = (gpu.number(value) for value in (alpha, beta, 2 * alpha * beta))
        self._shape: Shape = ()

    def plan(self, x_shape: Shape) -> None:
        """Make room for ``1 + alpha m``, which backward reads."""
        if x_shape != self._shape:
            self._shape = x_shape
            self._image = (np.int32(x_shape[2]), np.int32(x_shape[3]), self._size)
            self._scale = self._backend.empty(x_shape)
            self._backend.scratch(x_shape)

    def forward(self, x: Array, out: Array) -> None:
        """``out`` may not be ``x``."""
        self._kernels.elements("lrn_within_forward", x.size, x, *self._image, self._alpha, self._beta, self._scale, out)

    def backward(self, x: Array, dy: Array, out: Array) -> None:
        """Of the last `forward`; ``out`` may be ``dy``."""
        ratio = self._backend.scratch(self._shape)
        self._kernels.elements("lrn_within_ratio", x.size, x, dy, self._scale, self._beta, ratio)
        self._kernels.elements(
            "lrn_within_backward", x.size, x, dy, self._scale, ratio, *self._image, self._beta, self._factor, out
        )
