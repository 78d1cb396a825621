"""Rows of a matrix picked by number, and put back."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["Gather"]


class Gather:
    """``y[m] = x[index[m]]``, rows of x (rows, N); a row may be picked several times, or never.

    The index is set by `set_index` or `set_selected`, and kept for any number of forward and backward calls.

    Args:
        backend: the CPU.
    """

    def __init__(self, backend: Backend) -> None:
        self._workers = cast("CpuBackend", backend).workers
        self._memory = np.empty(0, np.int64)
        self._index = self._memory
        self._rows = 0
        self._numbers: Array = np.empty(0)
        self._bad = -1

    def plan(self, rows: int, picks: int) -> None:
        """Reserve room for ``picks`` numbers of ``rows`` rows."""
        self._rows = rows
        if len(self._memory) != picks:
            self._memory = np.empty(picks, np.int64)

    def set_index(self, numbers: Array, whole: bool) -> None:
        """Pick the rows ``numbers`` (picks,), in the backend's dtype; fractions are cut off.

        Instead of a number that is not in 0..rows-1 (or, with ``whole``, has a fraction) row 0 is picked: see
        `first_bad`.
        """
        self._index, self._numbers = self._memory, numbers.reshape(-1)
        self._bad = int(_set_index(self._numbers, self._rows, whole, self._index))

    def first_bad(self) -> tuple[int, float] | None:
        """Place and value of the first number that the last `set_index` could not use; None if all were good."""
        return None if self._bad < 0 else (self._bad, float(self._numbers[self._bad]))

    def set_selected(self, selector: Array) -> int:
        """Pick, in order, each row whose number in ``selector`` (rows,) is not 0; gives how many. ``picks`` is rows."""
        count = int(_set_selected(selector.reshape(-1), self._memory))
        self._index = self._memory[:count]
        return count

    def forward(self, x: Array, out: Array) -> None:
        """``out`` (picked, N) is overwritten and may not be ``x`` (rows, N)."""
        index = self._index
        self._workers.run(len(index), lambda first, last, worker: _forward(first, last, x, index, out))

    def backward(self, dy: Array, out: Array) -> None:
        """Adds row m of ``dy`` (picked, N) to row index[m] of ``out`` (rows, N), m rising."""
        index = self._index
        # Two rows of dy may go to one of out: threads take columns.
        self._workers.run(out.shape[1], lambda first, last, worker: _backward(first, last, dy, index, out))


@kernel
def _set_index(numbers: Array, rows: int, whole: bool, index: Array) -> int:
    bad = -1
    for m in range(len(numbers)):
        value = numbers[m]
        # NaN is in no range.
        if value >= 0 and value < rows and (not whole or value == np.floor(value)):
            index[m] = int(value)
        else:
            index[m] = 0
            bad = m if bad < 0 else bad
    return bad


@kernel
def _set_selected(selector: Array, index: Array) -> int:
    count = 0
    for row in range(len(selector)):
        if selector[row] != 0:
            index[count] = row
            count += 1
    return count


@kernel
def _forward(first: int, last: int, x: Array, index: Array, out: Array) -> None:
    for m in range(first, last):
        row = x[index[m]]
        for n in range(out.shape[1]):
            out[m, n] = row[n]


@kernel
def _backward(first: int, last: int, dy: Array, index: Array, out: Array) -> None:
    for m in range(len(index)):
        row = out[index[m]]
        for n in range(first, last):
            row[n] += dy[m, n]
