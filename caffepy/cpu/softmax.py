"""Softmax over the middle axis of (outer, classes, inner)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["Softmax"]


class Softmax:
    """``y[c] = exp(x[c] - max x) / sum_k exp(x[k] - max x)`` along the classes (Caffe's softmax_layer.cpp).

    Arrays are (outer, classes, inner); inner is 1 for a row of scores, height * width for a map of them.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._workers = cast("CpuBackend", backend).workers
        self._shape = (0, 0, 0)
        self._rows = backend.empty((0, 0, 0))

    def plan(self, shape: tuple[int, int, int]) -> None:
        """Reserve a row of maxima and one of sums for each thread."""
        if shape == self._shape:
            return
        self._shape = shape
        self._rows = self._backend.empty((self._backend.threads, 2, shape[2]))

    def forward(self, x: Array, out: Array) -> None:
        """``out`` may be ``x``."""
        x3, out3 = x.reshape(self._shape), out.reshape(self._shape)

        def part(begin: int, end: int, worker: int) -> None:
            _forward(begin, end, x3, self._rows[worker], out3)

        self._workers.run(self._shape[0], part)

    def backward(self, y: Array, dy: Array, out: Array) -> None:
        """``out[c] = y[c] * (dy[c] - sum_k dy[k] * y[k])``; ``out`` may be ``dy``, not ``y``."""
        y3, dy3, out3 = y.reshape(self._shape), dy.reshape(self._shape), out.reshape(self._shape)

        def part(begin: int, end: int, worker: int) -> None:
            _backward(begin, end, y3, dy3, self._rows[worker, 0], out3)

        self._workers.run(self._shape[0], part)


@kernel
def _forward(begin: int, end: int, x: Array, rows: Array, out: Array) -> None:
    _, classes, inner = x.shape
    highest, total = rows[0], rows[1]
    for n in range(begin, end):
        for i in range(inner):
            highest[i] = x[n, 0, i]
            total[i] = 0
        for c in range(1, classes):
            for i in range(inner):
                value = x[n, c, i]
                # A NaN among the scores must reach every probability, through its own exponential.
                if value > highest[i]:
                    highest[i] = value
        for c in range(classes):
            for i in range(inner):
                value = np.exp(x[n, c, i] - highest[i])
                out[n, c, i] = value
                total[i] += value
        for c in range(classes):
            for i in range(inner):
                out[n, c, i] /= total[i]


@kernel
def _backward(begin: int, end: int, y: Array, dy: Array, dot: Array, out: Array) -> None:
    _, classes, inner = y.shape
    for n in range(begin, end):
        for i in range(inner):
            dot[i] = 0
        for c in range(classes):
            for i in range(inner):
                dot[i] += y[n, c, i] * dy[n, c, i]
        for c in range(classes):
            for i in range(inner):
                out[n, c, i] = y[n, c, i] * (dy[n, c, i] - dot[i])
