"""Hinge loss of scores, one label against all other classes, and its gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel
from caffepy.cpu._whole import whole
from caffepy.labels import first_bad, refuse

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["HingeLoss"]


class HingeLoss:
    """``sum over n, c of max(0, 1 + s * x[n, c])``, s being -1 at the label's class and 1 at all others.

    Each term is squared where ``squared``. Scores are (N, classes), labels (N,) whole numbers in the backend's dtype;
    both may come in any shape of as many elements. A score that is NaN stays in the sum, unlike in Caffe's
    hinge_loss_layer.cpp, whose maximum drops it.

    Args:
        backend: the CPU.
        squared: L2 instead of L1.
    """

    def __init__(self, backend: Backend, squared: bool) -> None:
        self._backend = backend
        self._workers = cast("CpuBackend", backend).workers
        self._squared = squared
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

    def forward(self, x: Array, label: Array, out: Array) -> None:
        """Into ``out`` (1,): the sum; see `check`."""
        x2, labels = x.reshape(self._shape), label.reshape(-1)

        def part(begin: int, end: int, worker: int) -> None:
            _forward(begin, end, x2, labels, self._squared, self._sums, self._bad)

        self._workers.run(self._shape[0], part)
        self._label = labels[:, None]
        out[0] = self._sums.sum()

    def check(self) -> None:
        """Look at the labels of the last `forward`, which passes over bad ones.

        Raises:
            LayerError: one is not in 0..classes - 1.
        """
        refuse(first_bad(self._bad, self._label, self._shape[1]))

    def backward(self, x: Array, label: Array, scale: Array, out: Array) -> None:
        """``out = scale * s`` where a term is positive, times twice the term where ``squared``; else 0.

        ``scale`` is an array of one element, so that a device need not wait for the host. ``out`` may be ``x``.
        """
        x2, labels, out2 = x.reshape(self._shape), label.reshape(-1), out.reshape(self._shape)
        factor = scale.reshape(1)

        def part(begin: int, end: int, worker: int) -> None:
            _backward(begin, end, x2, labels, self._squared, factor, out2)

        self._workers.run(self._shape[0], part)


@kernel
def _forward(begin: int, end: int, x: Array, label: Array, squared: bool, sums: Array, bad: Array) -> None:
    classes = x.shape[1]
    for n in range(begin, end):
        k = whole(label[n])
        bad[n] = 0 if k < 0 or k >= classes else -1
        total = 0.0
        for c in range(classes):
            score = np.float64(x[n, c])
            term = 1 - score if c == k else 1 + score
            # NaN is not below anything and so stays.
            if not term <= 0:
                total += term * term if squared else term
        sums[n] = total


@kernel
def _backward(begin: int, end: int, x: Array, label: Array, squared: bool, scale: Array, out: Array) -> None:
    classes = x.shape[1]
    factor = scale[0]
    for n in range(begin, end):
        k = int(label[n])
        for c in range(classes):
            sign = -1 if c == k else 1
            term = 1 + sign * x[n, c]
            if term <= 0:
                out[n, c] = 0
            elif squared:
                out[n, c] = 2 * factor * sign * term
            else:
                # A term that is NaN has a gradient that is NaN.
                out[n, c] = factor * sign if term > 0 else term
