"""Multinomial logistic loss of probabilities, and its gradient with respect to the scores that softmax took."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._loss import LossSum
from caffepy.gpu._whole import BadNumber
from caffepy.labels import refuse_score_label

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["SoftmaxLoss"]

# Caffe's FLT_MIN, in float64 too.
_SMALLEST = np.float64(np.finfo(np.float32).tiny)


class SoftmaxLoss:
    """``sum of -log(max(prob[label], FLT_MIN))`` over all labels but the ignored (Caffe's softmax_loss_layer.cu).

    Probabilities are (outer, classes, inner), labels (outer, inner) whole numbers in the backend's dtype; both may come
    in any shape of as many elements.

    Args:
        backend: a GPU.
        ignore_label: labels that count neither in the loss nor in the gradient; None for none.
    """

    def __init__(self, backend: Backend, ignore_label: int | None) -> None:
        gpu = cast("GpuBackend", backend)
        self._kernels = gpu.kernels("softmax_loss")
        self._ignore = (np.int32(ignore_label is not None), np.int32(ignore_label or 0))
        self._sum, self._bad = LossSum(gpu, "softmax_loss", 2), BadNumber(gpu)
        self._shape = (0, 0, 0)

    def plan(self, shape: tuple[int, int, int]) -> None:
        """Reserve a loss and a count for each warp, which are added in order: the sum is the same for every run."""
        self._shape = shape
        self._sum.plan(shape[0] * shape[2])

    def forward(self, prob: Array, label: Array, out: Array) -> None:
        """Into ``out`` (2,): the sum of losses, and how many labels were counted; see `check`."""
        _, classes, inner = self._shape
        self._sum.forward(
            "softmax_loss_forward", out, prob, label, classes, inner, *self._ignore, _SMALLEST, self._bad.record
        )

    def check(self) -> None:
        """Look at the labels of each `forward` since the last look; they pass over bad ones. Waits for the device.

        Raises:
            LayerError: one is not in 0..classes - 1 and is not ignored.
        """
        refuse_score_label(self._bad.label(self._shape[2], self._shape[1]))

    def backward(self, prob: Array, label: Array, scale: Array, out: Array) -> None:
        """``out = scale * (prob - (1 where c == label))``, 0 at ignored labels.

        ``scale`` is an array of one element, so that a device need not wait for the host. ``out`` may be ``prob``.
        A label that is no class, which `check` refuses, is passed over.
        """
        _, classes, inner = self._shape
        self._kernels.elements(
            "softmax_loss_backward", prob.size, prob, label, classes, inner, *self._ignore, scale, out
        )
