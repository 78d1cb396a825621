"""Dropout by counter: which units fall is computed anew wherever it is needed, so there is no mask to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend, Counter
from caffepy.cpu._chunks import for_chunks
from caffepy.cpu._jit import kernel
from caffepy.cpu._philox import philox_block

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["Dropout"]


class Dropout:
    """``y[i] = x[i] / (1 - ratio)`` where word ``i`` of the step is at least ``ratio * 2^32``, else 0.

    Words are those of `caffepy.random.Stream` under ``key``, the step is ``counter.value`` at the forward pass, and
    ``i`` counts elements in C order: every device and any number of threads drop the same units. Sources: Srivastava et
    al., JMLR 15 (2014); Caffe's dropout_layer.cpp.

    Args:
        backend: the CPU.
        ratio: share of units that are dropped, 0 <= ratio < 1.
        key: of the stream.
        counter: the pass that the net is in.
    """

    def __init__(self, backend: Backend, ratio: float, key: tuple[int, int], counter: Counter) -> None:
        self._workers = cast("CpuBackend", backend).workers
        # A ratio from a prototxt is a float32: its product with 2^32 is whole for any ratio from 2^-8 on.
        self._threshold = np.uint64(round(ratio * 2**32))
        self._scale = backend.dtype.type(1 / (1 - ratio))
        self._key = (np.uint64(key[0]), np.uint64(key[1]))
        self._counter = counter
        self._step = np.uint64(0)

    def plan(self, shape: tuple[int, ...]) -> None:
        """Nothing to prepare: any shape will do."""

    def forward(self, x: Array, out: Array) -> None:
        """``out`` may be ``x``."""
        self._step = np.uint64(self._counter.value)
        self._run(x, out)

    def backward(self, dy: Array, out: Array) -> None:
        """The same units and factor as in the last `forward`; ``out`` may be ``dy``."""
        self._run(dy, out)

    def _run(self, x: Array, out: Array) -> None:
        for_chunks(
            self._workers, x.size, _drop, x.reshape(-1), self._threshold, self._scale, self._step, *self._key,
            out.reshape(-1),
        )  # fmt: skip


@kernel
def _drop(
    begin: int,
    end: int,
    x: Array,
    threshold: np.uint64,
    scale: float,
    step: np.uint64,
    key0: np.uint64,
    key1: np.uint64,
    out: Array,
) -> None:
    # Chunks begin at whole blocks of four words; only the last may end within one.
    for block in range(begin // 4, end // 4):
        words = philox_block(np.uint64(block), step, key0, key1)
        for j in range(4):
            i = 4 * block + j
            out[i] = x[i] * scale if words[j] >= threshold else 0
    for i in range(end // 4 * 4, end):
        words = philox_block(np.uint64(i // 4), step, key0, key1)
        out[i] = x[i] * scale if words[i % 4] >= threshold else 0
