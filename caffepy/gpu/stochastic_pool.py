"""Pooling by a random value of each window."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend, Counter
from caffepy.gpu._numbers import counter_on_device
from caffepy.gpu._planes import Pair, Planes, Shape

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["StochasticPool"]


class StochasticPool(Planes):
    """A value of the window drawn with probability ``x / sum x``, or in tests the mean under it, ``sum x^2 / sum x``.

    x must not be negative. Output ``i`` draws word ``i`` of the pass, ``u`` in [0, 1), and takes the first value at
    which the running sum exceeds ``u * sum x``. Sources: Zeiler and Fergus, ICLR 2013; Caffe's pooling_layer.cu.

    Args:
        backend: a GPU.
        kernel, stride: height and width; there is no padding.
        key: of the stream of random words.
        counter: the pass that the net is in.
        train: draw, rather than take the mean.
    """

    def __init__(
        self, backend: Backend, kernel: Pair, stride: Pair, key: tuple[int, int], counter: Counter, train: bool
    ) -> None:
        super().__init__(backend, kernel, stride, (0, 0))
        self._kernels = cast("GpuBackend", backend).kernels("stochastic_pool")
        self._key = (np.uint32(key[0]), np.uint32(key[1]))
        self._counter = counter
        self._step = counter_on_device(counter)
        self._train = train

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Make room for the places of the values drawn."""
        if self._changed(x_shape, y_shape) and self._train:
            self._drawn = self._backend.empty(y_shape, np.int32)

    def forward(self, x: Array, out: Array) -> None:
        """``out`` is overwritten."""
        if not self._train:
            self._kernels.elements("stochastic_pool_expect", out.size, x, self._window, out)
            return
        self._step.refresh(self._counter.value)
        self._kernels.elements(
            "stochastic_pool_draw", out.size, x, self._window, *self._key, self._step.array, out, self._drawn
        )

    def backward(self, dy: Array, out: Array) -> None:
        """The whole gradient goes to the value drawn; ``out`` is overwritten. Only after a pass that drew."""
        self._kernels.elements("stochastic_pool_backward", out.size, dy, self._drawn, self._window, out)
