"""Infogain loss of probabilities, and its gradient with respect to the scores that softmax took."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._kernels import blocks_for
from caffepy.gpu._loss import LossSum
from caffepy.gpu._whole import BadNumber
from caffepy.labels import refuse

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["InfogainLoss"]

# Caffe's kLOG_THRESHOLD.
_SMALLEST = 1e-20
_WARP = 32


class InfogainLoss:
    """``sum over labels k and classes c of -h[k, c] * log(max(prob[c], 1e-20))`` (Caffe's infogain_loss_layer.cpp).

    Probabilities are (outer, classes, inner), labels (outer, inner) whole numbers in the backend's dtype, h
    (classes, classes); each may come in any shape of as many elements.

    Args:
        backend: a GPU.
        ignore_label: labels that count neither in the loss nor in the gradient; None for none.
    """

    def __init__(self, backend: Backend, ignore_label: int | None) -> None:
        self._gpu = gpu = cast("GpuBackend", backend)
        self._kernels = gpu.kernels("infogain_loss")
        self._ignore = (np.int32(ignore_label is not None), np.int32(ignore_label or 0))
        self._smallest = gpu.number(_SMALLEST)
        self._sum, self._bad = LossSum(gpu, "infogain_loss", 2), BadNumber(gpu)
        self._shape = (0, 0, 0)
        self._rows: Array = None

    def plan(self, shape: tuple[int, int, int]) -> None:
        """Reserve a loss and a count for each warp, which are added in order: the sum is the same for every run."""
        if shape == self._shape:
            return
        self._shape = shape
        self._sum.plan(shape[0] * shape[1] * shape[2])
        self._rows = self._gpu.empty((shape[1],), np.float64)

    def forward(self, prob: Array, label: Array, h: Array, out: Array) -> None:
        """Into ``out`` (2,): the sum of losses, and how many labels were counted; see `check`."""
        _, classes, inner = self._shape
        self._sum.forward(
            "infogain_loss_forward",
            out,
            *(prob, label, h, classes, inner, *self._ignore, self._smallest, self._bad.record),
        )

    def check(self) -> None:
        """Look at the labels of each `forward` since the last look; they pass over bad ones. Waits for the device.

        Raises:
            LayerError: one is not in 0..classes - 1 and is not ignored.
        """
        refuse(self._bad.label(self._shape[2], self._shape[1]), " One to skip is named by loss_param { ignore_label }.")

    def backward(self, prob: Array, label: Array, h: Array, scale: Array, out: Array) -> None:
        """``out[c] = scale * (prob[c] * (sum of h[k, :]) - h[k, c])`` for label k, 0 at ignored labels.

        ``scale`` is an array of one element, so that a device need not wait for the host. ``out`` may be ``prob``.
        """
        _, classes, inner = self._shape
        if not prob.size:
            return
        self._kernels.launch("infogain_loss_rows", blocks_for(classes * _WARP), (h, self._rows, classes))
        self._kernels.elements(
            "infogain_loss_backward",
            prob.size,
            *(prob, label, h, self._rows, classes, inner, *self._ignore, scale, out),
        )
