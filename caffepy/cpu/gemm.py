"""Matrix products of the fully connected layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["InnerProduct"]


class InnerProduct:
    """``y = x w^T + b``, or ``x w + b`` where ``transpose``; x (M, K), y (M, N), w (N, K) or (K, N), b (N,).

    Args:
        backend: the CPU.
        transpose: w is (K, N).
    """

    def __init__(self, backend: Backend, transpose: bool) -> None:
        self._backend = backend
        self._workers = cast("CpuBackend", backend).workers
        self._transpose = transpose
        self._weights: tuple[int, int] = (0, 0)

    def plan(self, x_shape: tuple[int, int], y_shape: tuple[int, int]) -> None:
        """Reserve room for a gradient of w before it is added."""
        n, k = y_shape[1], x_shape[1]
        weights = (k, n) if self._transpose else (n, k)
        if weights != self._weights:
            self._weights = weights
            self._backend.scratch(weights)

    def forward(self, x: Array, w: Array, b: Array | None, out: Array) -> None:
        """``out`` is overwritten."""
        np.matmul(x, w if self._transpose else w.T, out=out)
        if b is not None:
            np.add(out, b, out=out)

    def backward_data(self, dy: Array, w: Array, out: Array) -> None:
        """``out`` (M, K) is overwritten."""
        np.matmul(dy, w.T if self._transpose else w, out=out)

    def backward_filter(self, x: Array, dy: Array, out: Array) -> None:
        """Adds to ``out``, of w's shape."""
        product = self._backend.scratch(self._weights)
        if self._transpose:
            np.matmul(x.T, dy, out=product)
        else:
            np.matmul(dy.T, x, out=product)
        # NumPy adds on one thread; rows are shared so that all of memory's bandwidth is used.
        self._workers.run(len(out), lambda first, last, worker: _add(out[first:last], product[first:last]))

    def backward_bias(self, dy: Array, out: Array) -> None:
        """Adds to ``out`` (N,)."""
        for row in dy:
            out += row


def _add(out: Array, product: Array) -> None:
    np.add(out, product, out=out)
