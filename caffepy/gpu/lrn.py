"""Local response normalisation across channels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._kernels import blocks_for

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["LRN"]

Shape = tuple[int, ...]

#: `Lrn` of lrn.cu.
_NUMBERS = np.dtype([(name, np.int32) for name in ("channels", "places", "window", "chunk", "chunks", "in_shared")])

# Of a block, on any GPU.
_SHARED_BYTES = 48 * 1024
_THREADS = 128
_WARP = 32
# Threads that keep a GPU busy: planes of fewer positions are cut into chunks of channels.
_BUSY = 1 << 18
_LEAST_CHUNK = 16
# Blocks of a grid whose threads keep their rings in the device's memory.
_SLOW_BLOCKS = 256


class LRN:
    """``y = x / s^beta``, ``s[c] = k + alpha / size * sum of x[j]^2`` over the ``size`` channels j around c.

    ``dx[c] = dy[c] / s[c]^beta - 2 alpha beta / size * x[c] * sum of dy[j] * x[j] / s[j]^(beta + 1)`` over the same
    channels; x (N, C, H, W). Nothing is kept for backward: s is computed again, in less time than it takes to read.
    Sources: Krizhevsky et al., NIPS 2012, section 3.3, which has alpha for alpha / size; Caffe's lrn_layer.cu.

    Args:
        backend: a GPU.
        size: of the window, odd.
        alpha, beta, k: as above.
    """

    def __init__(self, backend: Backend, size: int, alpha: float, beta: float, k: float) -> None:
        self._backend = backend
        gpu = cast("GpuBackend", backend)
        self._kernels = gpu.kernels("lrn")
        self._size = size
        self._constants = (gpu.number(alpha / size), gpu.number(beta), gpu.number(k))
        self._factor = gpu.number(2 * alpha * beta / size)
        self._shape: Shape = ()

    def plan(self, x_shape: Shape) -> None:
        """Divide the work, and reserve memory for windows of more channels than a multiprocessor has room for."""
        if x_shape == self._shape:
            return
        self._shape = x_shape
        # A window that reaches all channels from each of them adds up no more where it is made wider.
        window = min(self._size, max(2 * x_shape[1] - 1, 1))
        self._forward = _Pass(self._backend, window, x_shape, window)
        # Squares, ratios, and half a window of gradients divided by powers.
        entries = 2 * window + window // 2 + 1
        self._backward = _Pass(self._backend, entries, x_shape, window)
        # A thread that overwrites what another has yet to read would not do: with dx in dy's place there is one chunk.
        self._in_place = _Pass(self._backend, entries, x_shape, window, whole=True)

    def forward(self, x: Array, out: Array) -> None:
        """``out`` may not be ``x``."""
        self._run("lrn_forward", self._forward, (x,), self._constants, out)

    def backward(self, x: Array, dy: Array, out: Array) -> None:
        """Of the last `forward`; ``out`` may be ``dy``."""
        how = self._in_place if out.data.ptr == dy.data.ptr else self._backward
        self._run("lrn_backward", how, (x, dy), (*self._constants, self._factor), out)

    def _run(self, name: str, how: _Pass, arrays: tuple[Array, ...], constants: tuple[Any, ...], out: Array) -> None:
        if how.count:
            args = (*arrays, how.numbers, *constants, how.memory(), out, how.count)
            self._kernels.launch(name, how.blocks, args, how.threads, how.shared)


class _Pass:
    """How a kernel is launched whose threads have rings of ``entries`` numbers together."""

    def __init__(self, backend: Backend, entries: int, shape: Shape, window: int, whole: bool = False) -> None:
        self._backend = backend
        images, channels, places = shape[0], shape[1], math.prod(shape[2:])
        positions = images * places
        chunks = max(1, min(_BUSY // max(positions, 1), channels // _LEAST_CHUNK)) if not whole else 1
        chunk = -(-channels // chunks)
        chunks = -(-channels // max(chunk, 1))
        self.count = positions * chunks
        kind = np.dtype(np.float64 if backend.dtype == np.float64 else np.float32)
        room = _SHARED_BYTES // (entries * kind.itemsize)
        in_shared = room >= _WARP
        self.threads = min(_THREADS, room // _WARP * _WARP) if in_shared else _THREADS
        self.shared = self.threads * entries * kind.itemsize if in_shared else 0
        self.blocks = blocks_for(self.count, self.threads)
        self._rings: tuple[tuple[int, ...], np.dtype[Any]] | None = None
        if not in_shared:
            self.blocks = min(self.blocks, _SLOW_BLOCKS)
            self._rings = ((entries, self.blocks * self.threads), kind)
        self.numbers: Any = np.array([(channels, places, window, chunk, chunks, in_shared)], _NUMBERS)[0]
        self.memory()

    def memory(self) -> Array:
        """For rings that lie in the device's memory; else none."""
        return 0 if self._rings is None else self._backend.scratch(*self._rings)
