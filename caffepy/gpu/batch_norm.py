"""Batch normalisation: each channel brought to mean 0 and variance 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._channels import Channels

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["BatchNorm"]


class BatchNorm:
    """``y = (x - mean) / sqrt(var + eps)`` for each channel of (outer, channels, inner).

    Mean and variance are those of the batch (`forward`, `backward`) or given (`forward_global`, `backward_global`).
    Sums are in float64, so they are as good for a million values as for ten. Sources: Ioffe and Szegedy, arXiv
    1502.03167; Caffe's batch_norm_layer.cu.

    Args:
        backend: a GPU.
        eps: added to the variance.
    """

    def __init__(self, backend: Backend, eps: float) -> None:
        self._backend = backend
        self._kernels = cast("GpuBackend", backend).kernels("batch_norm")
        self._eps = np.float64(eps)
        self._shape = (0, 0, 0)
        self._global_stats = True
        self._channels = Channels(self._shape)

    def plan(self, shape: tuple[int, int, int], global_stats: bool) -> None:
        """Reserve a factor for each channel and, unless ``global_stats``, the normalised values for `backward`."""
        if (shape, global_stats) == (self._shape, self._global_stats):
            return
        self._shape, self._global_stats = shape, global_stats
        self._channels = Channels(shape)
        self._factor = self._backend.empty((shape[1],), np.float64)
        if not global_stats:
            self._normal = self._backend.empty(shape)
            # Of each piece of a channel: values and squares, or gradients and their products.
            self._sums, self._others = self._backend.empty((2, self._channels.blocks), np.float64)

    def _launch(self, name: str, *args: Any) -> None:
        if not self._channels.empty:
            self._kernels.launch(name, self._channels.blocks, args)

    def forward(self, x: Array, mean: Array, var: Array, out: Array) -> None:
        """Write the batch's ``mean`` and its biased ``var``, both (channels,), and normalise by them.

        ``out`` may be ``x``: what backward needs is kept here.
        """
        sizes, sums, squares = self._channels.numbers, self._sums, self._others
        self._launch("batch_norm_sum", x, sizes, sums)
        self._launch("batch_norm_squares", x, sums, sizes, squares)
        self._launch(
            "batch_norm_forward", x, sums, squares, sizes, self._eps, mean, var, self._factor, self._normal, out
        )

    def forward_global(self, x: Array, mean: Array, var: Array, out: Array) -> None:
        """Normalise by given ``mean`` and ``var``, both (channels,); ``out`` may be ``x``."""
        self._launch("batch_norm_forward_global", x, mean, var, self._channels.numbers, self._eps, self._factor, out)

    def backward(self, dy: Array, out: Array) -> None:
        """``out = (dy - mean(dy) - y * mean(dy * y)) / sqrt(var + eps)`` of the last `forward`; may be ``dy``."""
        sizes, sums, products = self._channels.numbers, self._sums, self._others
        self._launch("batch_norm_sum_diffs", dy, self._normal, sizes, sums, products)
        self._launch("batch_norm_backward", dy, self._normal, sums, products, self._factor, sizes, out)

    def backward_global(self, dy: Array, out: Array) -> None:
        """``out = dy / sqrt(var + eps)`` of the last `forward_global`; ``out`` may be ``dy``."""
        self._launch("batch_norm_backward_global", dy, self._factor, self._channels.numbers, out)
