"""Batch normalisation: each channel brought to mean 0 and variance 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["BatchNorm"]


class BatchNorm:
    """``y = (x - mean) / sqrt(var + eps)`` for each channel of (outer, channels, inner).

    Mean and variance are those of the batch (`forward`, `backward`) or given (`forward_global`, `backward_global`).
    Sums are in float64, so they are as good for a million values as for ten. Sources: Ioffe and Szegedy, arXiv
    1502.03167; Caffe's batch_norm_layer.cpp.

    Args:
        backend: the CPU.
        eps: added to the variance.
    """

    def __init__(self, backend: Backend, eps: float) -> None:
        self._backend = backend
        self._workers = cast("CpuBackend", backend).workers
        self._eps = float(eps)
        self._shape = (0, 0, 0)
        self._global_stats = True
        self._factor = np.empty(0)
        self._normal = backend.empty((0, 0, 0))

    def plan(self, shape: tuple[int, int, int], global_stats: bool) -> None:
        """Reserve a factor for each channel and, unless ``global_stats``, the normalised values for `backward`."""
        if (shape, global_stats) == (self._shape, self._global_stats):
            return
        self._shape, self._global_stats = shape, global_stats
        self._factor = np.empty(shape[1])
        self._normal = self._backend.empty((0, 0, 0) if global_stats else shape)

    def forward(self, x: Array, mean: Array, var: Array, out: Array) -> None:
        """Write the batch's ``mean`` and its biased ``var``, both (channels,), and normalise by them.

        ``out`` may be ``x``: what backward needs is kept here.
        """
        x3, out3 = x.reshape(self._shape), out.reshape(self._shape)

        def part(begin: int, end: int, worker: int) -> None:
            _forward(begin, end, x3, self._eps, mean, var, self._factor, self._normal, out3)

        self._workers.run(self._shape[1], part)

    def forward_global(self, x: Array, mean: Array, var: Array, out: Array) -> None:
        """Normalise by given ``mean`` and ``var``, both (channels,); ``out`` may be ``x``."""
        x3, out3 = x.reshape(self._shape), out.reshape(self._shape)

        def part(begin: int, end: int, worker: int) -> None:
            _forward_global(begin, end, x3, self._eps, mean, var, self._factor, out3)

        self._workers.run(self._shape[1], part)

    def backward(self, dy: Array, out: Array) -> None:
        """``out = (dy - mean(dy) - y * mean(dy * y)) / sqrt(var + eps)`` of the last `forward`; may be ``dy``."""
        dy3, out3 = dy.reshape(self._shape), out.reshape(self._shape)

        def part(begin: int, end: int, worker: int) -> None:
            _backward(begin, end, dy3, self._factor, self._normal, out3)

        self._workers.run(self._shape[1], part)

    def backward_global(self, dy: Array, out: Array) -> None:
        """``out = dy / sqrt(var + eps)`` of the last `forward_global`; ``out`` may be ``dy``."""
        dy3, out3 = dy.reshape(self._shape), out.reshape(self._shape)

        def part(begin: int, end: int, worker: int) -> None:
            _backward_global(begin, end, dy3, self._factor, out3)

        self._workers.run(self._shape[1], part)


@kernel
def _forward(
    begin: int, end: int, x: Array, eps: float, mean: Array, var: Array, factor: Array, normal: Array, out: Array
) -> None:
    outer, _, inner = x.shape
    count = outer * inner
    for c in range(begin, end):
        total = 0.0
        for n in range(outer):
            for i in range(inner):
                total += np.float64(x[n, c, i])
        centre = total / count
        squares = 0.0
        for n in range(outer):
            for i in range(inner):
                squares += (np.float64(x[n, c, i]) - centre) ** 2
        mean[c] = centre
        var[c] = squares / count
        scale = 1 / np.sqrt(squares / count + eps)
        factor[c] = scale
        for n in range(outer):
            for i in range(inner):
                value = (x[n, c, i] - centre) * scale
                normal[n, c, i] = value
                out[n, c, i] = value


@kernel
def _forward_global(
    begin: int, end: int, x: Array, eps: float, mean: Array, var: Array, factor: Array, out: Array
) -> None:
    outer, _, inner = x.shape
    for c in range(begin, end):
        centre = np.float64(mean[c])
        scale = 1 / np.sqrt(np.float64(var[c]) + eps)
        factor[c] = scale
        for n in range(outer):
            for i in range(inner):
                out[n, c, i] = (x[n, c, i] - centre) * scale


@kernel
def _backward(begin: int, end: int, dy: Array, factor: Array, normal: Array, out: Array) -> None:
    outer, _, inner = dy.shape
    count = outer * inner
    for c in range(begin, end):
        total, product = 0.0, 0.0
        for n in range(outer):
            for i in range(inner):
                total += np.float64(dy[n, c, i])
                product += np.float64(dy[n, c, i]) * np.float64(normal[n, c, i])
        mean, slope = total / count, product / count
        for n in range(outer):
            for i in range(inner):
                out[n, c, i] = (dy[n, c, i] - mean - normal[n, c, i] * slope) * factor[c]


@kernel
def _backward_global(begin: int, end: int, dy: Array, factor: Array, out: Array) -> None:
    outer, _, inner = dy.shape
    for c in range(begin, end):
        for n in range(outer):
            for i in range(inner):
                out[n, c, i] = dy[n, c, i] * factor[c]
