"""A GPU: CuPy arrays, kernels of our own in CUDA C++, cuDNN and cuBLAS."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import cupy
import numpy as np

import caffepy.gpu as ops
from caffepy.backend import Array, Backend, Budget, Counter, LossScale, Recorder
from caffepy.errors import BackendError
from caffepy.gpu._deferred import Deferred
from caffepy.gpu._kernels import Kernels
from caffepy.gpu._loss_scale import DeviceLossScale
from caffepy.gpu._open import check_capability, check_device
from caffepy.gpu._recorder import GraphRecorder
from caffepy.host import available_memory

__all__ = ["GpuBackend"]

_WHAT_TO_DO = (
    "Make the batch smaller and iter_size larger by the same factor, which learns the same; make images or num_output "
    "smaller; or end what else runs on this GPU."
)


class GpuBackend(Backend):
    """Ops on GPU ``index``. They are started on CuPy's current stream, and the host does not wait for them.

    Args:
        index: of the device, from 0.
        dtype: of blobs.
        threads: how many threads the host uses for data; the ops do not.
        tf32: products of float32 may round their factors to TF32.
        amp: have a `half`, with blobs in float16.

    Raises:
        BackendError: no such device, no driver, or a device that is too old for ``tf32`` or ``amp``.
    """

    # A wait in 32 passes is one that a profile will not show; losses are told that much later.
    fetch_every = 32
    # cuDNN reads 16 bytes at a time; this is whole lines of the cache in any dtype.
    alignment = 64

    def __init__(
        self, index: int, dtype: str = "float32", threads: int | None = None, tf32: bool = False, amp: bool = False
    ) -> None:
        check_device(index)
        self.xp = cupy
        self.ops = ops
        self.device = f"gpu:{index}"
        self.dtype = np.dtype(dtype)
        self.threads = threads or 1
        self._index = index
        #: Not mirrored: what `scratch` gives parts of.
        self.arena: Array = None
        self._deferred = Deferred()
        self._of: GpuBackend | None = None
        #: For ops: whether products may round to TF32, and 0 on the device where updates are to be left out, else 1.
        self.tf32 = tf32
        self.go: Array = None
        self.use()
        check_capability(index, tf32, amp)
        if amp:
            self.go = cupy.ones(1, np.int64)
            self.half = self._as_half()

    def _as_half(self) -> GpuBackend:
        half = copy.copy(self)
        half.dtype, half._of = np.dtype(np.float16), self
        half.arena = None
        return half

    @property
    def full(self) -> GpuBackend:
        return self._of or self

    def loss_scale(self) -> LossScale | None:
        return DeviceLossScale(self) if self.half else None

    def use(self) -> None:
        cupy.cuda.runtime.setDevice(self._index)

    def empty(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        return self._allocate(cupy.empty, shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        return self._allocate(cupy.zeros, shape, dtype)

    def _allocate(self, make: Callable[..., Array], shape: tuple[int, ...], dtype: Any) -> Array:
        kind = np.dtype(dtype or self.dtype)
        self.use()
        try:
            return make(shape, kind)
        except cupy.cuda.memory.OutOfMemoryError:
            raise BackendError(
                f"{self.device}: an array of {' x '.join(map(str, shape))} {kind} needs "
                f"{math.prod(shape) * kind.itemsize:,} bytes, and {self.available_memory():,} are available: out of "
                f"memory. {_WHAT_TO_DO}"
            ) from None

    def scratch(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        kind = np.dtype(dtype or self.dtype)
        size = math.prod(shape) * kind.itemsize
        if self.arena is None or size > self.arena.size:
            self.arena = None
            self.arena = self.empty((size,), np.uint8)
        return self.arena[:size].view(kind).reshape(shape)

    def available_memory(self) -> int:
        self.use()
        free: int = cupy.cuda.runtime.memGetInfo()[0]
        # What CuPy's pool holds and nobody uses is ours too.
        return free + int(cupy.get_default_memory_pool().free_bytes())

    def available_host_memory(self) -> int:
        return available_memory()

    def budgets(self) -> tuple[Budget, Budget]:
        return Budget(self.available_memory()), Budget(self.available_host_memory())

    def host_empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        size = math.prod(shape)
        self.use()
        try:
            pinned = cupy.cuda.alloc_pinned_memory(size * dtype.itemsize)
        except cupy.cuda.runtime.CUDARuntimeError:
            # A machine has less memory that can be pinned than memory; what is not pinned is copied once more.
            return np.empty(shape, dtype)
        return np.frombuffer(pinned, dtype, size).reshape(shape)

    def asarray(self, host: np.ndarray[Any, Any], dtype: Any = None) -> Array:
        self.use()
        return cupy.asarray(np.ascontiguousarray(host, dtype or self.dtype))

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        host: np.ndarray[Any, Any] = cupy.asnumpy(array)
        self._deferred.run()
        return host

    def synchronize(self) -> None:
        cupy.cuda.get_current_stream().synchronize()
        self._deferred.run()

    def defer(self, check: Callable[[], None]) -> None:
        self._deferred.add(check)

    def recorder(self, counter: Counter) -> Recorder:
        return GraphRecorder(self, counter)

    # Not mirrored: for the ops beside this file.

    def noting_checks(self) -> AbstractContextManager[list[Callable[[], None]]]:
        """Checks that are deferred inside the block are not made, but listed."""
        return self._deferred.noting()

    def kernels(self, name: str, dtype: str | None = None) -> Kernels:
        """Those of ``NAME.cu`` for ``dtype``, the backend's own unless given."""
        return _kernels(name, dtype or self.dtype.name)

    def number(self, value: float) -> Any:
        """``value`` as a kernel's argument of type ``Sum``."""
        return np.float64(value) if self.dtype == np.float64 else np.float32(value)


@cache
def _kernels(name: str, dtype: str) -> Kernels:
    return Kernels(name, np.dtype(dtype))
