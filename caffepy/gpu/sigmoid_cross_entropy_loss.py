"""Cross-entropy of sigmoids of scores against targets, and its gradient with respect to the scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._loss import LossSum

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["SigmoidCrossEntropyLoss"]


class SigmoidCrossEntropyLoss:
    """``sum of -t log p - (1 - t) log(1 - p)``, p = 1 / (1 + exp(-x)), over all targets but the ignored.

    Computed as ``max(x, 0) - x t + log(1 + exp(-|x|))``, which no score makes overflow (Caffe's
    sigmoid_cross_entropy_loss_layer.cu). Scores and targets are (outer, inner) and may come in any shape of as many
    elements.

    Args:
        backend: a GPU.
        ignore_label: targets that count neither in the loss nor in the gradient; None for none. Targets are compared
            after their fraction is dropped, as Caffe does: with 0, a target of 0.3 is ignored.
    """

    def __init__(self, backend: Backend, ignore_label: int | None) -> None:
        gpu = cast("GpuBackend", backend)
        self._kernels = gpu.kernels("sigmoid_cross_entropy_loss")
        self._ignore = (np.int32(ignore_label is not None), np.int32(ignore_label or 0))
        self._sum = LossSum(gpu, "sigmoid_cross_entropy_loss", 2)

    def plan(self, shape: tuple[int, int]) -> None:
        """Reserve a loss and a count for each warp, which are added in order: the sum is the same for every run."""
        self._sum.plan(shape[0] * shape[1])

    def forward(self, x: Array, target: Array, out: Array) -> None:
        """Into ``out`` (2,): the sum of losses, and how many targets were counted."""
        self._sum.forward("sigmoid_cross_entropy_loss_forward", out, x, target, *self._ignore)

    def backward(self, x: Array, target: Array, scale: Array, out: Array) -> None:
        """``out = scale * (1 / (1 + exp(-x)) - target)``, 0 at ignored targets.

        ``scale`` is an array of one element, so that a device need not wait for the host. ``out`` may be ``x``.
        """
        self._kernels.elements("sigmoid_cross_entropy_loss_backward", x.size, x, target, *self._ignore, scale, out)
