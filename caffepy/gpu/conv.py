"""Convolution by cuDNN, or by kernels of our own where cuDNN is not installed or cannot do it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._columns import Columns
from caffepy.gpu._cudnn_conv import CudnnConv, aligned

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

    Attributes:
        epilogue: where it is not None, ``(scale, shift, slope)``: `forward` then gives, without another pass over y
            where that is not slower, ``f(scale * y + shift)`` with y before its bias, f(v) = v where v > 0, else v *
            slope. scale and shift are (num_output,); with None for them y is as above. The first pass with a slope of 0
            lets cuDNN plan that. `caffepy.net.fusion` sets it.

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
        self._columns = Columns(backend, num_output, kernel, stride, pad, dilation, group)
        self._cudnn = CudnnConv(backend, num_output, kernel, stride, pad, dilation, group)
        self._by_cudnn = False
        self.epilogue: tuple[Array | None, Array | None, float] | None = None
        self._shapes: tuple[Shape, Shape] = ((), ())

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Choose cuDNN's plans for images of ``x_shape`` by timing them, once for a shape, or else reserve memory."""
        if (x_shape, y_shape) == self._shapes:
            return
        self._shapes = (x_shape, y_shape)
        empty = not (math.prod(x_shape) and math.prod(y_shape))
        self._by_cudnn = self._gpu.dtype != np.float64 and not empty and self._cudnn.plan(x_shape, y_shape)
        if not self._by_cudnn:
            self._columns.plan(x_shape, y_shape)

    def _way(self, *arrays: Array) -> Columns | CudnnConv:
        if self._by_cudnn and aligned(*arrays):
            return self._cudnn
        # Planned already, except for arrays that begin where cuDNN cannot read them.
        self._columns.plan(*self._shapes)
        return self._columns

    def forward(self, x: Array, w: Array, b: Array | None, out: Array) -> None:
        """``out`` is overwritten and may not be ``x``; ``b`` (num_output,) or None."""
        scale, shift, slope = self.epilogue or (None, None, 1.0)
        self._way(x, out).forward(x, w, b if shift is None else shift, out, scale, slope)

    def backward_data(self, dy: Array, w: Array, out: Array) -> None:
        """``out`` (N, C, *spatial) is overwritten."""
        self._way(dy, out).backward_data(dy, w, out)

    def backward_filter(self, x: Array, dy: Array, out: Array) -> None:
        """Adds to ``out``, of w's shape."""
        self._way(x, dy).backward_filter(x, dy, out)

    def backward_bias(self, dy: Array, out: Array) -> None:
        """Adds to ``out`` (num_output,)."""
        if dy.size:
            sizes = len(dy), self._num_output, math.prod(dy.shape[2:])
            args = (dy, out, *(np.int32(size) for size in sizes))
            self._kernels.launch("conv_bias_gradient", self._num_output, args, _SUMMING)
