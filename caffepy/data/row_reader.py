"""Batches of rows for a data layer, made one ahead by a thread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from caffepy.data.prefetch import Prefetcher
from caffepy.errors import DataError

__all__ = ["RowBatch", "RowReader", "Rows"]

_DEPTH = 2


class Rows(Protocol):
    """Rows by ordinal, as `caffepy.data.hdf5_rows.Hdf5Rows` gives them; used by one thread at a time."""

    @property
    def row_shapes(self) -> Sequence[tuple[int, ...]]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __len__(self) -> int: ...
    def take(self, ordinal: int, out: Sequence[NDArray[Any]]) -> None: ...
    def close(self) -> None: ...


class RowBatch(NamedTuple):
    """One array for each dataset, (N, ...)."""

    tops: list[NDArray[Any]]


class RowReader:
    """Makes the batches of one layer: batch ``step`` holds the rows of ordinals ``step * batch_size`` and on.

    Args:
        rows: what the rows come from; `close` closes it.
        batch_size: N, at least 1.
        where: file, line and name of the layer, put before messages.
    """

    #: Rows are not passed over.
    bad_records = 0

    def __init__(self, rows: Rows, batch_size: int, where: str = "") -> None:
        #: Of the arrays in a batch.
        self.shapes = [(batch_size, *shape) for shape in rows.row_shapes]
        #: How many there are to go through.
        self.records: int | None = len(rows)
        #: How many batches there are at most, the one in use included.
        self.depth = _DEPTH
        #: Bytes of all batches.
        self.held_bytes = self.depth * rows.dtype.itemsize * sum(math.prod(shape) for shape in self.shapes)
        self._rows = rows
        self._where = where
        shapes, dtype = self.shapes, rows.dtype

        def fill(batch: RowBatch, position: int, ordinal: int) -> None:
            rows.take(ordinal * batch_size, batch.tops)

        def allocate() -> RowBatch:
            return RowBatch([np.empty(shape, dtype) for shape in shapes])

        # To the prefetcher the whole batch is one record.
        self._prefetcher = Prefetcher(fill, None, batch_size=1, allocate=allocate, depth=self.depth, threads=1)

    @property
    def wait_seconds(self) -> float:
        """Seconds that `get` has waited for batches so far."""
        return self._prefetcher.wait_seconds

    def get(self, step: int) -> RowBatch:
        """The batch of ``step``, valid until the next `get`.

        Raises:
            DataError: rows that cannot be read.
        """
        try:
            return self._prefetcher.get(step)
        except DataError as error:
            raise DataError(f"{self._where}{error}") from error

    def close(self) -> None:
        """End the thread and let the files go."""
        self._prefetcher.close()
        self._rows.close()
