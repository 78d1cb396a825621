"""Pooling: the maximum, the mean, or a random value of each window."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend, Counter
from caffepy.cpu._jit import kernel
from caffepy.cpu._philox import philox_block

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["AvePool", "MaxPool", "StochasticPool"]

Pair = tuple[int, int]
Shape = tuple[int, ...]


class _Planes:
    """What the three share: windows over planes of x (N, C, H, W) and y (N, C, h, w)."""

    def __init__(self, backend: Backend, kernel: Pair, stride: Pair, pad: Pair) -> None:
        self._backend = backend
        self._workers = cast("CpuBackend", backend).workers
        self._window = np.array([kernel, stride, pad], np.int64)
        self._shapes: tuple[Shape, Shape] = ((), ())

    def _changed(self, x_shape: Shape, y_shape: Shape) -> bool:
        changed = (x_shape, y_shape) != self._shapes
        self._shapes = (x_shape, y_shape)
        return changed


def _planes(x: Array) -> Array:
    return x.reshape(-1, *x.shape[2:])


class MaxPool(_Planes):
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
        planes, y, argmax = _planes(x), _planes(out), _planes(self._argmax)
        self._workers.run(
            len(y), lambda first, last, worker: _max_forward(first, last, planes, self._window, y, argmax)
        )
        if mask is not None:
            mask[...] = self._argmax

    def backward(self, dy: Array, out: Array) -> None:
        """``out``, of x's shape, is overwritten."""
        grads, dx, argmax = _planes(dy), _planes(out), _planes(self._argmax)
        self._workers.run(len(dx), lambda first, last, worker: _max_backward(first, last, grads, argmax, dx))


class AvePool(_Planes):
    """``y = sum of x over the window / size of the window``, the size clipped to the padded image (Caffe's rule).

    Args:
        backend: the CPU.
        kernel, stride, pad: height and width.
    """

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Nothing to prepare."""

    def forward(self, x: Array, out: Array) -> None:
        """``out`` is overwritten."""
        planes, y = _planes(x), _planes(out)
        self._workers.run(len(y), lambda first, last, worker: _ave_forward(first, last, planes, self._window, y))

    def backward(self, dy: Array, out: Array) -> None:
        """``out``, of x's shape, is overwritten."""
        grads, dx = _planes(dy), _planes(out)
        self._workers.run(len(dx), lambda first, last, worker: _ave_backward(first, last, grads, self._window, dx))


