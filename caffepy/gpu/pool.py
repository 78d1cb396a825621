"""Pooling by the maximum or the mean of each window."""

from __future__ import annotations

import math

import numpy as np

from caffepy.backend import Array
from caffepy.gpu._planes import Planes, Shape

__all__ = ["AvePool", "MaxPool"]


class MaxPool(Planes):
    """``y = max of x over the window``; padding is no value. The first of equal maxima gets the gradient.

    Caffe's pooling_layer.cu. A window of nothing above -FLT_MAX, or of NaN only, gives -FLT_MAX and has no gradient,
    as there.

    Args:
        backend: a GPU.
        kernel, stride, pad: height and width.
    """

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Make room for the numbers of the maxima in their windows, a byte each where these have less than 255."""
        if self._changed(x_shape, y_shape):
            kinds, most = (np.uint8, np.uint16, np.uint32), math.prod(self._kernel)
            # The greatest number stands for no maximum.
            kind = np.dtype(next(kind for kind in kinds if most <= np.iinfo(kind).max))
            self._bits = 8 * kind.itemsize
            self._chosen = self._backend.empty(y_shape, kind)

    def forward(self, x: Array, out: Array, mask: Array | None = None) -> None:
        """``mask``, of y's shape, gets the index of each maximum in its plane."""
        self._kernels.elements(
            f"pool_max_forward{self._bits}",
            self._threads,
            x,
            self._window,
            out.size,
            out,
            self._chosen,
            0 if mask is None else mask,
        )

    def backward(self, dy: Array, out: Array) -> None:
        """``out``, of x's shape, is overwritten."""
        self._kernels.elements(f"pool_max_backward{self._bits}", out.size, dy, self._chosen, self._window, out)


class AvePool(Planes):
    """``y = sum of x over the window / size of the window``, the size clipped to the padded image (Caffe's rule).

    Args:
        backend: a GPU.
        kernel, stride, pad: height and width.
    """

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Note the shapes; nothing is reserved."""
        self._changed(x_shape, y_shape)

    def forward(self, x: Array, out: Array) -> None:
        """``out`` is overwritten."""
        self._kernels.elements("pool_ave_forward", self._threads, x, self._window, out.size, out)

    def backward(self, dy: Array, out: Array) -> None:
        """``out``, of x's shape, is overwritten."""
        self._kernels.elements("pool_ave_backward", out.size, dy, self._window, out)
