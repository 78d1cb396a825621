"""The share of labels among the best scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel
from caffepy.cpu._whole import whole
from caffepy.labels import first_bad, refuse_accuracy_label

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["Accuracy"]

_WRONG, _RIGHT, _IGNORED = 0, 1, -1


class Accuracy:
    """The share of positions where fewer than ``top_k`` other classes score at least as high as the label's.

    Scores are (outer, classes, inner), labels (outer, inner) whole numbers in the backend's dtype; both may come in any
    shape of as many elements. A tie counts against the label, and so does a score of it that is NaN. Source: Caffe's
    accuracy_layer.cpp, which takes NaN for right.

    Args:
        backend: the CPU.
        top_k: how many of the best scores count.
        ignore_label: positions with this label do not count; None for none.
    """

    def __init__(self, backend: Backend, top_k: int, ignore_label: int | None) -> None:
        self._workers = cast("CpuBackend", backend).workers
        self._top_k = top_k
        self._ignore = ignore_label is not None
        self._ignore_label = 0 if ignore_label is None else ignore_label
        self._shape = (0, 0, 0)
        self._verdicts = np.empty((0, 0), np.int8)
        self._counts = np.empty((2, 0), np.int64)
        self._bad = np.empty(0, np.int64)
        self._label: Array = np.empty((0, 0))

    def plan(self, shape: tuple[int, int, int]) -> None:
        """Reserve a verdict for each position, and two counts for each class."""
        if shape == self._shape:
            return
        self._shape = shape
        self._verdicts = np.empty((shape[0], shape[2]), np.int8)
        self._counts = np.empty((2, shape[1]), np.int64)
        self._bad = np.empty(shape[0], np.int64)

    def forward(self, x: Array, label: Array, out: Array, each: Array | None) -> None:
        """Into ``out`` (1,) the share, and into ``each`` (classes,) that of each class; 0 of no labels. See `check`."""
        outer, classes, inner = self._shape
        x3, label2 = x.reshape(self._shape), label.reshape(outer, inner)

        def part(begin: int, end: int, worker: int) -> None:
            _judge(
                begin, end, x3, label2, self._top_k, self._ignore, self._ignore_label, self._verdicts, self._bad
            )  # fmt: skip

        self._workers.run(outer, part)
        self._label = label2
        _count(label2, self._verdicts, self._counts)
        right, total = self._counts
        out[0] = right.sum() / max(total.sum(), 1)
        if each is not None:
            for k in range(classes):
                each[k] = right[k] / max(total[k], 1)

    def check(self) -> None:
        """Look at the labels of the last `forward`, which passes over bad ones.

        Raises:
            LayerError: one is not in 0..classes - 1 and is not ignored.
        """
        refuse_accuracy_label(first_bad(self._bad, self._label, self._shape[1]))


@kernel
def _judge(
    begin: int,
    end: int,
    x: Array,
    label: Array,
    top_k: int,
    ignore: bool,
    ignore_label: int,
    verdicts: Array,
    bad: Array,
) -> None:
    _, classes, inner = x.shape
    for n in range(begin, end):
        bad[n] = -1
        for i in range(inner):
            k = whole(label[n, i])
            verdicts[n, i] = _IGNORED
            if ignore and k == ignore_label:
                continue
            if k < 0 or k >= classes:
                if bad[n] < 0:
                    bad[n] = i
                continue
            own = x[n, k, i]
            # The label's own class is one of them, unless it is NaN.
            at_least = 0
            for c in range(classes):
                at_least += x[n, c, i] >= own
            verdicts[n, i] = _RIGHT if 1 <= at_least <= top_k else _WRONG


@kernel
def _count(label: Array, verdicts: Array, counts: Array) -> None:
    counts[:] = 0
    outer, inner = label.shape
    for n in range(outer):
        for i in range(inner):
            if verdicts[n, i] != _IGNORED:
                k = int(label[n, i])
                counts[0, k] += verdicts[n, i]
                counts[1, k] += 1
