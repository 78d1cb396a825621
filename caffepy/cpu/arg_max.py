"""The largest values along an axis, and where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["ArgMax"]

Shape = tuple[int, int, int]


class ArgMax:
    """The ``top_k`` largest of x (outer, dim, inner) along its middle axis, the largest first.

    Of equal values the last is first, as in Caffe's argmax_layer.cpp. NaN counts as the largest of all, so that it
    shows.

    Args:
        backend: the CPU.
        top_k: how many, at most dim.
    """

    def __init__(self, backend: Backend, top_k: int) -> None:
        self._backend = backend
        self._workers = cast("CpuBackend", backend).workers
        self._top_k = top_k
        self._shape: Shape = (0, 0, 0)

    def plan(self, shape: Shape) -> None:
        """Reserve room for places and values, (outer, top_k, inner)."""
        if shape == self._shape:
            return
        self._shape = shape
        found = (shape[0], self._top_k, shape[2])
        self._places = self._backend.empty(found, np.int64)
        self._values = self._backend.empty(found)

    def forward(self, x: Array, places: Array | None, values: Array | None) -> None:
        """Into ``places`` the indices along the axis, into ``values`` what is there; both (outer, top_k, inner)."""
        x3 = x.reshape(self._shape)
        self._workers.run(len(x3), lambda first, last, worker: _forward(first, last, x3, self._places, self._values))
        if places is not None:
            places[...] = self._places
        if values is not None:
            values[...] = self._values


@kernel
def _forward(first: int, last: int, x: Array, places: Array, values: Array) -> None:
    _, dim, inner = x.shape
    top_k = places.shape[1]
    for n in range(first, last):
        for i in range(inner):
            # Insertion into a list that is sorted; the least falls off its end.
            for j in range(dim):
                value = x[n, j, i]
                nan = value != value
                k = min(j, top_k)
                while k > 0 and (nan or value >= values[n, k - 1, i]):
                    if k < top_k:
                        values[n, k, i] = values[n, k - 1, i]
                        places[n, k, i] = places[n, k - 1, i]
                    k -= 1
                if k < top_k:
                    values[n, k, i] = value
                    places[n, k, i] = j
