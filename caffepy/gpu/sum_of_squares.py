"""The sum of squares of an array, whose root is the L2 norm."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._kernels import THREADS

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["SumOfSquares"]

_WARP = 32
# Enough to keep memory busy; what they leave, one warp adds.
_MOST_BLOCKS = 512


class SumOfSquares:
    """``sum(x^2)``, added in float64 and the same for every run; x (N,)."""

    def __init__(self, backend: Backend) -> None:
        self._gpu = cast("GpuBackend", backend)
        self._kernels = self._gpu.kernels("sum_of_squares")
        self._blocks = 0
        self._parts: Array = None
        self._total: Array = self._gpu.zeros((1,), np.float64)

    def plan(self, count: int) -> None:
        """Take the number of elements."""
        blocks = max(1, min(-(-count // THREADS), _MOST_BLOCKS))
        if blocks != self._blocks:
            self._blocks = blocks
            self._parts = self._gpu.empty((blocks * THREADS // _WARP,), np.float64)

    def forward(self, x: Array) -> float:
        """``sum(x^2)`` as a Python number: waits for the device."""
        self._kernels.launch("sum_of_squares_parts", self._blocks, (x, self._parts, x.size))
        self._kernels.launch("sum_of_squares_total", 1, (self._parts, self._total, len(self._parts)), _WARP)
        return float(self._gpu.to_host(self._total)[0])
