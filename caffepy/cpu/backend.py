"""The CPU: NumPy arrays, numba kernels, BLAS through NumPy."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import caffepy.cpu as ops
from caffepy.backend import SMALLER, Array, Backend
from caffepy.cpu._parallel import Workers
from caffepy.cpu._stream import FastStream
from caffepy.errors import BackendError
from caffepy.host import available_memory, cores
from caffepy.random import Stream

__all__ = ["CpuBackend"]

# Asking the system costs more than a small array.
_LARGE = 1 << 26


class CpuBackend(Backend):
    """Ops on the CPU with ``threads`` threads (all cores unless given)."""

    def __init__(self, dtype: str = "float32", threads: int | None = None) -> None:
        self.xp = np
        self.ops = ops
        self.device = "cpu"
        self.dtype = np.dtype(dtype)
        self.threads = threads or cores()
        #: Not mirrored: how CPU ops share a loop.
        self.workers = Workers(self.threads)
        # An arena for each thread that runs nets: two nets in two threads must not share one.
        self._arenas = threading.local()

    def empty(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        kind = np.dtype(dtype or self.dtype)
        _check(shape, kind)
        return np.empty(shape, kind)

    def zeros(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        kind = np.dtype(dtype or self.dtype)
        _check(shape, kind)
        return np.zeros(shape, kind)

    def scratch(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        kind = np.dtype(dtype or self.dtype)
        size = math.prod(shape) * kind.itemsize
        arena: np.ndarray[Any, Any] | None = getattr(self._arenas, "arena", None)
        if arena is None or size > arena.size:
            _check(shape, kind)
            arena = self._arenas.arena = np.empty(size, np.uint8)
        return arena[:size].view(kind).reshape(shape)

    def available_memory(self) -> int:
        return available_memory()

    def available_host_memory(self) -> int:
        return self.available_memory()

    def asarray(self, host: np.ndarray[Any, Any], dtype: Any = None) -> Array:
        return np.ascontiguousarray(host, dtype or self.dtype)

    def stream(self, seed: int, *names: str | int) -> Stream:
        return FastStream(self.workers, seed, *names)

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        return np.asarray(array)

    def synchronize(self) -> None:
        pass

    def defer(self, check: Callable[[], None]) -> None:
        check()

    def use(self) -> None:
        pass


def _check(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse an array that cannot be there: the system may give the memory, and end the process that writes it."""
    size = math.prod(shape) * dtype.itemsize
    if size > _LARGE and size > available_memory():
        raise BackendError(
            f"an array of {' x '.join(map(str, shape))} {dtype} needs {size:,} bytes, and {available_memory():,} are "
            f"available: out of memory. {SMALLER}"
        )
