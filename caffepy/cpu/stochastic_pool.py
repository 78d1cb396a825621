"""Pooling by a random value of each window."""

from __future__ import annotations

import numpy as np

from caffepy.backend import Array, Backend, Counter
from caffepy.cpu._jit import kernel
from caffepy.cpu._philox import philox_block
from caffepy.cpu._planes import Pair, Planes, Shape, planes, send_back

__all__ = ["StochasticPool"]


class StochasticPool(Planes):
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
        images, y = planes(x), planes(out)
        if self._train:
            drawn, step = planes(self._drawn), np.uint64(self._counter.value)
            self._workers.run(
                len(y),
                lambda first, last, worker: _draw(first, last, images, self._window, step, *self._key, y, drawn),
            )
        else:
            self._workers.run(len(y), lambda first, last, worker: _expect(first, last, images, self._window, y))

    def backward(self, dy: Array, out: Array) -> None:
        """The whole gradient goes to the value drawn; ``out`` is overwritten. Only after a pass that drew."""
        grads, dx, drawn = planes(dy), planes(out), planes(self._drawn)
        self._workers.run(len(dx), lambda first, last, worker: send_back(first, last, grads, drawn, dx))


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
