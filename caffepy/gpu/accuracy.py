"""The share of labels among the best scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._whole import BadNumber
from caffepy.labels import refuse_accuracy_label

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["Accuracy"]

_WARP = 32


class Accuracy:
    """The share of positions where fewer than ``top_k`` other classes score at least as high as the label's.

    Scores are (outer, classes, inner), labels (outer, inner) whole numbers in the backend's dtype; both may come in any
    shape of as many elements. A tie counts against the label, and so does a score of it that is NaN. Source: Caffe's
    accuracy_layer.cu, which takes NaN for right.

    Args:
        backend: a GPU.
        top_k: how many of the best scores count.
        ignore_label: positions with this label do not count; None for none.
    """

    def __init__(self, backend: Backend, top_k: int, ignore_label: int | None) -> None:
        self._gpu = cast("GpuBackend", backend)
        self._kernels = self._gpu.kernels("accuracy")
        self._top_k = np.int32(min(top_k, np.iinfo(np.int32).max))
        self._ignore = (np.int32(ignore_label is not None), np.int32(ignore_label or 0))
        self._bad = BadNumber(self._gpu)
        self._shape = (0, 0, 0)
        self._lanes = 1
        self._counts: Array = None

    def plan(self, shape: tuple[int, int, int]) -> None:
        """Reserve two counts for each class, which are zero between two passes."""
        if shape == self._shape:
            return
        self._shape = shape
        # Neighbours in memory go to neighbouring threads: the classes of a position, or else the positions of a class.
        self._lanes = _WARP if shape[2] < _WARP else 1
        self._counts = self._gpu.zeros((2 * shape[1],), np.uint32)

    def forward(self, x: Array, label: Array, out: Array, each: Array | None) -> None:
        """Into ``out`` (1,) the share, and into ``each`` (classes,) that of each class; 0 of no labels. See `check`."""
        outer, classes, inner = self._shape
        args = (classes, inner, self._top_k, *self._ignore, self._bad.record, np.int32(self._lanes), self._counts)
        self._kernels.elements("accuracy_count", outer * inner * self._lanes, x, label, *args)
        wanted = np.int32(each is not None)
        self._kernels.launch(
            "accuracy_share", 1, (self._counts, classes, out, out if each is None else each, wanted), _WARP
        )

    def check(self) -> None:
        """Look at the labels of each `forward` since the last look; they pass over bad ones. Waits for the device.

        Raises:
            LayerError: one is not in 0..classes - 1 and is not ignored.
        """
        refuse_accuracy_label(self._bad.label(self._shape[2], self._shape[1]))
