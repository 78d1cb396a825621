"""The sum of squares of an array, whose root is the L2 norm."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._chunks import CHUNK, chunks_of
from caffepy.cpu._jit import kernel

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["SumOfSquares"]


class SumOfSquares:
    """``sum(x^2)``, added in float64 and the same for any number of threads; x (N,)."""

    def __init__(self, backend: Backend) -> None:
        self._workers = cast("CpuBackend", backend).workers
        self._sums = np.empty(0)

    def plan(self, count: int) -> None:
        """Take the number of elements."""
        if len(self._sums) != chunks_of(count):
            self._sums = np.empty(chunks_of(count))

    def forward(self, x: Array) -> float:
        """``sum(x^2)`` as a Python number: waits for the device."""

        def part(first: int, last: int, worker: int) -> None:
            _sum_of_squares(first, last, CHUNK, x, self._sums)

        self._workers.run(len(self._sums), part)
        return float(self._sums.sum())


@kernel
def _sum_of_squares(first: int, last: int, size: int, x: Array, out: Array) -> None:
    for chunk in range(first, last):
        total = 0.0
        # An unsigned index cannot be negative, so numba adds no test for wrapping round and the loop vectorises.
        for i in range(np.uintp(chunk * size), np.uintp(min((chunk + 1) * size, x.size))):
            total += np.float64(x[i]) * np.float64(x[i])
        out[chunk] = total
