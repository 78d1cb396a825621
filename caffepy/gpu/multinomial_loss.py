"""Multinomial logistic loss of given probabilities, and its gradient with respect to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._loss import LossSum
from caffepy.gpu._whole import BadNumber
from caffepy.labels import refuse

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["MultinomialLoss"]

# Caffe's kLOG_THRESHOLD.
_SMALLEST = np.float64(1e-20)


class MultinomialLoss:
    """``sum over n of -log(max(prob[n, label[n]], 1e-20))`` (Caffe's multinomial_logistic_loss_layer.cpp).

    Probabilities are (N, classes), labels (N,) whole numbers in the backend's dtype; both may come in any shape of as
    many elements.
    """

    def __init__(self, backend: Backend) -> None:
        gpu = cast("GpuBackend", backend)
        self._kernels = gpu.kernels("multinomial_loss")
        self._sum, self._bad = LossSum(gpu, "multinomial_loss", 1), BadNumber(gpu)
        self._shape = (0, 0)

    def plan(self, shape: tuple[int, int]) -> None:
        """Reserve a loss for each warp; they are added in order, so the sum is the same for every run."""
        self._shape = shape
        self._sum.plan(shape[0])

    def forward(self, prob: Array, label: Array, out: Array) -> None:
        """Into ``out`` (1,): the sum; see `check`."""
        self._sum.forward("multinomial_loss_forward", out, prob, label, self._shape[1], _SMALLEST, self._bad.record)

    def check(self) -> None:
        """Look at the labels of each `forward` since the last look; they pass over bad ones. Waits for the device.

        Raises:
            LayerError: one is not in 0..classes - 1.
        """
        refuse(self._bad.label(1, self._shape[1]))

    def backward(self, prob: Array, label: Array, scale: Array, out: Array) -> None:
        """``out = -scale / max(prob, 1e-20)`` at the labels, 0 elsewhere.

        ``scale`` is an array of one element, so that a device need not wait for the host. ``out`` may be ``prob``.
        """
        self._kernels.elements(
            "multinomial_loss_backward", prob.size, prob, label, self._shape[1], _SMALLEST, scale, out
        )
