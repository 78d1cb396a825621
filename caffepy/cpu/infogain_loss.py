"""Infogain loss of probabilities, and its gradient with respect to the scores that softmax took."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel
from caffepy.cpu._whole import whole
from caffepy.labels import first_bad, refuse

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["InfogainLoss"]

# Caffe's kLOG_THRESHOLD.
_SMALLEST = 1e-20


class InfogainLoss:
    """``sum over labels k and classes c of -h[k, c] * log(max(prob[c], 1e-20))`` (Caffe's infogain_loss_layer.cpp).

    Probabilities are (outer, classes, inner), labels (outer, inner) whole numbers in the backend's dtype, h
    (classes, classes); each may come in any shape of as many elements.

    Args:
        backend: the CPU.
        ignore_label: labels that count neither in the loss nor in the gradient; None for none.
    """

    def __init__(self, backend: Backend, ignore_label: int | None) -> None:
        self._backend = backend
        self._workers = cast("CpuBackend", backend).workers
        self._ignore = ignore_label is not None
        self._ignore_label = 0 if ignore_label is None else ignore_label
        self._shape = (0, 0, 0)
        self._sums = np.empty((0, 2))
        self._bad = np.empty(0, np.int64)
        self._label: Array = np.empty((0, 0))
        self._rows = np.empty(0)

    def plan(self, shape: tuple[int, int, int]) -> None:
        """Reserve a loss and a count for each sample, which are added in order: the sum is the same for any threads."""
        if shape == self._shape:
            return
        self._shape = shape
        self._sums = np.empty((shape[0], 2))
        self._bad = np.empty(shape[0], np.int64)
        self._rows = np.empty(shape[1])

    def forward(self, prob: Array, label: Array, h: Array, out: Array) -> None:
        """Into ``out`` (2,): the sum of losses, and how many labels were counted; see `check`."""
        outer, classes, inner = self._shape
        prob3, label2, square = prob.reshape(self._shape), label.reshape(outer, inner), h.reshape(classes, classes)

        def part(begin: int, end: int, worker: int) -> None:
            _forward(
                begin, end, prob3, label2, square, self._ignore, self._ignore_label, _SMALLEST, self._sums, self._bad
            )

        self._workers.run(outer, part)
        self._label = label2
        # In float64 whatever the type of `out`.
        out[0] = self._sums[:, 0].sum()
        out[1] = self._sums[:, 1].sum()

    def check(self) -> None:
        """Look at the labels of the last `forward`, which passes over bad ones.

        Raises:
            LayerError: one is not in 0..classes - 1 and is not ignored.
        """
        refuse(
            first_bad(self._bad, self._label, self._shape[1]), " One to skip is named by loss_param { ignore_label }."
        )

    def backward(self, prob: Array, label: Array, h: Array, scale: Array, out: Array) -> None:
        """``out[c] = scale * (prob[c] * (sum of h[k, :]) - h[k, c])`` for label k, 0 at ignored labels.

        ``scale`` is an array of one element, so that a device need not wait for the host. ``out`` may be ``prob``.
        """
        outer, classes, inner = self._shape
        prob3, label2, square = prob.reshape(self._shape), label.reshape(outer, inner), h.reshape(classes, classes)
        out3, factor = out.reshape(self._shape), scale.reshape(1)
        square.sum(axis=1, dtype=np.float64, out=self._rows)

        def part(begin: int, end: int, worker: int) -> None:
            _backward(begin, end, prob3, label2, square, self._rows, self._ignore, self._ignore_label, factor, out3)

        self._workers.run(outer, part)


@kernel
def _forward(
    begin: int,
    end: int,
    prob: Array,
    label: Array,
    h: Array,
    ignore: bool,
    ignore_label: int,
    smallest: float,
    sums: Array,
    bad: Array,
) -> None:
    _, classes, inner = prob.shape
    for n in range(begin, end):
        loss = 0.0
        counted = 0
        bad[n] = -1
        for i in range(inner):
            k = whole(label[n, i])
            if ignore and k == ignore_label:
                continue
            if k < 0 or k >= classes:
                if bad[n] < 0:
                    bad[n] = i
                continue
            for c in range(classes):
                p = np.float64(prob[n, c, i])
                # NaN is not below anything and so stays.
                loss -= h[k, c] * np.log(smallest if p < smallest else p)
            counted += 1
        sums[n, 0] = loss
        sums[n, 1] = counted


@kernel
def _backward(
    begin: int,
    end: int,
    prob: Array,
    label: Array,
    h: Array,
    rows: Array,
    ignore: bool,
    ignore_label: int,
    scale: Array,
    out: Array,
) -> None:
    _, classes, inner = prob.shape
    factor = scale[0]
    for n in range(begin, end):
        for i in range(inner):
            k = int(label[n, i])
            counts = not (ignore and k == ignore_label) and k >= 0 and k < classes
            for c in range(classes):
                out[n, c, i] = factor * (prob[n, c, i] * rows[k] - h[k, c]) if counts else 0
