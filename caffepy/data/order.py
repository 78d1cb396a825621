"""Which record of a database a data layer shows as its n-th."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from caffepy.random import Stream

__all__ = ["Order"]


class Order:
    """Maps record ordinals, counted from the start of training, to records of a database of ``count`` records.

    In order: record ``(ordinal + skip) mod count``. Shuffled: epoch ``e`` shows its records in the order of
    permutation ``e`` of Stream(seed, layer_name, "shuffle"), a new one each epoch. A function of the ordinal alone, so
    a resumed run goes on where it was.

    Args:
        count: records in the database, at least one.
        seed: the run's random_seed.
        layer_name: of the data layer.
        rand_skip: the skip is drawn from ``0 .. rand_skip - 1``; 0 skips nothing.
        shuffle: permute each epoch.
    """

    def __init__(self, count: int, seed: int, layer_name: str, *, rand_skip: int = 0, shuffle: bool = False) -> None:
        self.count = count
        self.skip = int(Stream(seed, layer_name, "rand_skip").bits(1)[0]) % rand_skip if rand_skip else 0
        self._shuffle = Stream(seed, layer_name, "shuffle") if shuffle else None
        self._epochs: dict[int, NDArray[np.int64]] = {}
        self._lock = threading.Lock()

    def record(self, ordinal: int) -> int:
        """The record shown as number ``ordinal``; may be called from several threads."""
        epoch, place = divmod(ordinal + self.skip, self.count)
        if self._shuffle is None:
            return place
        return int(self._permutation(self._shuffle, epoch)[place])

    def _permutation(self, stream: Stream, epoch: int) -> NDArray[np.int64]:
        with self._lock:
            known = self._epochs.get(epoch)
            if known is None:
                known = stream.permutation(self.count, epoch)
                self._epochs[epoch] = known
                # Batches made ahead straddle at most a few epochs; an older one is made again if a run is rewound.
                while len(self._epochs) > 4:
                    del self._epochs[next(iter(self._epochs))]
            return known
