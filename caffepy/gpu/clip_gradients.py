"""The L2 norm of all gradients, and the factor that keeps it within a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._kernels import THREADS

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["ClipGradients"]

_WARP = 32
# Enough to keep memory busy; what they leave, one warp adds.
_MOST_BLOCKS = 512


class ClipGradients:
    """``norm = sqrt(sum(dw^2))``; ``scale = (limit / norm where norm > limit, else 1) / passes``.

    The squares are added in float64, with the same result in every run. dw (N,). Nothing is larger than a limit if it
    is NaN; a norm that is infinite gives 0. Source: Caffe's sgd_solver.cpp, ClipGradients and Normalize.

    Args:
        backend: a GPU.
    """

    def __init__(self, backend: Backend) -> None:
        self._gpu = cast("GpuBackend", backend)
        self._kernels = self._gpu.kernels("clip_gradients")
        self._blocks = 0
        self._parts: Array = None

    def plan(self, count: int) -> None:
        """Take the number of elements."""
        blocks = max(1, min(-(-count // THREADS), _MOST_BLOCKS))
        if blocks != self._blocks:
            self._blocks = blocks
            self._parts = self._gpu.empty((blocks * THREADS // _WARP,), np.float64)

    def forward(self, dw: Array, limit: float, passes: int, norm: Array, out: Array) -> None:
        """``norm`` (1,) is float64, and ``out`` (1,) the scale, of the backend's dtype."""
        self._kernels.launch("clip_gradients_squares", self._blocks, (dw, self._parts, dw.size))
        args = (self._parts, len(self._parts), np.float64(limit), np.float64(passes), norm, out)
        self._kernels.launch("clip_gradients_scale", 1, args, _WARP)
