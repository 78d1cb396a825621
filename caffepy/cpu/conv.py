"""Convolution, by the way that takes the fewest multiplications for the shapes at hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from caffepy.backend import Array, Backend
from caffepy.cpu._bias import sum_channels
from caffepy.cpu._columns import Columns
from caffepy.cpu._conv_choice import Convolution, choose
from caffepy.cpu._winograd import Winograd

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["Conv"]

Shape = tuple[int, ...]


class Conv:
    """Cross-correlation with groups, in any number of spatial axes; x (N, C, *spatial), y (N, num_output, *output)::

        y[n, m, p] = b[m] + sum over c, k of w[m, c, k] * x[n, c, p * stride - pad + k * dilation]

    with c over the channels of m's group; w is (num_output, C / group, *kernel). `plan` chooses, for each pass, between
    `Columns`, which does any convolution, and `Winograd`; by shapes alone, so that a run's bits do not depend on what
    else the machine does.

    Attributes:
        epilogue: where it is not None, ``(scale, shift, slope)``: `forward` then gives, without another pass over y,
            ``f(scale * y + shift)`` with y before its bias, f(v) = v where v > 0, else v * slope. scale and shift are
            (num_output,); with None for them y is as above. `caffepy.net.fusion` sets it.

    Args:
        backend: the CPU.
        num_output: channels of y.
        kernel, stride, pad, dilation: one number for each spatial axis.
        group: channels of x and y fall into this many groups, convolved by themselves.
    """

    def __init__(
        self, backend: Backend, num_output: int, kernel: Shape, stride: Shape, pad: Shape, dilation: Shape, group: int
    ) -> None:
        self._backend = cast("CpuBackend", backend)
        self._num_output = num_output
        self._window = kernel, stride, pad, dilation
        self._group = group
        self._columns = Columns(backend, num_output, kernel, stride, pad, dilation, group)
        self.epilogue: tuple[Array | None, Array | None, float] | None = None
        self._shapes: tuple[Shape, Shape] = ((), ())

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Choose how to go through images of ``x_shape``; reserves memory for it."""
        if (x_shape, y_shape) == self._shapes:
            return
        self._shapes = (x_shape, y_shape)
        kernel, stride, pad, dilation = self._window
        shape = Convolution(x_shape, y_shape, kernel, stride, pad, dilation, self._group)
        self._forward, self._backward_data, self._backward_filter = (
            tiles and Winograd(self._backend, tiles) for tiles in choose(shape, self._backend)
        )
        if not (self._forward and self._backward_data and self._backward_filter):
            self._columns.plan(x_shape, y_shape)

    def forward(self, x: Array, w: Array, b: Array | None, out: Array) -> None:
        """``out`` is overwritten and may not be ``x``; ``b`` (num_output,) or None."""
        scale, shift, slope = self.epilogue or (None, None, 1.0)
        shift = b if shift is None else shift
        if self._forward is None:
            self._columns.forward(x, w, shift, out, scale, slope)
        else:
            self._forward.forward(x, w, False, shift, out, scale, slope)

    def backward_data(self, dy: Array, w: Array, out: Array) -> None:
        """``out`` (N, C, *spatial) is overwritten."""
        if self._backward_data is None:
            self._columns.backward_data(dy, w, out)
        else:
            self._backward_data.forward(dy, w, True, None, out)

    def backward_filter(self, x: Array, dy: Array, out: Array) -> None:
        """Adds to ``out``, of w's shape."""
        (self._backward_filter or self._columns).backward_filter(x, dy, out)

    def backward_bias(self, dy: Array, out: Array) -> None:
        """Adds to ``out`` (num_output,)."""
        grads = dy.reshape(len(dy), self._num_output, math.prod(dy.shape[2:]))
        self._backend.workers.run(self._num_output, lambda first, last, worker: sum_channels(first, last, grads, out))
