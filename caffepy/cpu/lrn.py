"""Local response normalisation, across channels and within them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel
from caffepy.cpu.pool import AvePool

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["LRN", "LRNWithin"]

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


class LRNWithin:
    """``y = x * (1 + alpha * m)^-beta``, m the mean of x^2 over the ``size x size`` window; x (N, C, H, W).

    The mean is Caffe's average pooling with pad (size - 1) / 2 and stride 1: zeros around the image count. k is not
    used, as in Caffe's lrn_layer.cpp.

    Args:
        backend: the CPU.
        size: of the window, odd.
        alpha, beta: as above.
    """

    def __init__(self, backend: Backend, size: int, alpha: float, beta: float) -> None:
        self._backend = backend
        pad = (size - 1) // 2
        self._pool = AvePool(backend, (size, size), (1, 1), (pad, pad))
        kind = backend.dtype.type
        self._alpha, self._beta = kind(alpha), kind(beta)
        self._shape: Shape = ()

    def plan(self, x_shape: Shape) -> None:
        """Make room for ``1 + alpha m``, which backward reads."""
        if x_shape != self._shape:
            self._shape = x_shape
            self._scale = self._backend.empty(x_shape)
            self._pool.plan(x_shape, x_shape)
            self._backend.scratch((2, *x_shape))

    def forward(self, x: Array, out: Array) -> None:
        """``out`` may not be ``x``."""
        scale = self._scale
        np.multiply(x, x, out=out)
        self._pool.forward(out, scale)
        np.multiply(scale, self._alpha, out=scale)
        np.add(scale, 1, out=scale)
        np.power(scale, -self._beta, out=out)
        np.multiply(out, x, out=out)

    def backward(self, x: Array, y: Array, dy: Array, out: Array) -> None:
        """Of the last `forward`; ``out`` may not be ``dy``."""
        part, pooled = self._backend.scratch((2, *self._shape))
        np.multiply(dy, y, out=part)
        np.divide(part, self._scale, out=part)
        self._pool.backward(part, pooled)
        np.multiply(pooled, x, out=pooled)
        np.multiply(pooled, -2 * self._alpha * self._beta, out=pooled)
        np.power(self._scale, -self._beta, out=out)
        np.multiply(out, dy, out=out)
        np.add(out, pooled, out=out)


@kernel
def _times_power(scale: Array, beta: float, y: Array) -> None:
    """``y *= scale^-beta``; AlexNet's 0.75 by two square roots, many times as fast."""
    if beta == 0.75:
        for p in range(np.uintp(y.size)):
            root = np.sqrt(scale[p])
            y[p] /= root * np.sqrt(root)
    else:
        for p in range(np.uintp(y.size)):
            y[p] *= scale[p] ** -beta


@kernel
def _sum_window(memory: Array, c: int, size: int, count: int) -> Array:
    """The sums over the ``size`` rows of the window of channel ``c``; made afresh for each channel, because a running
    sum loses digits where values differ in size."""
    total = memory[0, :count]
    total[:] = memory[c + 1, :count]
    for j in range(1, size):
        row = memory[c + 1 + j, :count]
        for p in range(np.uintp(count)):
            total[p] += row[p]
    return total


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
    # Row 0 is for sums; then come size // 2 rows of zeros, one for each channel, and zeros again.
    memory[:] = 0
    squares = memory[size // 2 + 1 :]
    for n in range(first, last):
        for begin in range(0, places, _BLOCK):
            end = min(begin + _BLOCK, places)
            for c in range(channels):
                row, square = x[n, c, begin:end], squares[c]
                for p in range(np.uintp(row.size)):
                    square[p] = row[p] * row[p]
            for c in range(channels):
                total = _sum_window(memory, c, size, end - begin)
                s, out, row = scale[n, c, begin:end], y[n, c, begin:end], x[n, c, begin:end]
                for p in range(np.uintp(s.size)):
                    s[p] = k + alpha * total[p]
                out[:] = row
                _times_power(s, beta, out)


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
    memory[:] = 0
    ratios = memory[size // 2 + 1 :]
    for n in range(first, last):
        for begin in range(0, places, _BLOCK):
            end = min(begin + _BLOCK, places)
            for c in range(channels):
                ratio, grad, out, s = ratios[c], dy[n, c, begin:end], y[n, c, begin:end], scale[n, c, begin:end]
                for p in range(np.uintp(grad.size)):
                    ratio[p] = grad[p] * out[p] / s[p]
            for c in range(channels):
                total = _sum_window(memory, c, size, end - begin)
                row, out = x[n, c, begin:end], dx[n, c, begin:end]
                out[:] = dy[n, c, begin:end]
                _times_power(scale[n, c, begin:end], beta, out)
                for p in range(np.uintp(row.size)):
                    out[p] -= factor * row[p] * total[p]
