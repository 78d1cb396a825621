"""Dropout by counter: which units fall is computed anew wherever it is needed, so there is no mask to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend, Counter
from caffepy.gpu._numbers import counter_on_device

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["Dropout"]


class Dropout:
    """``y[i] = x[i] / (1 - ratio)`` where word ``i`` of the step is at least ``ratio * 2^32``, else 0.

    Words are those of `caffepy.random.Stream` under ``key``, the step is ``counter.value`` at the forward pass, and
    ``i`` counts elements in C order: every device drops the same units. Sources: Srivastava et al., JMLR 15 (2014);
    Caffe's dropout_layer.cu.

    Args:
        backend: a GPU.
        ratio: share of units that are dropped, 0 <= ratio < 1.
        key: of the stream.
        counter: the pass that the net is in.
    """

    def __init__(self, backend: Backend, ratio: float, key: tuple[int, int], counter: Counter) -> None:
        gpu = cast("GpuBackend", backend)
        self._kernels = gpu.kernels("dropout")
        # A ratio from a prototxt is a float32: its product with 2^32 is whole for any ratio from 2^-8 on.
        self._threshold = np.uint32(min(round(ratio * 2**32), 2**32 - 1))
        self._scale = gpu.number(1 / (1 - ratio))
        self._key = (np.uint32(key[0]), np.uint32(key[1]))
        self._counter = counter
        self._step = counter_on_device(counter)

    def plan(self, shape: tuple[int, ...]) -> None:
        """Nothing to prepare: any shape will do."""

    def forward(self, x: Array, out: Array) -> None:
        """``out`` may be ``x``."""
        self._step.refresh(self._counter.value)
        self._run(x, out)

    def backward(self, dy: Array, out: Array) -> None:
        """The same units and factor as in the last `forward`; ``out`` may be ``dy``."""
        self._run(dy, out)

    def _run(self, x: Array, out: Array) -> None:
        step = self._step.array
        blocks = -(-x.size // 4)
        self._kernels.elements("dropout_run", blocks, x, out, self._threshold, self._scale, *self._key, step, x.size)
