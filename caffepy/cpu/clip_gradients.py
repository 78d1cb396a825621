"""The L2 norm of all gradients, and the factor that keeps it within a limit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._chunks import CHUNK, chunks_of
from caffepy.cpu._jit import kernel

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["ClipGradients"]


class ClipGradients:
    """``norm = sqrt(sum(dw^2))``; ``scale = (limit / norm where norm > limit, else 1) / passes``.

    The squares are added in float64, with the same result for any number of threads. dw (N,). Nothing is larger than
    a limit if it is NaN; a norm that is infinite gives 0. Source: Caffe's sgd_solver.cpp, ClipGradients and Normalize.

    Args:
        backend: the CPU.
    """

    def __init__(self, backend: Backend) -> None:
        self._workers = cast("CpuBackend", backend).workers
        self._sums = np.empty(0)

    def plan(self, count: int) -> None:
        """Take the number of elements."""
        if len(self._sums) != chunks_of(count):
            self._sums = np.empty(chunks_of(count))

    def forward(self, dw: Array, limit: float, passes: int, norm: Array, out: Array) -> None:
        """``norm`` (1,) is float64, and ``out`` (1,) the scale, of the backend's dtype."""

        def part(first: int, last: int, worker: int) -> None:
            _sum_of_squares(first, last, CHUNK, dw, self._sums)

        self._workers.run(len(self._sums), part)
        length = math.sqrt(self._sums.sum())
        norm[0] = length
        out[0] = (limit / length if length > limit else 1.0) / passes


@kernel
def _sum_of_squares(first: int, last: int, size: int, x: Array, out: Array) -> None:
    for chunk in range(first, last):
        total = 0.0
        # An unsigned index cannot be negative, so numba adds no test for wrapping round and the loop vectorises.
        for i in range(np.uintp(chunk * size), np.uintp(min((chunk + 1) * size, x.size))):
            total += np.float64(x[i]) * np.float64(x[i])
        out[chunk] = total
