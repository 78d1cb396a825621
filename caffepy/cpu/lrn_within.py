"""Local response normalisation within each channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel
from caffepy.cpu._powers import powers
from caffepy.cpu.pool import AvePool

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["LRNWithin"]

Shape = tuple[int, ...]


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
        self._workers = cast("CpuBackend", backend).workers
        pad = (size - 1) // 2
        self._pool = AvePool(backend, (size, size), (1, 1), (pad, pad))
        kind = backend.dtype.type
        self._alpha, self._beta, self._factor = kind(alpha), kind(beta), kind(2 * alpha * beta)
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
        rows, scale, y = self._rows(x), self._rows(self._scale), self._rows(out)
        self._workers.run(len(y), lambda first, last, worker: _squares(first, last, rows, y))
        self._pool.forward(out, self._scale)
        self._workers.run(
            len(y), lambda first, last, worker: _forward(first, last, rows, self._alpha, self._beta, scale, y)
        )

    def backward(self, x: Array, dy: Array, out: Array) -> None:
        """Of the last `forward`; ``out`` may be ``dy``."""
        part, pooled = self._backend.scratch((2, *self._shape))
        rows, grad, ratio, total, scale, dx = map(self._rows, (x, dy, part, pooled, self._scale, out))
        self._workers.run(
            len(dx), lambda first, last, worker: _ratio(first, last, rows, grad, scale, self._beta, ratio)
        )
        self._pool.backward(part, pooled)
        self._workers.run(
            len(dx),
            lambda first, last, worker: _backward(
                first, last, rows, grad, total, scale, self._factor, self._beta, ratio, dx
            ),
        )

    def _rows(self, array: Array) -> Array:
        """One row a plane."""
        return array.reshape(-1, self._shape[2] * self._shape[3])


@kernel
def _squares(first: int, last: int, x: Array, out: Array) -> None:
    for plane in range(first, last):
        values, result = x[plane], out[plane]
        for p in range(np.uintp(values.size)):
            result[p] = values[p] * values[p]


@kernel
def _forward(first: int, last: int, x: Array, alpha: float, beta: float, scale: Array, y: Array) -> None:
    for plane in range(first, last):
        values, s, result = x[plane], scale[plane], y[plane]
        count = np.uintp(s.size)
        for p in range(count):
            s[p] = 1 + alpha * s[p]
        powers(s, beta, result)
        for p in range(count):
            result[p] = values[p] / result[p]


@kernel
def _ratio(first: int, last: int, x: Array, dy: Array, scale: Array, beta: float, out: Array) -> None:
    """dy x s^-(beta + 1)."""
    for plane in range(first, last):
        values, grad, s, result = x[plane], dy[plane], scale[plane], out[plane]
        powers(s, beta, result)
        for p in range(np.uintp(grad.size)):
            result[p] = grad[p] * values[p] / (result[p] * s[p])


@kernel
def _backward(
    first: int,
    last: int,
    x: Array,
    dy: Array,
    pooled: Array,
    scale: Array,
    factor: float,
    beta: float,
    memory: Array,
    dx: Array,
) -> None:
    for plane in range(first, last):
        values, grad, total, part, result = x[plane], dy[plane], pooled[plane], memory[plane], dx[plane]
        powers(scale[plane], beta, part)
        for p in range(np.uintp(grad.size)):
            part[p] = grad[p] / part[p] - factor * values[p] * total[p]
        # dx may be dy: loops that write one array and read another that overlaps do without the vector units.
        for p in range(np.uintp(grad.size)):
            result[p] = part[p]
