"""Rectified linear units, with a slope for negative values."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._chunks import for_chunks
from caffepy.cpu._jit import kernel

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["ReLU"]

_PIECE = 2048


class ReLU:
    """``y = max(x, 0) + negative_slope * min(x, 0)``, element by element (Caffe's relu_layer.cpp).

    NaN stays NaN. Arrays of any one shape and of the backend's dtype.

    Args:
        backend: the CPU.
        negative_slope: factor of negative values; 0 for the plain unit.
    """

    def __init__(self, backend: Backend, negative_slope: float) -> None:
        self._workers = cast("CpuBackend", backend).workers
        self._slope = backend.dtype.type(negative_slope)

    def plan(self, shape: tuple[int, ...]) -> None:
        """Nothing to prepare: any shape will do."""

    def forward(self, x: Array, out: Array) -> None:
        """``out`` may be ``x``."""
        for_chunks(self._workers, x.size, _forward, x.reshape(-1), self._slope, x is out, out.reshape(-1))

    def backward(self, x: Array, dy: Array, out: Array) -> None:
        """``out = dy * (1 if x > 0 else negative_slope)``; ``out`` may be ``dy``.

        ``x`` may be the output of a forward pass in place: while the slope is not negative, both have the same sign.
        """
        flat = out.reshape(-1)
        for_chunks(self._workers, x.size, _backward, x.reshape(-1), dy.reshape(-1), self._slope, dy is out, flat)


# Loops that read one array and write another use the vector units only where the two do not overlap, and without them
# guess the sign of every number. So each piece is copied first, while it is in the nearest cache, and changed in place.
# An unsigned index cannot be negative, and numba then adds no test for wrapping round.
@kernel
def _forward(begin: int, end: int, x: Array, slope: float, in_place: bool, out: Array) -> None:
    zero = slope * 0
    for start in range(begin, end, _PIECE):
        first, last = np.uintp(start), np.uintp(min(start + _PIECE, end))
        if not in_place:
            for i in range(first, last):
                out[i] = x[i]
        for i in range(first, last):
            value = out[i]
            # NaN is neither above nor below zero and stays; a sum of the two parts leaves no negative zeros.
            out[i] = (zero if value < 0 else value) + slope * (zero if value > 0 else value)


@kernel
def _backward(begin: int, end: int, x: Array, dy: Array, slope: float, in_place: bool, out: Array) -> None:
    one = slope * 0 + 1
    for start in range(begin, end, _PIECE):
        first, last = np.uintp(start), np.uintp(min(start + _PIECE, end))
        if not in_place:
            for i in range(first, last):
                out[i] = dy[i]
        for i in range(first, last):
            out[i] *= one if x[i] > 0 else slope
