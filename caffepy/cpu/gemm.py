"""Matrix products of the fully connected layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._bias import add_to_rows, sum_rows

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["InnerProduct"]

# Rows of a gradient of w that are computed, and then added, together: they stay in the cache in between.
_ROWS = 128


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
        self._columns = 0

    def plan(self, x_shape: tuple[int, int], y_shape: tuple[int, int]) -> None:
        """Reserve room for rows of a gradient before they are added."""
        columns = y_shape[1] if self._transpose else x_shape[1]
        if columns != self._columns:
            self._columns = columns
            self._memory()
            self._totals()

    def _memory(self) -> Array:
        return self._backend.scratch((self._workers.threads, _ROWS, self._columns))

    def _totals(self) -> Array:
        return self._backend.scratch((self._workers.threads, _ROWS), np.float64)

    def forward(self, x: Array, w: Array, b: Array | None, out: Array) -> None:
        """``out`` is overwritten."""
        self._multiply(x, w if self._transpose else w.T, out)
        if b is not None:
            self._workers.run(len(out), lambda first, last, worker: add_to_rows(first, last, b, out))

    def backward_data(self, dy: Array, w: Array, out: Array) -> None:
        """``out`` (M, K) is overwritten."""
        self._multiply(dy, w.T if self._transpose else w, out)

    def _multiply(self, left: Array, weights: Array, out: Array) -> None:
        """``out = left weights``, the larger of the two split over threads, so that it is read once."""

        def columns(first: int, last: int, worker: int) -> None:
            np.matmul(left, weights[:, first:last], out=out[:, first:last])

        def rows(first: int, last: int, worker: int) -> None:
            np.matmul(left[first:last], weights, out=out[first:last])

        rows_are_more = len(out) > out.shape[1]
        self._workers.run(max(out.shape), rows if rows_are_more else columns)

    def backward_filter(self, x: Array, dy: Array, out: Array) -> None:
        """Adds to ``out``, of w's shape."""
        left, right = (x, dy) if self._transpose else (dy, x)
        memory = self._memory()

        def part(first: int, last: int, worker: int) -> None:
            for begin in range(first, last, _ROWS):
                end = min(begin + _ROWS, last)
                product = memory[worker, : end - begin]
                np.matmul(left[:, begin:end].T, right, out=product)
                rows = out[begin:end]
                np.add(rows, product, out=rows)

        self._workers.run(len(out), part)

    def backward_bias(self, dy: Array, out: Array) -> None:
        """Adds to ``out`` (N,)."""
        totals = self._totals()
        self._workers.run(len(out), lambda first, last, worker: sum_rows(first, last, dy, totals[worker], out))
