"""Sums that are noted as a run goes on, and read some time later."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Array, Backend

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["Notes"]

_WARP = 32


class Notes:
    """A table with a row for each `forward`, the sums of its arrays; the last rows are kept.

    Sums are added in float64 and are of the array's own type: beyond its range they are infinite.

    The device counts the rows, so that a captured graph notes another one each time.

    Args:
        backend: a GPU.
    """

    def __init__(self, backend: Backend) -> None:
        self._gpu = cast("GpuBackend", backend)
        self._rows, self._columns = 1, 0
        self._notes: Array = self._gpu.zeros((1,), np.float64)

    def plan(self, rows: int, columns: int) -> None:
        """Keep ``rows`` rows of ``columns`` numbers; what was noted before is forgotten."""
        self._rows, self._columns = rows, columns
        # How many rows there were, then the table: all are fetched at once.
        self._notes = self._gpu.zeros((1 + rows * columns,), np.float64)

    def forward(self, *x: Array) -> None:
        """Add up each array, of any shape, one for each column."""
        for column, values in enumerate(x):
            self._gpu.kernels("notes", values.dtype.name).launch(
                "notes_add", 1, (values, self._notes, self._rows, self._columns, column, values.size), _WARP
            )

    def fetch(self, count: int) -> NDArray[np.float64]:
        """The last ``count`` rows in their order, (count, columns); waits for the device."""
        notes = self._gpu.to_host(self._notes)
        end = int(notes[0])
        rows: NDArray[np.float64] = notes[1:].reshape(self._rows, self._columns)
        return rows[np.arange(end - count, end) % self._rows]
