"""Arrays of the host on their way to the device, without either waiting for the other."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import cupy
import numpy as np

from caffepy.backend import Array

__all__ = ["PinnedCopies"]

# One is copied while the device works on the other.
_SLOTS = 2
# Parts begin at whole multiples, as vector loads want them.
_ALIGNMENT = 256


class PinnedCopies:
    """Copies a few arrays at a time to the device, on a stream of its own.

    What is to be copied goes to memory that cannot be paged out, where the device fetches it while the host goes on.
    There are two such places, each with one on the device, used in turn. The host waits only where the copy before
    the last is not done, that is, where it is two passes ahead.
    """

    def __init__(self) -> None:
        self._slots: list[_Slot] = []
        self._next = 0

    def reserve(self, size: int) -> None:
        """Make room for arrays of ``size`` bytes together and their alignment."""
        if not self._slots or size > self._slots[0].size:
            # Their memory may be somebody else's as soon as it is given back.
            for slot in self._slots:
                slot.copied.synchronize()
            self._slots = []
            self._slots = [_Slot(size) for _ in range(_SLOTS)]

    def send(self, *arrays: np.ndarray[Any, Any]) -> list[Array]:
        """``arrays`` on the device, valid until `done`; work on the current stream finds them there.

        The arrays themselves may be overwritten at once.
        """
        places = np.cumsum([0, *(_padded(array.nbytes) for array in arrays)])
        self.reserve(int(places[-1]))
        slot = self._slots[self._next]
        # Asked first: that is no wait.
        if not slot.copied.done:
            slot.copied.synchronize()
        for array, place in zip(arrays, places, strict=False):
            slot.view(array.dtype, array.shape, int(place))[...] = array
        stream = _copy_stream(cupy.cuda.runtime.getDevice())
        stream.wait_event(slot.used)
        slot.device.data.copy_from_host_async(slot.pinned.ptr, int(places[-1]), stream)
        slot.copied.record(stream)
        cupy.cuda.get_current_stream().wait_event(slot.copied)
        return [
            slot.device[int(place) : int(place) + array.nbytes].view(array.dtype).reshape(array.shape)
            for array, place in zip(arrays, places, strict=False)
        ]

    def done(self) -> None:
        """What was sent is used by nothing that is asked of the current stream from now on."""
        self._slots[self._next].used.record(cupy.cuda.get_current_stream())
        self._next = (self._next + 1) % _SLOTS


class _Slot:
    def __init__(self, size: int) -> None:
        self.size = size
        self.pinned = cupy.cuda.alloc_pinned_memory(size)
        self.device = cupy.empty((size,), np.uint8)
        self.copied = cupy.cuda.Event(disable_timing=True)
        self.used = cupy.cuda.Event(disable_timing=True)
        # This memory may have been another's, with whom the current stream is not done.
        self.used.record(cupy.cuda.get_current_stream())

    def view(self, dtype: np.dtype[Any], shape: tuple[int, ...], place: int) -> np.ndarray[Any, Any]:
        """Pinned memory from ``place`` on as an array."""
        return np.frombuffer(self.pinned, dtype, math.prod(shape), place).reshape(shape)


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


@cache
def _copy_stream(device: int) -> Any:
    return cupy.cuda.Stream(non_blocking=True)
