"""Rectified linear units, with a slope for negative values."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from caffepy.backend import Array, Backend
from caffepy.cpu._chunks import for_chunks
from caffepy.cpu._jit import kernel

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["ReLU"]


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
        for_chunks(self._workers, x.size, _forward, x.reshape(-1), self._slope, out.reshape(-1))

    def backward(self, x: Array, dy: Array, out: Array) -> None:
        """``out = dy * (1 if x > 0 else negative_slope)``; ``out`` may be ``dy``.

        ``x`` may be the output of a forward pass in place: while the slope is not negative, both have the same sign.
        """
        for_chunks(self._workers, x.size, _backward, x.reshape(-1), dy.reshape(-1), self._slope, out.reshape(-1))


@kernel
def _forward(begin: int, end: int, x: Array, slope: float, out: Array) -> None:
    for i in range(begin, end):
        value = x[i]
        # NaN is neither above nor below zero and stays; a sum of the two parts leaves no negative zeros.
        out[i] = (0 if value < 0 else value) + slope * (0 if value > 0 else value)


@kernel
def _backward(begin: int, end: int, x: Array, dy: Array, slope: float, out: Array) -> None:
    for i in range(begin, end):
        value = dy[i]
        out[i] = value if x[i] > 0 else slope * value
