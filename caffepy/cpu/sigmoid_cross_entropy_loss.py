"""Cross-entropy of sigmoids of scores against targets, and its gradient with respect to the scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["SigmoidCrossEntropyLoss"]


class SigmoidCrossEntropyLoss:
    """``sum of -t log p - (1 - t) log(1 - p)``, p = 1 / (1 + exp(-x)), over all targets but the ignored.

    Computed as ``max(x, 0) - x t + log(1 + exp(-|x|))``, which no score makes overflow (Caffe's
    sigmoid_cross_entropy_loss_layer.cpp). Scores and targets are (outer, inner) and may come in any shape of as many
    elements.

    Args:
        backend: the CPU.
        ignore_label: targets that count neither in the loss nor in the gradient; None for none. Targets are compared
            after their fraction is dropped, as Caffe does: with 0, a target of 0.3 is ignored.
    """

    def __init__(self, backend: Backend, ignore_label: int | None) -> None:
        self._backend = backend
        self._workers = cast("CpuBackend", backend).workers
        self._ignore = ignore_label is not None
        self._ignore_label = 0 if ignore_label is None else ignore_label
        self._shape = (0, 0)
        self._sums = np.empty((0, 2))

    def plan(self, shape: tuple[int, int]) -> None:
        """Reserve a loss and a count for each sample, which are added in order: the sum is the same for any threads."""
        if shape == self._shape:
            return
        self._shape = shape
        self._sums = np.empty((shape[0], 2))

    def forward(self, x: Array, target: Array, out: Array) -> None:
        """Into ``out`` (2,): the sum of losses, and how many targets were counted."""
        x2, target2 = x.reshape(self._shape), target.reshape(self._shape)

        def part(begin: int, end: int, worker: int) -> None:
            _forward(begin, end, x2, target2, self._ignore, self._ignore_label, self._sums)

        self._workers.run(self._shape[0], part)
        # In float64 whatever the type of `out`.
        out[0] = self._sums[:, 0].sum()
        out[1] = self._sums[:, 1].sum()

    def backward(self, x: Array, target: Array, scale: Array, out: Array) -> None:
        """``out = scale * (1 / (1 + exp(-x)) - target)``, 0 at ignored targets.

        ``scale`` is an array of one element, so that a device need not wait for the host. ``out`` may be ``x``.
        """
        x2, target2, out2 = x.reshape(self._shape), target.reshape(self._shape), out.reshape(self._shape)
        factor = scale.reshape(1)

        def part(begin: int, end: int, worker: int) -> None:
            _backward(begin, end, x2, target2, self._ignore, self._ignore_label, factor, out2)

        self._workers.run(self._shape[0], part)


@kernel
def _forward(begin: int, end: int, x: Array, target: Array, ignore: bool, ignore_label: int, sums: Array) -> None:
    inner = x.shape[1]
    for n in range(begin, end):
        loss = 0.0
        counted = 0
        for i in range(inner):
            t = np.float64(target[n, i])
            if ignore and int(t) == ignore_label:
                continue
            score = np.float64(x[n, i])
            loss += score * ((1.0 if score >= 0 else 0.0) - t) + np.log1p(np.exp(-abs(score)))
            counted += 1
        sums[n, 0] = loss
        sums[n, 1] = counted


@kernel
def _backward(
    begin: int, end: int, x: Array, target: Array, ignore: bool, ignore_label: int, scale: Array, out: Array
) -> None:
    inner = x.shape[1]
    factor = scale[0]
    for n in range(begin, end):
        for i in range(inner):
            if ignore and int(target[n, i]) == ignore_label:
                out[n, i] = 0
            else:
                out[n, i] = factor * (1 / (1 + np.exp(-x[n, i])) - target[n, i])
