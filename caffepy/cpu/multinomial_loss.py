"""Multinomial logistic loss of given probabilities, and its gradient with respect to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel
from caffepy.cpu._whole import whole
from caffepy.labels import first_bad, refuse

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["MultinomialLoss"]

# Caffe's kLOG_THRESHOLD.
_SMALLEST = 1e-20


class MultinomialLoss:
    """``sum over n of -log(max(prob[n, label[n]], 1e-20))`` (Caffe's multinomial_logistic_loss_layer.cpp).

    Probabilities are (N, classes), labels (N,) whole numbers in the backend's dtype; both may come in any shape of as
    many elements.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._workers = cast("CpuBackend", backend).workers
        self._shape = (0, 0)
        self._sums = np.empty(0)
        self._bad = np.empty(0, np.int64)
        self._label: Array = np.empty((0, 0))

    def plan(self, shape: tuple[int, int]) -> None:
        """Reserve a loss for each sample; they are added in order, so the sum is the same for any threads."""
        if shape == self._shape:
            return
        self._shape = shape
        self._sums = np.empty(shape[0])
        self._bad = np.empty(shape[0], np.int64)

    def forward(self, prob: Array, label: Array, out: Array) -> None:
        """Into ``out`` (1,): the sum; see `check`."""
        prob2, labels = prob.reshape(self._shape), label.reshape(-1)

        def part(begin: int, end: int, worker: int) -> None:
            _forward(begin, end, prob2, labels, _SMALLEST, self._sums, self._bad)

        self._workers.run(self._shape[0], part)
        self._label = labels[:, None]
        out[0] = self._sums.sum()

    def check(self) -> None:
        """Look at the labels of the last `forward`, which passes over bad ones.

        Raises:
            LayerError: one is not in 0..classes - 1.
        """
        refuse(first_bad(self._bad, self._label, self._shape[1]))

    def backward(self, prob: Array, label: Array, scale: Array, out: Array) -> None:
        """``out = -scale / max(prob, 1e-20)`` at the labels, 0 elsewhere.

        ``scale`` is an array of one element, so that a device need not wait for the host. ``out`` may be ``prob``.
        """
        prob2, labels, out2 = prob.reshape(self._shape), label.reshape(-1), out.reshape(self._shape)
        factor = scale.reshape(1)

        def part(begin: int, end: int, worker: int) -> None:
            _backward(begin, end, prob2, labels, _SMALLEST, factor, out2)

        self._workers.run(self._shape[0], part)


@kernel
def _forward(begin: int, end: int, prob: Array, label: Array, smallest: float, sums: Array, bad: Array) -> None:
    classes = prob.shape[1]
    for n in range(begin, end):
        k = whole(label[n])
        if k < 0 or k >= classes:
            bad[n] = 0
            sums[n] = 0
            continue
        bad[n] = -1
        p = np.float64(prob[n, k])
        # NaN is not below anything and so stays.
        sums[n] = -np.log(smallest if p < smallest else p)


@kernel
def _backward(begin: int, end: int, prob: Array, label: Array, smallest: float, scale: Array, out: Array) -> None:
    classes = prob.shape[1]
    factor = scale[0]
    for n in range(begin, end):
        k = int(label[n])
        for c in range(classes):
            p = np.float64(prob[n, c])
            out[n, c] = -factor / (smallest if p < smallest else p) if c == k else 0
