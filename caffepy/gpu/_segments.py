"""Where the parameters lie in the flat buffers of all of them, on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import cupy
import numpy as np

from caffepy.backend import Array, Backend

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["Segments"]


class Segments:
    """The segments of the flat buffers, among which each thread finds its own (_segments.cuh).

    Args:
        backend: a GPU.
        name: of the op's file, whose kernel is ``NAME_update``.
    """

    def __init__(self, backend: Backend, name: str) -> None:
        self._gpu = cast("GpuBackend", backend)
        self._kernels, self._function = self._gpu.kernels(name), f"{name}_update"
        self._known: tuple[tuple[int, int, float, float], ...] = ()
        self._bounds: Array = ()
        self._mults: Array = ()
        self._open: Array = ()
        self._end = 0

    def plan(self, bounds: Sequence[tuple[int, int, float, float]]) -> None:
        """Take the parameters, each ``(begin, end, lr_mult, decay_mult)``; what lies between them is left alone."""
        if tuple(bounds) == self._known:
            return
        self._known = tuple(bounds)
        rows = sorted(row for row in self._known if row[0] < row[1])
        self._bounds = self._gpu.asarray(np.array([row[:2] for row in rows]).reshape(-1, 2), np.int64)
        # Of no elements where the update is to be left out.
        self._open = self._bounds if self._gpu.go is None else self._bounds.copy()
        sums = self._gpu.number(0).dtype
        self._mults = self._gpu.asarray(np.array([row[2:] for row in rows]).reshape(-1, 2), sums)
        self._end = rows[-1][1] if rows else 0

    def update(
        self, rate: Array, weight_decay: float, l1: bool, scale: Array, numbers: tuple[float, ...], *arrays: Array
    ) -> None:
        """Start ``NAME_update(bounds, mults, segments, rate, weight_decay, scale, l1, *numbers, *arrays, count)``."""
        number = self._gpu.number
        if self._gpu.go is not None and self._end:
            cupy.multiply(self._bounds, self._gpu.go, out=self._open)
        self._kernels.elements(
            self._function,
            self._end,
            *(self._open, self._mults, np.int32(len(self._bounds))),
            *(rate, number(weight_decay), scale, np.int32(l1)),
            *map(number, numbers),
            *arrays,
        )
