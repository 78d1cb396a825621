"""The CPU: NumPy arrays, numba kernels, BLAS through NumPy."""

from __future__ import annotations

import math
import os
import threading
from typing import Any

import numpy as np

import caffepy.cpu as ops
from caffepy.backend import Array, Backend
from caffepy.cpu._parallel import Workers

__all__ = ["CpuBackend"]


def _cores() -> int:
    # A container or taskset may give fewer cores than the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class CpuBackend(Backend):
    """Ops on the CPU with ``threads`` threads (all cores unless given)."""

    def __init__(self, dtype: str = "float32", threads: int | None = None) -> None:
        self.xp = np
        self.ops = ops
        self.device = "cpu"
        self.dtype = np.dtype(dtype)
        self.threads = threads or _cores()
        #: Not mirrored: how CPU ops share a loop.
        self.workers = Workers(self.threads)
        # An arena for each thread that runs nets: two nets in two threads must not share one.
        self._arenas = threading.local()

    def empty(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        return np.empty(shape, dtype or self.dtype)

    def zeros(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        return np.zeros(shape, dtype or self.dtype)

    def scratch(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        kind = np.dtype(dtype or self.dtype)
        size = math.prod(shape) * kind.itemsize
        arena: np.ndarray[Any, Any] | None = getattr(self._arenas, "arena", None)
        if arena is None or size > arena.size:
            arena = self._arenas.arena = np.empty(size, np.uint8)
        return arena[:size].view(kind).reshape(shape)

    def asarray(self, host: np.ndarray[Any, Any], dtype: Any = None) -> Array:
        return np.ascontiguousarray(host, dtype or self.dtype)

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        return np.asarray(array)

    def synchronize(self) -> None:
        pass
