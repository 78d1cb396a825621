"""Images laid out in columns, one for each place of a window."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from caffepy.backend import Array, Backend
from caffepy.cpu._grid import Grid

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["Im2col"]

Shape = tuple[int, ...]


class Im2col:
    """``y[n, (c, k), p] = x[n, c, p * stride - pad + k * dilation]``, 0 outside the image.

    x (N, C, *spatial), y (N, C * prod(kernel), *output), any number of spatial axes, at least one; channels of y run
    over channels of x and, fastest, taps k. Source: Caffe's im2col.cpp.

    Args:
        backend: the CPU.
        kernel, stride, pad, dilation: one number for each spatial axis.
    """

    def __init__(self, backend: Backend, kernel: Shape, stride: Shape, pad: Shape, dilation: Shape) -> None:
        self._workers = cast("CpuBackend", backend).workers
        self._grid = Grid(kernel, stride, pad, dilation)
        self._shapes: tuple[Shape, Shape] = ((), ())

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Note the shapes."""
        if (x_shape, y_shape) == self._shapes:
            return
        self._shapes = (x_shape, y_shape)
        self._grid.plan(x_shape, y_shape)
        self._cols = (y_shape[0], y_shape[1], math.prod(y_shape[2:]))

    def forward(self, x: Array, out: Array) -> None:
        """``out`` is overwritten and may not be ``x``."""
        images, cols = self._grid.planes(x), out.reshape(self._cols)

        def part(first: int, last: int, worker: int) -> None:
            for n in range(first, last):
                self._grid.unfold(images, n, n + 1, cols[n])

        self._workers.run(len(images), part)

    def backward(self, dy: Array, out: Array) -> None:
        """``out``, of x's shape, is overwritten with the sums of what came from each element."""
        images, cols = self._grid.planes(out), dy.reshape(self._cols)

        def part(first: int, last: int, worker: int) -> None:
            for n in range(first, last):
                self._grid.fold(cols[n], n, n + 1, images)

        self._workers.run(len(images), part)
