"""Softmax over the middle axis of (outer, classes, inner)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from caffepy.backend import Array, Backend
from caffepy.gpu._kernels import THREADS, blocks_for

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["Softmax"]

_WARP = 32


class Softmax:
    """``y[c] = exp(x[c] - max x) / sum_k exp(x[k] - max x)`` along the classes (Caffe's softmax_layer.cu).

    Arrays are (outer, classes, inner); inner is 1 for a row of scores, height * width for a map of them.
    """

    def __init__(self, backend: Backend) -> None:
        self._kernels = cast("GpuBackend", backend).kernels("softmax")
        self._shape = (0, 0, 0)

    def plan(self, shape: tuple[int, int, int]) -> None:
        """Take the shape."""
        self._shape = shape

    def forward(self, x: Array, out: Array) -> None:
        """``out`` may be ``x``."""
        self._launch("softmax_forward", x, out)

    def backward(self, y: Array, dy: Array, out: Array) -> None:
        """``out[c] = y[c] * (dy[c] - sum_k dy[k] * y[k])``; ``out`` may be ``dy``, not ``y``."""
        self._launch("softmax_backward", y, dy, out)

    def _launch(self, function: str, *arrays: Array) -> None:
        outer, classes, inner = self._shape
        if not classes:
            return
        if inner != 1:
            self._kernels.elements(f"{function}_columns", outer * inner, *arrays, classes, inner)
        elif outer:
            self._kernels.launch(f"{function}_rows", blocks_for(outer * _WARP), (*arrays, classes, outer), THREADS)
