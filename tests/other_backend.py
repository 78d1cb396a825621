"""A device whose arrays are not NumPy's own, as a GPU's are not: the CPU behind an array type of its own."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from caffepy.cpu.backend import CpuBackend

__all__ = ["Device", "OtherBackend"]


class Device(np.ndarray):
    """An array that is not NumPy's own."""


class OtherBackend(CpuBackend):
    """The CPU, behind an array module that is not NumPy."""

    def __init__(self, threads=None):
        super().__init__(np.dtype("float32"), threads or 1)
        self.xp = SimpleNamespace(**vars(np))

    def zeros(self, shape, dtype=None):
        return super().zeros(shape, dtype).view(Device)

    def asarray(self, host, dtype=None):
        return super().asarray(host, dtype).view(Device)

    def to_host(self, array):
        return np.asarray(array).view(np.ndarray)
