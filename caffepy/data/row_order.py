"""Which rows of several files a data layer shows as its n-th and following."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from caffepy.random import Stream

__all__ = ["RowOrder"]


class RowOrder:
    """Maps ordinals, counted from the start of training, to rows of files that have ``counts`` rows.

    In order: file after file, and begun again. Shuffled, as Caffe's HDF5Data does it: in each epoch the files in
    another order, and the rows of each file in another order; a file's rows stay together. A function of the ordinal
    alone: epoch ``e`` takes permutation ``e`` of Stream(seed, layer_name, "files") and, for file ``f``, permutation
    ``e`` of Stream(seed, layer_name, "rows", f).

    Args:
        counts: rows in each file.
        seed: the run's random_seed.
        layer_name: of the data layer.
        shuffle: see above.
    """

    def __init__(self, counts: Sequence[int], seed: int, layer_name: str, *, shuffle: bool = False) -> None:
        self._counts = np.asarray(counts, np.int64)
        #: Rows of all files.
        self.count = int(self._counts.sum())
        self._files = Stream(seed, layer_name, "files")
        self._rows = [Stream(seed, layer_name, "rows", f) for f in range(len(counts))] if shuffle else None
        self._epoch: tuple[int, NDArray[np.int64]] = (-1, np.arange(len(counts), dtype=np.int64))
        self._permutation: tuple[int, int, NDArray[np.int64]] = (-1, -1, np.empty(0, np.int64))

    def runs(self, ordinal: int, count: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Rows ``ordinal`` to ``ordinal + count - 1``, in order, cut where they go on in another file: (file, rows)."""
        if self._rows is None and len(self._counts) == 1 and count >= 2 * self.count:
            # Else a file of few rows is taken once for each time that a batch goes through it.
            yield 0, np.arange(ordinal, ordinal + count, dtype=np.int64) % self.count
            return
        while count:
            epoch, place = divmod(ordinal, self.count)
            files = self._files_of(epoch)
            ends = np.cumsum(self._counts[files])
            turn = int(np.searchsorted(ends, place, side="right"))
            file, begin = int(files[turn]), place - int(ends[turn] - self._counts[files[turn]])
            length = min(count, int(ends[turn]) - place)
            rows = np.arange(begin, begin + length, dtype=np.int64)
            yield file, rows if self._rows is None else self._rows_of(epoch, file)[rows]
            ordinal += length
            count -= length

    def _files_of(self, epoch: int) -> NDArray[np.int64]:
        if self._rows is not None and self._epoch[0] != epoch:
            self._epoch = (epoch, self._files.permutation(len(self._counts), epoch))
        return self._epoch[1]

    def _rows_of(self, epoch: int, file: int) -> NDArray[np.int64]:
        assert self._rows is not None
        if self._permutation[:2] != (epoch, file):
            self._permutation = (epoch, file, self._rows[file].permutation(int(self._counts[file]), epoch))
        return self._permutation[2]
