"""Local response normalisation across channels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel
from caffepy.cpu._powers import powers

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["LRN"]

Shape = tuple[int, ...]

# Positions of a plane that are worked on together: long rows that are read ahead, few enough to stay in the L2 cache.
_BLOCK = 4096


class LRN:
    """``y = x / s^beta``, ``s[c] = k + alpha / size * sum of x[j]^2`` over the ``size`` channels j around c.

    ``dx[c] = dy[c] / s[c]^beta - 2 alpha beta / size * x[c] * sum of dy[j] * x[j] / s[j]^(beta + 1)`` over the same
    channels; x (N, C, H, W). Nothing is kept for backward: s is computed again, in less time than it takes to read.
    Sources: Krizhevsky et al., NIPS 2012, section 3.3, which has alpha for alpha / size; Caffe's lrn_layer.cpp.

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
        self._window = 1

    def plan(self, x_shape: Shape) -> None:
        """Reserve rows of channels for each thread."""
        if x_shape != self._shape:
            self._shape = x_shape
            # A window that reaches all channels from each of them adds up no more where it is made wider.
            self._window = min(self._size, max(2 * x_shape[1] - 1, 1))
            # Where images are fewer than threads, these share the positions.
            parts = -(-self._workers.threads // max(x_shape[0], 1))
            self._block = max(1, min(_BLOCK, -(-math.prod(x_shape[2:]) // parts)))
            self._memory()

    def _memory(self) -> Array:
        """For each thread a row to work in, squares and ratios of a window's channels, powers of half of it."""
        return self._backend.scratch((self._workers.threads, 2 + 2 * self._window + self._window // 2, _BLOCK))

    def _planes(self, array: Array) -> Array:
        return array.reshape(*self._shape[:2], math.prod(self._shape[2:]))

    def forward(self, x: Array, out: Array) -> None:
        """``out`` may not be ``x``."""
        planes, y, memory = self._planes(x), self._planes(out), self._memory()
        numbers = self._window, self._alpha, self._beta, self._k
        self._workers.run(
            len(planes) * -(-planes.shape[2] // self._block),
            lambda first, last, worker: _forward(first, last, self._block, planes, *numbers, memory[worker], y),
        )

    def backward(self, x: Array, dy: Array, out: Array) -> None:
        """Of the last `forward`; ``out`` may be ``dy``."""
        planes, grads, dx, memory = self._planes(x), self._planes(dy), self._planes(out), self._memory()
        numbers = self._window, self._alpha, self._beta, self._k, self._factor
        self._workers.run(
            len(dx), lambda first, last, worker: _backward(first, last, planes, grads, *numbers, memory[worker], dx)
        )


@kernel
def _window_sum(rows: Array, factor: float, offset: float, out: Array) -> None:
    """out = offset + factor * sum of ``rows``, added afresh: a running sum loses digits where values differ in size."""
    count = np.uintp(out.size)
    if len(rows) == 5:
        a, b, c, d, e = rows[0], rows[1], rows[2], rows[3], rows[4]
        for p in range(count):
            out[p] = offset + factor * (a[p] + b[p] + c[p] + d[p] + e[p])
        return
    for p in range(count):
        out[p] = rows[0, p]
    for row in rows[1:]:
        for p in range(count):
            out[p] += row[p]
    for p in range(count):
        out[p] = offset + factor * out[p]


# Channel by channel. Those of a window are kept in a ring of as many rows: number c in row c modulo size, after which
# the ring holds the window around channel c - half. Before the first channel and after the last it holds zeros.
@kernel
def _scale(x: Array, n: int, begin: int, c: int, alpha: float, k: float, squares: Array, s: Array) -> None:
    """Take channel c into the ring of squares; s is then that of channel c - half."""
    count = np.uintp(s.size)
    square = squares[c % len(squares)]
    if c < x.shape[1]:
        values = x[n, c, begin:]
        # An unsigned index cannot be negative: no test for wrapping round, and the loops use the vector units.
        for p in range(count):
            square[p] = values[p] * values[p]
    else:
        square[:] = 0
    _window_sum(squares, alpha, k, s)


@kernel
def _forward(
    first: int, last: int, block: int, x: Array, size: int, alpha: float, beta: float, k: float, memory: Array, y: Array
) -> None:
    """Blocks ``first`` to ``last`` of positions, counted through all images."""
    channels, places = x.shape[1:]
    half, blocks = size // 2, -(-places // block)
    squares = memory[1 : size + 1]
    for number in range(first, last):
        n, begin = number // blocks, number % blocks * block
        end = min(begin + block, places)
        count = np.uintp(end - begin)
        s = memory[0, : end - begin]
        squares[:] = 0
        for c in range(channels + half):
            _scale(x, n, begin, c, alpha, k, squares, s)
            if c < half:
                continue
            values, result = x[n, c - half, begin:end], y[n, c - half, begin:end]
            if beta == 0.75:
                for p in range(count):
                    root = np.sqrt(s[p])
                    result[p] = values[p] / (root * np.sqrt(root))
            else:
                powers(s, beta, result)
                for p in range(count):
                    result[p] = values[p] / result[p]


@kernel
def _backward(
    first: int,
    last: int,
    x: Array,
    dy: Array,
    size: int,
    alpha: float,
    beta: float,
    k: float,
    factor: float,
    memory: Array,
    dx: Array,
) -> None:
    channels, places = x.shape[1:]
    half = size // 2
    squares, ratios, kept = memory[1 : size + 1], memory[size + 1 : 2 * size + 1], memory[2 * size + 1 :]
    for n in range(first, last):
        for begin in range(0, places, _BLOCK):
            end = min(begin + _BLOCK, places)
            count = np.uintp(end - begin)
            s = memory[0, : end - begin]
            squares[:] = 0
            ratios[:] = 0
            for c in range(half, channels + 2 * half):
                ratio = ratios[c % size, : end - begin]
                if c < channels + half:
                    if c == half:
                        for before in range(half):
                            _scale(x, n, begin, before, alpha, k, squares, s)
                    _scale(x, n, begin, c, alpha, k, squares, s)
                    value, grad = x[n, c - half, begin:end], dy[n, c - half, begin:end]
                    _ratio(value, grad, s, beta, ratio, kept[c % len(kept)])
                else:
                    ratio[:] = 0
                if c < 2 * half:
                    continue
                # The ring of ratios now holds the window around this channel.
                e = c - 2 * half
                _window_sum(ratios, factor, x.dtype.type(0), s)
                value, grad, result = x[n, e, begin:end], dy[n, e, begin:end], dx[n, e, begin:end]
                part = kept[(c - half) % len(kept)]
                for p in range(count):
                    part[p] = grad[p] * part[p] - value[p] * s[p]
                # dx may be dy: loops that write one array and read another that overlaps do without the vector units.
                for p in range(count):
                    result[p] = part[p]


@kernel
def _ratio(x: Array, dy: Array, s: Array, beta: float, ratio: Array, power: Array) -> None:
    """power = s^-beta, ratio = dy x s^-(beta + 1)."""
    count = np.uintp(s.size)
    one = s.dtype.type(1)
    if beta == 0.75:
        for p in range(count):
            inverse = one / np.sqrt(s[p])
            power[p] = inverse * np.sqrt(inverse)
            s[p] = inverse * inverse
        for p in range(count):
            ratio[p] = dy[p] * x[p] * power[p] * s[p]
    else:
        powers(s, beta, power)
        for p in range(count):
            power[p] = one / power[p]
        for p in range(count):
            ratio[p] = dy[p] * x[p] * power[p] / s[p]
