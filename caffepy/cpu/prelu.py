"""Rectified linear units whose slope for negative values is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["PReLU"]

Shape = tuple[int, int, int]


class PReLU:
    """``y = x`` where x > 0, else ``w[c] * x``; x, y (N, C, inner), w (C,), or of one element for all channels.

    NaN stays NaN. Source: Caffe's prelu_layer.cpp.

    Args:
        backend: the CPU.
        shared: whether all channels have one slope.
    """

    def __init__(self, backend: Backend, shared: bool) -> None:
        self._workers = cast("CpuBackend", backend).workers
        self._shared = shared
        self._shape: Shape = (0, 0, 0)
        self._totals = np.empty(0)

    def plan(self, shape: Shape) -> None:
        """Reserve a sum for each channel."""
        if len(self._totals) != shape[1]:
            self._totals = np.empty(shape[1])
        self._shape = shape

    def _channels(self) -> int:
        # Plane number p has slope p modulo this.
        return 1 if self._shared else self._shape[1]

    def _planes(self, array: Array) -> Array:
        return array.reshape(self._shape[0] * self._shape[1], self._shape[2])

    def forward(self, x: Array, w: Array, out: Array) -> None:
        """``out`` may be ``x``."""
        planes, y, slopes, channels = self._planes(x), self._planes(out), w.reshape(-1), self._channels()
        self._workers.run(len(planes), lambda first, last, worker: _forward(first, last, planes, slopes, channels, y))

    def backward_data(self, x: Array, dy: Array, w: Array, out: Array) -> None:
        """``out = dy`` where x > 0, else ``w[c] * dy``; ``out`` may be ``dy``."""
        planes, grads, dx = self._planes(x), self._planes(dy), self._planes(out)
        slopes, channels = w.reshape(-1), self._channels()
        self._workers.run(
            len(planes), lambda first, last, worker: _backward(first, last, planes, grads, slopes, channels, dx)
        )

    def backward_filter(self, x: Array, dy: Array, out: Array) -> None:
        """Adds the sum of ``x * dy`` where x <= 0 to ``out``, of w's shape."""
        images, grads, totals = x.reshape(self._shape), dy.reshape(self._shape), self._totals
        self._workers.run(len(totals), lambda first, last, worker: _sum(first, last, images, grads, totals))
        dw = out.reshape(-1)
        dw += totals.sum() if self._shared else totals


@kernel
def _forward(first: int, last: int, x: Array, w: Array, channels: int, y: Array) -> None:
    for p in range(first, last):
        slope = w[p % channels]
        for i in range(x.shape[1]):
            value = x[p, i]
            y[p, i] = value if value > 0 else slope * value


@kernel
def _backward(first: int, last: int, x: Array, dy: Array, w: Array, channels: int, dx: Array) -> None:
    for p in range(first, last):
        slope = w[p % channels]
        for i in range(x.shape[1]):
            dx[p, i] = dy[p, i] if x[p, i] > 0 else slope * dy[p, i]


@kernel
def _sum(first: int, last: int, x: Array, dy: Array, totals: Array) -> None:
    for c in range(first, last):
        total = 0.0
        for n in range(x.shape[0]):
            part = x.dtype.type(0)
            for i in range(x.shape[2]):
                # NaN is not above zero, and shows.
                part += x.dtype.type(0) if x[n, c, i] > 0 else x[n, c, i] * dy[n, c, i]
            total += part
        totals[c] = total
