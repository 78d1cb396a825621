"""The largest values along an axis, and where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._kernels import blocks_for

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["ArgMax"]

Shape = tuple[int, int, int]

_WARP = 32


class ArgMax:
    """The ``top_k`` largest of x (outer, dim, inner) along its middle axis, the largest first.

    Of equal values the last is first, as in Caffe's argmax_layer.cpp. NaN counts as the largest of all, so that it
    shows.

    Args:
        backend: a GPU.
        top_k: how many, at most dim.
    """

    def __init__(self, backend: Backend, top_k: int) -> None:
        self._gpu = cast("GpuBackend", backend)
        self._kernels = self._gpu.kernels("arg_max")
        self._top_k = top_k
        self._shape: Shape = (0, 0, 0)
        self._places: Array = None
        self._values: Array = None

    def plan(self, shape: Shape) -> None:
        """Reserve room for places and values, (outer, top_k, inner)."""
        if shape == self._shape:
            return
        self._shape = shape
        found = (shape[0], self._top_k, shape[2])
        self._places = self._gpu.empty(found, np.int64)
        self._values = self._gpu.empty(found)

    def forward(self, x: Array, places: Array | None, values: Array | None) -> None:
        """Into ``places`` the indices along the axis, into ``values`` what is there; both (outer, top_k, inner)."""
        outer, dim, inner = self._shape
        if not outer * inner:
            return
        found = (x, self._places, self._values)
        if inner == 1:
            self._kernels.launch("arg_max_rows", blocks_for(outer * _WARP), (*found, dim, self._top_k, outer))
        else:
            self._kernels.elements("arg_max_columns", outer * inner, *found, dim, inner, self._top_k)
        if places is not None:
            places[...] = self._places
        if values is not None:
            values[...] = self._values
