"""Hinge loss of scores, one label against all other classes, and its gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._loss import LossSum
from caffepy.gpu._whole import BadNumber
from caffepy.labels import refuse

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["HingeLoss"]


class HingeLoss:
    """``sum over n, c of max(0, 1 + s * x[n, c])``, s being -1 at the label's class and 1 at all others.

    Each term is squared where ``squared``. Scores are (N, classes), labels (N,) whole numbers in the backend's dtype;
    both may come in any shape of as many elements. A score that is NaN stays in the sum, unlike in Caffe's
    hinge_loss_layer.cpp, whose maximum drops it.

    Args:
        backend: a GPU.
        squared: L2 instead of L1.
    """

    def __init__(self, backend: Backend, squared: bool) -> None:
        gpu = cast("GpuBackend", backend)
        self._kernels = gpu.kernels("hinge_loss")
        self._squared = np.int32(squared)
        self._sum, self._bad = LossSum(gpu, "hinge_loss", 1), BadNumber(gpu)
        self._shape = (0, 0)

    def plan(self, shape: tuple[int, int]) -> None:
        """Reserve a loss for each warp; they are added in order, so the sum is the same for every run."""
        self._shape = shape
        self._sum.plan(shape[0] * shape[1])

    def forward(self, x: Array, label: Array, out: Array) -> None:
        """Into ``out`` (1,): the sum; see `check`."""
        self._sum.forward("hinge_loss_forward", out, x, label, self._shape[1], self._squared, self._bad.record)

    def check(self) -> None:
        """Look at the labels of each `forward` since the last look; they pass over bad ones. Waits for the device.

        Raises:
            LayerError: one is not in 0..classes - 1.
        """
        refuse(self._bad.label(1, self._shape[1]))

    def backward(self, x: Array, label: Array, scale: Array, out: Array) -> None:
        """``out = scale * s`` where a term is positive, times twice the term where ``squared``; else 0.

        ``scale`` is an array of one element, so that a device need not wait for the host. ``out`` may be ``x``.
        """
        self._kernels.elements("hinge_loss_backward", x.size, x, label, self._shape[1], self._squared, scale, out)
