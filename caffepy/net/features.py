"""What chosen blobs of a net hold for each record of its data (Caffe's tools/extract_features.cpp)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from caffepy.errors import NetError, did_you_mean
from caffepy.net.epoch import find_epoch, label_name

if TYPE_CHECKING:
    from caffepy.net.net import Net

__all__ = ["Features", "Rows"]


@dataclass(frozen=True)
class Rows:
    """What one pass gave: by blob an array ``(n, ...)``, and labels ``(n,)`` where the net has them.

    The arrays are the blobs' own: they hold until the next pass.
    """

    blobs: dict[str, NDArray[Any]]
    labels: NDArray[Any] | None


class Features:
    """Passes over a net's data for the sake of some blobs.

    ::

        features = Features(net, ["fc7"])
        for rows in features:
            print(rows.blobs["fc7"].shape, rows.labels)

    Layers that the blobs do not need are not run. In-place layers after a blob's own change it, as in Caffe.

    Args:
        net: with its data and weights; made without ``share_memory``.
        blobs: names.
        batches: passes; 0 takes as many as show every record once, and leaves out what the last one shows again.

    Raises:
        NetError: no such blob, a blob without a row for each record, or data whose end is not known.
    """

    def __init__(self, net: Net, blobs: Sequence[str], batches: int = 0) -> None:
        self._net = net
        self.names = list(dict.fromkeys(blobs))
        for name in self.names:
            if name not in net.blobs:
                hint = did_you_mean(name, list(net.blobs))
                raise NetError(
                    f"Unknown feature blob name {name} in the network {net.name}.{hint} "
                    f"Its blobs: {', '.join(net.blobs)}."
                )
        if not self.names:
            raise NetError("no blob is named: give one or several, such as fc7,pool5.")
        self.label = label_name(net)
        self._epoch = None if batches else find_epoch(net)
        self.batches = batches or (self._epoch.batches if self._epoch else 0)
        wanted = {*self.names, self.label}
        self._last = max(i for i, entry in enumerate(net.entries) if wanted.intersection(entry.top_names))
        first = next((blob.shape[0] for entry in net.entries for blob in entry.top if blob.shape), 1)
        self._rows = first if self._epoch is None else self._epoch.batch
        self._check()

    @property
    def records(self) -> int:
        """How many rows there will be."""
        return self._rows * self.batches if self._epoch is None else self._epoch.records

    def _check(self) -> None:
        for name in self.names:
            shape = self._net.blobs[name].shape
            if shape[:1] != (self._rows,):
                raise NetError(
                    f"blob '{name}' is of shape {shape}: it has no row for each of the {self._rows} records of a batch."
                )

    def __iter__(self) -> Iterator[Rows]:
        host = self._net.backend.to_host
        for number in range(self.batches):
            self._net.run_forward(0, self._last)
            self._check()
            count = self._rows if self._epoch is None else self._epoch.new_rows(number)
            labels = None
            if self.label is not None:
                every = host(self._net.blobs[self.label].data)
                labels = every.reshape(-1)[:count] if every.size == self._rows else None
            yield Rows({name: np.asarray(host(self._net.blobs[name].data)[:count]) for name in self.names}, labels)
