"""The factor of losses under which gradients in float16 are neither too large nor too small, on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cupy
import numpy as np

from caffepy.backend import Array, LossScale

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["DeviceLossScale"]

# Powers of two, so that scaling rounds nothing.
_FIRST, _LEAST, _MOST = 2.0**16, 1.0, 2.0**24
# Good updates after which it is doubled.
_PATIENCE = 2000


class DeviceLossScale(LossScale):
    """Begins at 2^16 and stays within 1 and 2^24; halved where gradients overflow, doubled after 2000 updates.

    Kernels read and change it, so that a captured graph goes by its new value and the host waits for nothing.

    Args:
        gpu: a backend of float32, whose ``go`` tells update ops whether to go on.
    """

    def __init__(self, gpu: GpuBackend) -> None:
        self._gpu = gpu
        self._kernels = gpu.kernels("_loss_scale")
        self._scale: Array = cupy.full(1, _FIRST, gpu.dtype)
        self._bad: Array = gpu.zeros((1,), np.int32)
        self._counts: Array = gpu.zeros((2,), np.int32)
        self._limits = gpu.number(_LEAST), gpu.number(_MOST), np.int32(_PATIENCE)

    def seed(self, diff: Array, weight: float) -> None:
        self._kernels.elements("loss_scale_seed", diff.size, self._scale, self._gpu.number(weight), diff)

    def unscale(self, diff: Array) -> None:
        self._kernels.elements("loss_scale_unscale", diff.size, self._scale, self._bad, diff)
        args = (self._scale, self._bad, self._counts, self._gpu.go, *self._limits)
        self._kernels.launch("loss_scale_settle", 1, args, 1)

    def report(self) -> tuple[float, int]:
        return float(self._gpu.to_host(self._scale)[0]), int(self._gpu.to_host(self._counts)[1])
