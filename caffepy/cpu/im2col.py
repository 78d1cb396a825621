"""Images laid out in columns, one for each place of a window."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._unfold import fold_2d, fold_nd, unfold_2d, unfold_nd

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
        window = np.array([kernel, stride, pad, dilation], np.int64)
        if window.shape[1] == 1:
            # One axis is the second of two.
            window = np.concatenate([np.array([[1], [1], [0], [1]], np.int64), window], axis=1)
        self._window = window
        self._shapes: tuple[Shape, Shape] = ((), ())

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Note the shapes."""
        if (x_shape, y_shape) == self._shapes:
            return
        self._shapes = (x_shape, y_shape)
        lead = (1,) if len(x_shape) == 3 else ()
        self._x_spatial = np.array(lead + x_shape[2:], np.int64)
        self._y_spatial = np.array(lead + y_shape[2:], np.int64)
        self._flat = len(self._x_spatial) == 2
        plane = lead + x_shape[2:] if self._flat else (math.prod(x_shape[2:]),)
        self._image = (x_shape[0], x_shape[1], *plane)
        self._cols = (y_shape[0], y_shape[1], math.prod(y_shape[2:]))

    def forward(self, x: Array, out: Array) -> None:
        """``out`` is overwritten and may not be ``x``."""
        images, cols = x.reshape(self._image), out.reshape(self._cols)

        def part(first: int, last: int, worker: int) -> None:
            for n in range(first, last):
                if self._flat:
                    height, width = self._y_spatial
                    unfold_2d(images[n], self._window, height, width, 0, cols[n])
                else:
                    unfold_nd(images[n], self._x_spatial, self._y_spatial, self._window, 0, cols[n])

        self._workers.run(len(images), part)

    def backward(self, dy: Array, out: Array) -> None:
        """``out``, of x's shape, is overwritten with the sums of what came from each element."""
        images, cols = out.reshape(self._image), dy.reshape(self._cols)

        def part(first: int, last: int, worker: int) -> None:
            for n in range(first, last):
                if self._flat:
                    height, width = self._y_spatial
                    fold_2d(cols[n], self._window, height, width, images[n])
                else:
                    fold_nd(cols[n], self._x_spatial, self._y_spatial, self._window, images[n])

        self._workers.run(len(images), part)
