"""Rectified linear units, with a slope for negative values."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from caffepy.backend import Array, Backend

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["ReLU"]


class ReLU:
    """``y = max(x, 0) + negative_slope * min(x, 0)``, element by element (Caffe's relu_layer.cu).

    NaN stays NaN. Arrays of any one shape and of the backend's dtype.

    Args:
        backend: a GPU.
        negative_slope: factor of negative values; 0 for the plain unit.
    """

    def __init__(self, backend: Backend, negative_slope: float) -> None:
        self._gpu = cast("GpuBackend", backend)
        self._kernels = self._gpu.kernels("relu")
        self._slope = self._gpu.number(negative_slope)

    def plan(self, shape: tuple[int, ...]) -> None:
        """Nothing to prepare: any shape will do."""

    def forward(self, x: Array, out: Array) -> None:
        """``out`` may be ``x``."""
        self._kernels.elements("relu_forward", x.size, x, out, self._slope)

    def backward(self, x: Array, dy: Array, out: Array) -> None:
        """``out = dy * (1 if x > 0 else negative_slope)``; ``out`` may be ``dy``.

        ``x`` may be the output of a forward pass in place: while the slope is not negative, both have the same sign.
        """
        self._kernels.elements("relu_backward", x.size, x, dy, out, self._slope)
