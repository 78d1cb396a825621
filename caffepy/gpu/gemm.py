"""Matrix products of the fully connected layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._blas import product
from caffepy.gpu._kernels import THREADS

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["InnerProduct"]

# Of a grid's rows: each goes through some of y's.
_MOST_ROWS = 1024
# Columns and threads of a block that adds up gradients: see gemm.cu.
_COLUMNS, _SUMMING = 32, 512


class InnerProduct:
    """``y = x w^T + b``, or ``x w + b`` where ``transpose``; x (M, K), y (M, N), w (N, K) or (K, N), b (N,).

    Args:
        backend: a GPU.
        transpose: w is (K, N).
    """

    def __init__(self, backend: Backend, transpose: bool) -> None:
        self._gpu = cast("GpuBackend", backend)
        self._kernels = self._gpu.kernels("gemm")
        self._transpose = transpose
        self._halves = self._gpu.dtype == np.float16

    def plan(self, x_shape: tuple[int, int], y_shape: tuple[int, int]) -> None:
        """Reserve room for weights in float16, where x is; else there is nothing to prepare: cuBLAS takes any shape."""
        if self._halves:
            self._gpu.scratch((x_shape[1] * y_shape[1],))

    def _factor(self, w: Array) -> Array:
        """``w``, or for products of float16 a copy rounded to it."""
        if not self._halves:
            return w
        rounded = self._gpu.scratch(w.shape)
        self._kernels.elements("gemm_round", w.size, w, rounded)
        return rounded

    def forward(self, x: Array, w: Array, b: Array | None, out: Array) -> None:
        """``out`` is overwritten."""
        product(x, self._factor(w), out, right_t=not self._transpose, tf32=self._gpu.tf32)
        if b is not None and out.size:
            rows, columns = out.shape
            blocks = (-(-columns // THREADS), min(rows, _MOST_ROWS))
            self._kernels.launch("gemm_add_bias", blocks, (out, b, np.int32(rows), np.int32(columns)))

    def backward_data(self, dy: Array, w: Array, out: Array) -> None:
        """``out`` (M, K) is overwritten."""
        product(dy, self._factor(w), out, right_t=self._transpose, tf32=self._gpu.tf32)

    def backward_filter(self, x: Array, dy: Array, out: Array) -> None:
        """Adds to ``out``, of w's shape."""
        left, right = (x, dy) if self._transpose else (dy, x)
        product(left, right, out, left_t=True, add=True, tf32=self._gpu.tf32)

    def backward_bias(self, dy: Array, out: Array) -> None:
        """Adds to ``out`` (N,)."""
        rows, columns = dy.shape
        if dy.size:
            args = (dy, out, np.int32(rows), np.int32(columns))
            self._kernels.launch("gemm_bias_gradient", -(-columns // _COLUMNS), args, _SUMMING)
