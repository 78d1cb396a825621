"""Dropout by counter: which units fall is computed anew wherever it is needed, so there is no mask to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend, Counter
from caffepy.cpu._chunks import CHUNK, chunks_of
from caffepy.cpu._jit import kernel
from caffepy.cpu._philox import philox_blocks

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["Dropout"]

# Blocks of words made at a time; 16 kilobytes of them stay in the nearest cache.
_BLOCKS = 1024


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
        self._threshold = np.uint32(min(round(ratio * 2**32), 2**32 - 1))
        self._scale = backend.dtype.type(1 / (1 - ratio))
        self._key = (np.uint64(key[0]), np.uint64(key[1]))
        self._counter = counter
        self._step = np.uint64(0)
        self._words = np.empty((backend.threads, 4, _BLOCKS), np.uint32)

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
        x1, out1, in_place = x.reshape(-1), out.reshape(-1), x is out

        def part(first: int, last: int, worker: int) -> None:
            begin, end, words = first * CHUNK, min(last * CHUNK, x1.size), self._words[worker]
            _drop(begin, end, x1, self._threshold, self._scale, self._step, *self._key, words, in_place, out1)

        self._workers.run(chunks_of(x1.size), part)


@kernel
def _drop(
    begin: int,
    end: int,
    x: Array,
    threshold: np.uint32,
    scale: float,
    step: np.uint64,
    key0: np.uint64,
    key1: np.uint64,
    words: Array,
    in_place: bool,
    out: Array,
) -> None:
    zero = scale * 0
    # Chunks begin at whole blocks of four words.
    for start in range(begin, end, words.size):
        philox_blocks(start // 4, step, key0, key1, words)
        stop = min(start + words.size, end)
        if not in_place:
            for i in range(np.uintp(start), np.uintp(stop)):
                out[i] = x[i]
        # Read and written at one place, numbers go through the vector units; see relu.py.
        for block in range((stop - start) // 4):
            for j in range(4):
                out[np.uintp(start + 4 * block + j)] *= scale if words[j, block] >= threshold else zero
        for i in range(start + (stop - start) // 4 * 4, stop):
            out[i] *= scale if words[(i - start) % 4, (i - start) // 4] >= threshold else zero