class StochasticPool(_Planes):
    """A value of the window drawn with probability ``x / sum x``, or in tests the mean under it, ``sum x^2 / sum x``.

    x must not be negative. Output ``i`` draws word ``i`` of the pass, ``u`` in [0, 1), and takes the first value at
    which the running sum exceeds ``u * sum x``. Sources: Zeiler and Fergus, ICLR 2013; Caffe's pooling_layer.cu.

    Args:
        backend: the CPU.
        kernel, stride: height and width; there is no padding.
        key: of the stream of random words.
        counter: the pass that the net is in.
        train: draw, rather than take the mean.
    """

    def __init__(
        self, backend: Backend, kernel: Pair, stride: Pair, key: tuple[int, int], counter: Counter, train: bool
    ) -> None:
        super().__init__(backend, kernel, stride, (0, 0))
        self._key = (np.uint64(key[0]), np.uint64(key[1]))
        self._counter = counter
        self._train = train

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Make room for the places of the values drawn."""
        if self._changed(x_shape, y_shape) and self._train:
            self._drawn = self._backend.empty(y_shape, np.int32)

    def forward(self, x: Array, out: Array) -> None:
        """``out`` is overwritten."""
        planes, y = _planes(x), _planes(out)
        if self._train:
            drawn, step = _planes(self._drawn), np.uint64(self._counter.value)
            self._workers.run(
                len(y),
                lambda first, last, worker: _draw(first, last, planes, self._window, step, *self._key, y, drawn),
            )
        else:
            self._workers.run(len(y), lambda first, last, worker: _expect(first, last, planes, self._window, y))

    def backward(self, dy: Array, out: Array) -> None:
        """The whole gradient goes to the value drawn; ``out`` is overwritten. Only after a pass that drew."""
        grads, dx, drawn = _planes(dy), _planes(out), _planes(self._drawn)
        self._workers.run(len(dx), lambda first, last, worker: _max_backward(first, last, grads, drawn, dx))


@kernel
def _max_forward(first: int, last: int, x: Array, window: Array, y: Array, argmax: Array) -> None:
    height, width = x.shape[1:]
    lowest = -np.finfo(np.float32).max
    for plane in range(first, last):
        image = x[plane]
        for i in range(y.shape[1]):
            top = i * window[1, 0] - window[2, 0]
            bottom = min(top + window[0, 0], height)
            top = max(top, 0)
            for j in range(y.shape[2]):
                left = j * window[1, 1] - window[2, 1]
                right = min(left + window[0, 1], width)
                left = max(left, 0)
                best = x.dtype.type(lowest)
                place = -1
                for row in range(top, bottom):
                    for column in range(left, right):
                        if image[row, column] > best:
                            best = image[row, column]
                            place = row * width + column
                y[plane, i, j] = best
                argmax[plane, i, j] = place


@kernel
def _max_backward(first: int, last: int, dy: Array, argmax: Array, dx: Array) -> None:
    for plane in range(first, last):
        grad = dx[plane].reshape(-1)
        grad[:] = 0
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                place = argmax[plane, i, j]
                if place >= 0:
                    grad[place] += dy[plane, i, j]


@kernel
def _ave_forward(first: int, last: int, x: Array, window: Array, y: Array) -> None:
    height, width = x.shape[1:]
    for plane in range(first, last):
        image = x[plane]
        for i in range(y.shape[1]):
            top = i * window[1, 0] - window[2, 0]
            bottom = min(top + window[0, 0], height + window[2, 0])
            for j in range(y.shape[2]):
                left = j * window[1, 1] - window[2, 1]
                right = min(left + window[0, 1], width + window[2, 1])
                total = x.dtype.type(0)
                for row in range(max(top, 0), min(bottom, height)):
                    for column in range(max(left, 0), min(right, width)):
                        total += image[row, column]
                y[plane, i, j] = total / x.dtype.type((bottom - top) * (right - left))


@kernel
def _ave_backward(first: int, last: int, dy: Array, window: Array, dx: Array) -> None:
    height, width = dx.shape[1:]
    for plane in range(first, last):
        grad = dx[plane]
        grad[:] = 0
        for i in range(dy.shape[1]):
            top = i * window[1, 0] - window[2, 0]
            bottom = min(top + window[0, 0], height + window[2, 0])
            for j in range(dy.shape[2]):
                left = j * window[1, 1] - window[2, 1]
                right = min(left + window[0, 1], width + window[2, 1])
                share = dy[plane, i, j] / dx.dtype.type((bottom - top) * (right - left))
                for row in range(max(top, 0), min(bottom, height)):
                    for column in range(max(left, 0), min(right, width)):
                        grad[row, column] += share


@kernel
def _draw(
    first: int,
    last: int,
    x: Array,
    window: Array,
    step: np.uint64,
    key0: np.uint64,
    key1: np.uint64,
    y: Array,
    drawn: Array,
) -> None:
    height, width = x.shape[1:]
    for plane in range(first, last):
        image = x[plane]
        for i in range(y.shape[1]):
            top = i * window[1, 0]
            bottom = min(top + window[0, 0], height)
            for j in range(y.shape[2]):
                left = j * window[1, 1]
                right = min(left + window[0, 1], width)
                total = x.dtype.type(0)
                for row in range(top, bottom):
                    for column in range(left, right):
                        total += image[row, column]
                index = (plane * y.shape[1] + i) * y.shape[2] + j
                word = philox_block(np.uint64(index // 4), step, key0, key1)[index % 4]
                threshold = x.dtype.type(np.float64(word >> np.uint64(8)) * 2.0**-24) * total
                sum_so_far = x.dtype.type(0)
                # The last positive value where rounding keeps the sum below; the first of a window of zeros, as Caffe.
                place = top * width + left if top < bottom and left < right else -1
                found = False
                for row in range(top, bottom):
                    for column in range(left, right):
                        sum_so_far += image[row, column]
                        if not found and image[row, column] > 0:
                            place = row * width + column
                            found = sum_so_far > threshold
                drawn[plane, i, j] = place
                y[plane, i, j] = image[place // width, place % width] if place >= 0 else 0


@kernel
def _expect(first: int, last: int, x: Array, window: Array, y: Array) -> None:
    height, width = x.shape[1:]
    smallest = np.finfo(np.float32).tiny
    for plane in range(first, last):
        image = x[plane]
        for i in range(y.shape[1]):
            top = i * window[1, 0]
            for j in range(y.shape[2]):
                left = j * window[1, 1]
                # Caffe starts its sum here so that a window of zeros is no division by zero.
                total = x.dtype.type(smallest)
                squares = x.dtype.type(0)
                for row in range(top, min(top + window[0, 0], height)):
                    for column in range(left, min(left + window[0, 1], width)):
                        value = image[row, column]
                        total += value
                        squares += value * value
                y[plane, i, j] = squares / total
