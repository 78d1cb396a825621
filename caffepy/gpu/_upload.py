"""Arrays of the host on their way to the device, without either waiting for the other."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import cupy
import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Array

__all__ = ["PinnedCopies"]

# One is copied while the device works on the other.
_SLOTS = 2
# Parts begin at whole multiples, as vector loads want them.
_ALIGNMENT = 256


class PinnedCopies:
    """Copies a few arrays at a time to the device, on a stream of its own.

    Memory that cannot be paged out the device fetches while the host goes on: arrays that lie in such
    (`Backend.host_empty`) are copied from where they are, others from a place that they are put to. There are two
    places, each with one on the device, used in turn. The host waits only where the copy before the last is not done,
    that is, where it is two passes ahead.
    """

    def __init__(self) -> None:
        self._slots: list[_Slot] = []
        self._next = 0

    def reserve(self, size: int) -> None:
        """Make room on the device for arrays of ``size`` bytes together and their alignment."""
        if not self._slots or size > self._slots[0].device.size:
            # Their memory may be somebody else's as soon as it is given back.
            self.wait()
            self._slots = []
            self._slots = [_Slot(size) for _ in range(_SLOTS)]

    def send(self, *arrays: np.ndarray[Any, Any]) -> list[Array]:
        """``arrays`` on the device, valid until `done`; work on the current stream finds them there.

        The arrays themselves may be overwritten after `wait`.
        """
        # Those that are put together are copied together, first.
        order = sorted(range(len(arrays)), key=lambda i: _is_pinned(arrays[i]))
        places = np.cumsum([0, *(_padded(arrays[i].nbytes) for i in order)])
        self.reserve(int(places[-1]))
        slot = self._slots[self._next]
        slot.wait()
        stream = _copy_stream(cupy.cuda.runtime.getDevice())
        stream.wait_event(slot.used)
        slot.copy([arrays[i] for i in order], places, stream)
        cupy.cuda.get_current_stream().wait_event(slot.copied)
        sent: list[Array] = [None] * len(arrays)
        for i, place in zip(order, places, strict=False):
            part = slot.device[int(place) : int(place) + arrays[i].nbytes]
            sent[i] = part.view(arrays[i].dtype).reshape(arrays[i].shape)
        return sent

    def wait(self) -> None:
        """Until the arrays that were sent last may be overwritten."""
        for slot in self._slots:
            slot.wait()

    def done(self) -> None:
        """What was sent is used by nothing that is asked of the current stream from now on."""
        self._slots[self._next].used.record(cupy.cuda.get_current_stream())
        self._next = (self._next + 1) % _SLOTS


class _Slot:
    """A place on the device and, where an array needs it, one on the host."""

    def __init__(self, size: int) -> None:
        self.device = cupy.empty((size,), np.uint8)
        self._staging: Any = None
        self._staging_size = 0
        # Not given back while they are copied.
        self._sources: list[np.ndarray[Any, Any]] = []
        self.copied = cupy.cuda.Event(disable_timing=True)
        self.used = cupy.cuda.Event(disable_timing=True)
        # This memory may have been another's, with whom the current stream is not done.
        self.used.record(cupy.cuda.get_current_stream())

    def copy(self, arrays: list[np.ndarray[Any, Any]], places: NDArray[np.int64], stream: Any) -> None:
        """Copy arrays to their ``places``, the end of the last one included; pinned ones come last."""
        staged = [array for array in arrays if not _is_pinned(array)]
        if size := int(places[len(staged)]):
            self._copy_from(self._staged(staged, places, size), 0, size, stream)
        for array, place in zip(arrays[len(staged) :], places[len(staged) :], strict=False):
            self._copy_from(array.ctypes.data, int(place), array.nbytes, stream)
        self._sources = arrays
        self.copied.record(stream)

    def _staged(self, arrays: list[np.ndarray[Any, Any]], places: NDArray[np.int64], size: int) -> int:
        if size > self._staging_size:
            self._staging, self._staging_size = cupy.cuda.alloc_pinned_memory(size), size
        for array, place in zip(arrays, places, strict=False):
            room = np.frombuffer(self._staging, array.dtype, array.size, int(place))
            room.reshape(array.shape)[...] = array
        return int(self._staging.ptr)

    def _copy_from(self, address: int, place: int, size: int, stream: Any) -> None:
        (self.device.data + place).copy_from_host_async(ctypes.c_void_p(address), size, stream)

    def wait(self) -> None:
        """Until the last copy is done."""
        # Asked first: that is no wait.
        if self._sources and not self.copied.done:
            self.copied.synchronize()
        self._sources = []


def _is_pinned(array: np.ndarray[Any, Any]) -> bool:
    """Whether it lies, in one piece, where the device can fetch it by itself."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    owner = getattr(base, "obj", base)
    return isinstance(owner, cupy.cuda.PinnedMemoryPointer) and array.flags.c_contiguous


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


@cache
def _copy_stream(device: int) -> Any:
    return cupy.cuda.Stream(non_blocking=True)
