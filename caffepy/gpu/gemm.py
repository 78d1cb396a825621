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
        self._kernels = cast("GpuBackend", backend).kernels("gemm")
        self._transpose = transpose

    def plan(self, x_shape: tuple[int, int], y_shape: tuple[int, int]) -> None:
        """Nothing to prepare: cuBLAS takes any shape."""

    def forward(self, x: Array, w: Array, b: Array | None, out: Array) -> None:
        """``out`` is overwritten."""
        product(x, w, out, right_t=not self._transpose)
        if b is not None and out.size:
            rows, columns = out.shape
            blocks = (-(-columns // THREADS), min(rows, _MOST_ROWS))
            self._kernels.launch("gemm_add_bias", blocks, (out, b, np.int32(rows), np.int32(columns)))

    def backward_data(self, dy: Array, w: Array, out: Array) -> None:
        """``out`` (M, K) is overwritten."""
        product(dy, w, out, right_t=self._transpose)

    def backward_filter(self, x: Array, dy: Array, out: Array) -> None:
        """Adds to ``out``, of w's shape."""
        left, right = (x, dy) if self._transpose else (dy, x)
        product(left, right, out, left_t=True, add=True)

    def backward_bias(self, dy: Array, out: Array) -> None:
        """Adds to ``out`` (N,)."""
        rows, columns = dy.shape
        if dy.size:
            args = (dy, out, np.int32(rows), np.int32(columns))
            self._kernels.launch("gemm_bias_gradient", -(-columns // _COLUMNS), args, _SUMMING)
