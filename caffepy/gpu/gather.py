"""Rows of a matrix picked by number, and put back."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._whole import BadNumber

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["Gather"]

_WARP = 32


class Gather:
    """``y[m] = x[index[m]]``, rows of x (rows, N); a row may be picked several times, or never.

    The index is set by `set_index` or `set_selected`, and kept for any number of forward and backward calls.

    Args:
        backend: a GPU.
    """

    def __init__(self, backend: Backend) -> None:
        self._gpu = gpu = cast("GpuBackend", backend)
        self._kernels = gpu.kernels("gather")
        self._memory: Array = gpu.empty((0,), np.int64)
        self._index = self._memory
        self._rows = self._picks = -1
        self._picked: Array = gpu.zeros((1,), np.int64)
        self._ends: Array = None
        self._next: Array = None
        self._bad = BadNumber(gpu)

    def plan(self, rows: int, picks: int) -> None:
        """Reserve room for ``picks`` numbers of ``rows`` rows."""
        if rows != self._rows:
            self._ends = self._gpu.empty((rows, 2), np.int32)
        if picks != self._picks:
            self._memory = self._gpu.empty((picks,), np.int64)
            self._next = self._gpu.empty((picks,), np.int32)
        self._rows, self._picks = rows, picks

    def set_index(self, numbers: Array, whole: bool) -> None:
        """Pick the rows ``numbers`` (picks,), in the backend's dtype; fractions are cut off.

        Instead of a number that is not in 0..rows-1 (or, with ``whole``, has a fraction) row 0 is picked: see
        `first_bad`.
        """
        self._index = self._memory
        self._kernels.elements(
            "gather_set_index", numbers.size, numbers, self._rows, np.int32(not whole), self._index, self._bad.record
        )

    def first_bad(self) -> tuple[int, float] | None:
        """Place and value of the first number that `set_index` could not use; None if all were good.

        Of all calls since the last look; the value to a float's precision. Waits for the device.
        """
        return self._bad.fetch()

    def set_selected(self, selector: Array) -> int:
        """Pick, in order, each row whose number in ``selector`` (rows,) is not 0; gives how many. ``picks`` is rows.

        Waits for the device: shapes depend on the number.
        """
        self._kernels.launch("gather_set_selected", 1, (selector, self._memory, self._picked, selector.size), _WARP)
        picked = int(self._gpu.to_host(self._picked)[0])
        self._index = self._memory[:picked]
        return picked

    def forward(self, x: Array, out: Array) -> None:
        """``out`` (picked, N) is overwritten and may not be ``x`` (rows, N)."""
        self._kernels.elements("gather_forward", out.size, x, self._index, out.shape[1], out)

    def backward(self, dy: Array, out: Array) -> None:
        """Adds row m of ``dy`` (picked, N) to row index[m] of ``out`` (rows, N), m rising."""
        if not dy.size:
            return
        picked = len(self._index)
        self._ends.fill(-1)
        self._kernels.elements("gather_ends", picked, self._index, self._ends)
        self._kernels.elements("gather_chain", picked, self._index, self._ends, self._next)
        self._kernels.elements(
            "gather_backward", dy.size, dy, self._index, self._ends, self._next, out.shape[1], out, picked
        )
