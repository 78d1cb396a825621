"""Local response normalisation across channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["LRN", "powers"]

Shape = tuple[int, ...]

# Positions of a plane that are worked on together: with some hundred channels they stay in the L2 cache.
_BLOCK = 256


class LRN:
    """``y = x / s^beta``, ``s[c] = k + alpha / size * sum of x[j]^2`` over the ``size`` channels j around c.

    ``dx[c] = dy[c] / s[c]^beta - 2 alpha beta / size * x[c] * sum of dy[j] * y[j] / s[j]`` over the same channels;
    x (N, C, H, W). Sources: Krizhevsky et al., NIPS 2012, section 3.3, which has alpha for alpha / size; Caffe's
    lrn_layer.cpp.

    Args:
        backend: the CPU.
        size: of the window, odd.
        alpha, beta, k: as above.
    """

    def __init__(self, backend: Backend, size: int, alpha: float, beta: float, k: float) -> None:
        self._backend = backend
        self._workers = cast("CpuBackend", backend).workers
        self._size = size
        kind = backend.dtype.type
        self._alpha, self._beta, self._k = kind(alpha / size), kind(beta), kind(k)
        self._factor = kind(2 * alpha * beta / size)
        self._shape: Shape = ()

    def plan(self, x_shape: Shape) -> None:
        """Make room for s, which backward reads."""
        if x_shape != self._shape:
            self._shape = x_shape
            self._scale = self._backend.empty((x_shape[0], x_shape[1], int(np.prod(x_shape[2:]))))
            self._memory()

    def _memory(self) -> Array:
        # Rows before the first and after the last channel, so that a window needs no bounds, and two for results.
        rows = self._shape[1] + self._size + 1
        return self._backend.scratch((self._workers.threads, rows, _BLOCK))

    def forward(self, x: Array, out: Array) -> None:
        """``out`` may not be ``x``."""
        planes, y = x.reshape(self._scale.shape), out.reshape(self._scale.shape)
        memory = self._memory()
        self._workers.run(
            len(planes),
            lambda first, last, worker: _forward(
                first, last, planes, self._size, self._alpha, self._beta, self._k, memory[worker], self._scale, y
            ),
        )

    def backward(self, x: Array, y: Array, dy: Array, out: Array) -> None:
        """Of the last `forward`; ``out`` may be ``dy``."""
        shape = self._scale.shape
        memory = self._memory()
        planes = (x.reshape(shape), y.reshape(shape), dy.reshape(shape))
        dx = out.reshape(shape)
        self._workers.run(
            len(dx),
            lambda first, last, worker: _backward(
                first, last, *planes, self._scale, self._size, self._factor, self._beta, memory[worker], dx
            ),
        )


@kernel
def powers(scale: Array, beta: float, out: Array) -> None:
    """out = scale^beta; by square roots, several times as fast, for AlexNet's 0.75 and for 0.5."""
    count = np.uintp(out.size)
    if beta == 0.75:
        for p in range(count):
            root = np.sqrt(scale[p])
            out[p] = root * np.sqrt(root)
    elif beta == 0.5:
        for p in range(count):
            out[p] = np.sqrt(scale[p])
    else:
        for p in range(count):
            out[p] = scale[p] ** beta


@kernel
def _window_sum(rows: Array, first: int, size: int, total: Array) -> None:
    """Rows ``first`` to ``first + size - 1``, added afresh: a running sum loses digits where values differ in size."""
    count = np.uintp(total.size)
    row = rows[first]
    for p in range(count):
        total[p] = row[p]
    for j in range(1, size):
        row = rows[first + j]
        for p in range(count):
            total[p] += row[p]


@kernel
def _forward(
    first: int,
    last: int,
    x: Array,
    size: int,
    alpha: float,
    beta: float,
    k: float,
    memory: Array,
    scale: Array,
    y: Array,
) -> None:
    channels, places = x.shape[1:]
    half = size // 2
    squares, total = memory[1:], memory[0]
    squares[:half] = 0
    squares[channels + half :] = 0
    for n in range(first, last):
        for begin in range(0, places, _BLOCK):
            end = min(begin + _BLOCK, places)
            # An unsigned index cannot be negative: no test for wrapping round, and the loops use the vector units.
            count = np.uintp(end - begin)
            for c in range(channels):
                values, square = x[n, c, begin:end], squares[c + half]
                for p in range(count):
                    square[p] = values[p] * values[p]
            for c in range(channels):
                values, s, result = x[n, c, begin:end], scale[n, c, begin:end], y[n, c, begin:end]
                _window_sum(squares, c, size, total[: end - begin])
                for p in range(count):
                    s[p] = k + alpha * total[p]
                powers(s, beta, result)
                for p in range(count):
                    result[p] = values[p] / result[p]


@kernel
def _backward(
    first: int,
    last: int,
    x: Array,
    y: Array,
    dy: Array,
    scale: Array,
    size: int,
    factor: float,
    beta: float,
    memory: Array,
    dx: Array,
) -> None:
    channels, places = x.shape[1:]
    half = size // 2
    ratios, total, power = memory[2:], memory[0], memory[1]
    ratios[:half] = 0
    ratios[channels + half :] = 0
    for n in range(first, last):
        for begin in range(0, places, _BLOCK):
            end = min(begin + _BLOCK, places)
            count = np.uintp(end - begin)
            for c in range(channels):
                ratio = ratios[c + half]
                grad, value, s = dy[n, c, begin:end], y[n, c, begin:end], scale[n, c, begin:end]
                for p in range(count):
                    ratio[p] = grad[p] * value[p] / s[p]
            for c in range(channels):
                grad, value, result = dy[n, c, begin:end], x[n, c, begin:end], dx[n, c, begin:end]
                _window_sum(ratios, c, size, total[: end - begin])
                powers(scale[n, c, begin:end], beta, power[: end - begin])
                for p in range(count):
                    result[p] = grad[p] / power[p] - factor * value[p] * total[p]
