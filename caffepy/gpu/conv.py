"""Convolution by cuDNN, or by kernels of our own where cuDNN is not installed or cannot do it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._columns import Columns

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["Conv"]

Shape = tuple[int, ...]

# Threads that add up the bias gradient of one filter: see conv.cu.
_SUMMING = 512


class Conv:
    """Cross-correlation with groups, in any number of spatial axes; x (N, C, *spatial), y (N, num_output, *output)::

        y[n, m, p] = b[m] + sum over c, k of w[m, c, k] * x[n, c, p * stride - pad + k * dilation]

    with c over the channels of m's group; w is (num_output, C / group, *kernel).

    Args:
        backend: a GPU.
        num_output: channels of y.
        kernel, stride, pad, dilation: one number for each spatial axis.
        group: channels of x and y fall into this many groups, convolved by themselves.
    """

    def __init__(
        self, backend: Backend, num_output: int, kernel: Shape, stride: Shape, pad: Shape, dilation: Shape, group: int
    ) -> None:
        self._gpu = cast("GpuBackend", backend)
        self._kernels = self._gpu.kernels("conv")
        self._num_output = num_output
        self._way = Columns(backend, num_output, kernel, stride, pad, dilation, group)

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        self._way.plan(x_shape, y_shape)

    def forward(self, x: Array, w: Array, b: Array | None, out: Array) -> None:
        """``out`` is overwritten and may not be ``x``; ``b`` (num_output,) or None."""
        self._way.forward(x, w, b, out)

    def backward_data(self, dy: Array, w: Array, out: Array) -> None:
        """``out`` (N, C, *spatial) is overwritten."""
        self._way.backward_data(dy, w, out)

    def backward_filter(self, x: Array, dy: Array, out: Array) -> None:
        """Adds to ``out``, of w's shape."""
        self._way.backward_filter(x, dy, out)

    def backward_bias(self, dy: Array, out: Array) -> None:
        """Adds to ``out`` (num_output,)."""
        if dy.size:
            sizes = len(dy), self._num_output, math.prod(dy.shape[2:])
            args = (dy, out, *(np.int32(size) for size in sizes))
            self._kernels.launch("conv_bias_gradient", self._num_output, args, _SUMMING)
