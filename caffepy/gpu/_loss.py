"""Losses: one number, and how many labels it is of, summed over all threads of a kernel (_loss.cuh)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from caffepy.backend import Array
from caffepy.gpu._kernels import THREADS

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["LossSum"]

_WARP = 32
# So few elements one warp reads as fast as a second kernel starts.
_ONE_WARP = 8 * _WARP
_MOST_BLOCKS = 256


class LossSum:
    """The sums that the warps of a kernel leave, and their sum.

    Args:
        gpu: the backend.
        name: of the op's file.
        outputs: 1 for the sum, 2 to have the number of labels behind it.
    """

    def __init__(self, gpu: GpuBackend, name: str, outputs: int) -> None:
        self._gpu, self._outputs = gpu, outputs
        self._kernels, self._sum = gpu.kernels(name), gpu.kernels("_loss")
        self._count = self._blocks = -1
        self._threads = _WARP
        self._sums: Array = None
        self._counts: Array = None

    def plan(self, count: int) -> None:
        """For ``count`` elements, over which the kernel loops."""
        if count == self._count:
            return
        self._count = count
        self._threads = _WARP if count <= _ONE_WARP else THREADS
        self._blocks = 1 if count <= _ONE_WARP else min(-(-count // THREADS), _MOST_BLOCKS)
        warps = self._blocks * self._threads // _WARP
        self._sums = self._gpu.empty((warps,), np.float64)
        self._counts = self._gpu.empty((warps,), np.int64)

    def forward(self, function: str, out: Array, *args: Any) -> None:
        """Start ``function(*args, sums, counts, out, outputs, count)`` and add up what it leaves into ``out``."""
        outputs = np.int32(self._outputs)
        self._kernels.launch(
            function,
            self._blocks,
            (*args, self._sums, self._counts, out, outputs, self._count),
            self._threads,
        )
        if self._threads > _WARP:
            warps = len(self._sums)
            self._sum.launch("loss_sum", 1, (self._sums, self._counts, out, outputs, warps), _WARP)
