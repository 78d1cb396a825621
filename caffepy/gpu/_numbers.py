"""Numbers that change from pass to pass, in the device's memory, so that a captured graph reads their new values."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import cupy
import numpy as np

from caffepy.backend import Array, Counter

__all__ = ["DeviceCounter", "counter_on_device", "known_counter"]


class DeviceCounter:
    """A `Counter`'s value on one device.

    Attributes:
        array: one element, uint64; kernels read it.
    """

    def __init__(self) -> None:
        self.array: Array = cupy.zeros(1, np.uint64)
        self._value = 0

    def refresh(self, value: int) -> None:
        """Write ``value``, by a kernel, if it is not there yet: a copy would make the host wait."""
        if value != self._value:
            self.array.fill(value)
            self._value = value

    def record_step(self, passes: int) -> None:
        """Inside a recording: let the device itself count up by ``passes`` each time that it is run."""
        self.array += passes

    def stepped(self, passes: int) -> None:
        """The device has been told to run such a recording."""
        self._value += passes


_known: dict[int, WeakKeyDictionary[Counter, DeviceCounter]] = {}


def counter_on_device(counter: Counter) -> DeviceCounter:
    """The one of ``counter`` on the current device, which all ops of a net share."""
    on_device = _known.setdefault(cupy.cuda.runtime.getDevice(), WeakKeyDictionary())
    if counter not in on_device:
        on_device[counter] = DeviceCounter()
    return on_device[counter]


def known_counter(counter: Counter) -> DeviceCounter | None:
    """The one of ``counter`` on the current device, if an op there reads it."""
    return _known.get(cupy.cuda.runtime.getDevice(), WeakKeyDictionary()).get(counter)
