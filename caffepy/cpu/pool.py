"""Pooling by the maximum or the mean of each window."""

from __future__ import annotations

import numpy as np

from caffepy.backend import Array
from caffepy.cpu._jit import kernel
from caffepy.cpu._planes import Planes, Shape, planes, send_back

__all__ = ["AvePool", "MaxPool"]


class MaxPool(Planes):
    """``y = max of x over the window``; padding is no value. The first of equal maxima gets the gradient.

    Caffe's pooling_layer.cpp. A window of nothing above -FLT_MAX, or of NaN only, gives -FLT_MAX and has no gradient,
    as there.

    Args:
        backend: the CPU.
        kernel, stride, pad: height and width.
    """

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Make room for the places of the maxima."""
        if self._changed(x_shape, y_shape):
            self._argmax = self._backend.empty(y_shape, np.int32)

    def forward(self, x: Array, out: Array, mask: Array | None = None) -> None:
        """``mask``, of y's shape, gets the index of each maximum in its plane."""
        images, y, argmax = planes(x), planes(out), planes(self._argmax)
        self._workers.run(
            len(y), lambda first, last, worker: _max_forward(first, last, images, self._window, y, argmax)
        )
        if mask is not None:
            mask[...] = self._argmax

    def backward(self, dy: Array, out: Array) -> None:
        """``out``, of x's shape, is overwritten."""
        grads, dx, argmax = planes(dy), planes(out), planes(self._argmax)
        self._workers.run(len(dx), lambda first, last, worker: send_back(first, last, grads, argmax, dx))


class AvePool(Planes):
    """``y = sum of x over the window / size of the window``, the size clipped to the padded image (Caffe's rule).

    Args:
        backend: the CPU.
        kernel, stride, pad: height and width.
    """

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Nothing to prepare."""

    def forward(self, x: Array, out: Array) -> None:
        """``out`` is overwritten."""
        images, y = planes(x), planes(out)
        self._workers.run(len(y), lambda first, last, worker: _ave_forward(first, last, images, self._window, y))

    def backward(self, dy: Array, out: Array) -> None:
        """``out``, of x's shape, is overwritten."""
        grads, dx = planes(dy), planes(out)
        self._workers.run(len(dx), lambda first, last, worker: _ave_backward(first, last, grads, self._window, dx))


@kernel
def _max_forward(first: int, last: int, x: Array, window: Array, y: Array, argmax: Array) -> None:
    height, width = x.shape[1:]
    lowest = x.dtype.type(-np.finfo(np.float32).max)
    for plane in range(first, last):
        for i in range(y.shape[1]):
            top = i * window[1, 0] - window[2, 0]
            bottom = min(top + window[0, 0], height)
            top = max(top, 0)
            for j in range(y.shape[2]):
                left = j * window[1, 1] - window[2, 1]
                right = min(left + window[0, 1], width)
                left = max(left, 0)
                best = lowest
                place = -1
                for row in range(top, bottom):
                    for column in range(left, right):
                        # An unsigned index cannot be negative: numba adds no test for wrapping round.
                        value = x[plane, np.uintp(row), np.uintp(column)]
                        if value > best:
                            best = value
                            place = row * width + column
                y[plane, i, j] = best
                argmax[plane, i, j] = place


@kernel
def _ave_forward(first: int, last: int, x: Array, window: Array, y: Array) -> None:
    height, width = x.shape[1:]
    for plane in range(first, last):
        for i in range(y.shape[1]):
            top = i * window[1, 0] - window[2, 0]
            bottom = min(top + window[0, 0], height + window[2, 0])
            for j in range(y.shape[2]):
                left = j * window[1, 1] - window[2, 1]
                right = min(left + window[0, 1], width + window[2, 1])
                total = x.dtype.type(0)
                for row in range(max(top, 0), min(bottom, height)):
                    for column in range(max(left, 0), min(right, width)):
                        total += x[plane, np.uintp(row), np.uintp(column)]
                y[plane, i, j] = total / x.dtype.type((bottom - top) * (right - left))


@kernel
def _ave_backward(first: int, last: int, dy: Array, window: Array, dx: Array) -> None:
    height, width = dx.shape[1:]
    for plane in range(first, last):
        dx[plane] = 0
        for i in range(dy.shape[1]):
            top = i * window[1, 0] - window[2, 0]
            bottom = min(top + window[0, 0], height + window[2, 0])
            for j in range(dy.shape[2]):
                left = j * window[1, 1] - window[2, 1]
                right = min(left + window[0, 1], width + window[2, 1])
                share = dy[plane, i, j] / dx.dtype.type((bottom - top) * (right - left))
                for row in range(max(top, 0), min(bottom, height)):
                    for column in range(max(left, 0), min(right, width)):
                        dx[plane, np.uintp(row), np.uintp(column)] += share
