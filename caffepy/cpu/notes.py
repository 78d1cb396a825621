"""Sums that are noted as a run goes on, and read some time later."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Array, Backend

__all__ = ["Notes"]


class Notes:
    """A table with a row for each `forward`, the sums of its arrays; the last rows are kept.

    Sums are added in float64 and are of the array's own type: beyond its range they are infinite.

    Args:
        backend: the CPU.
    """

    def __init__(self, backend: Backend) -> None:
        self._table = np.zeros((1, 0))
        self._next = 0

    def plan(self, rows: int, columns: int) -> None:
        """Keep ``rows`` rows of ``columns`` numbers; what was noted before is forgotten."""
        self._table = np.zeros((rows, columns))
        self._next = 0

    def forward(self, *x: Array) -> None:
        """Add up each array, of any shape, one for each column."""
        row = self._table[self._next % len(self._table)]
        for column, values in enumerate(x):
            row[column] = values.dtype.type(values.sum(dtype=np.float64))
        self._next += 1

    def fetch(self, count: int) -> NDArray[np.float64]:
        """The last ``count`` rows in their order, (count, columns); waits for the device."""
        rows: NDArray[np.float64] = self._table[np.arange(self._next - count, self._next) % len(self._table)]
        return rows
