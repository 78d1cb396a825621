"""What a net has said of each image of a test, and how often it was right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.errors import DataError
from caffepy.evaluation.top import ranks_of, top_classes

__all__ = ["Predictions", "softmax"]

#: Classes kept of each image.
_KEPT = 5


def softmax(scores: NDArray[Any]) -> NDArray[np.float64]:
    """``exp(s_k) / sum_j exp(s_j)`` along the last axis, in float64."""
    wide = scores.astype(np.float64)
    powers = np.exp(wide - wide.max(-1, keepdims=True))
    result: NDArray[np.float64] = powers / powers.sum(-1, keepdims=True)
    return result


class Predictions:
    """Collects predictions batch by batch; each image counts once, however often it comes.

    Args:
        classes: K.
        images: how many images the data has; None where that is not known, and each one that comes is another.
        ignore_label: images of this label are left out.

    Attributes:
        confusion: (K, K) counts, the true class by row, the predicted one by column.
    """

    def __init__(self, classes: int, images: int | None = None, ignore_label: int | None = None) -> None:
        self.classes = classes
        self.confusion = np.zeros((classes, classes), np.int64)
        self.ignored = 0
        self._ignore_label = ignore_label
        self._seen = None if images is None else np.zeros(images, bool)
        self._next = 0
        self._parts: list[tuple[NDArray[Any], ...]] = []

    def add(self, probabilities: NDArray[Any], labels: NDArray[Any], records: NDArray[np.int64] | None = None) -> None:
        """A batch.

        Args:
            probabilities: (n, K); whatever orders the classes as they do will do.
            labels: (n,), whole numbers.
            records: (n,), which images these are; counted on unless given.

        Raises:
            DataError: a label that is no class.
        """
        if records is None:
            records = np.arange(self._next, self._next + len(labels))
        self._next += len(labels)
        keep = np.ones(len(labels), bool)
        if self._seen is not None:
            keep[:] = False
            keep[np.unique(records, return_index=True)[1]] = True
            keep &= ~self._seen[records]
            self._seen[records] = True
        counted = keep & (labels != self._ignore_label) if self._ignore_label is not None else keep
        self.ignored += int(keep.sum() - counted.sum())
        probabilities, labels, records = probabilities[counted], labels[counted], records[counted]
        bad = ~((labels >= 0) & (labels < self.classes) & (labels == np.floor(labels)))
        if bad.any():
            place = int(bad.argmax())
            raise DataError(
                f"image {records[place]} (from 0) has the label {labels[place]:g}, but there are {self.classes} "
                f"classes: expected a whole number from 0 to {self.classes - 1}."
            )
        truth = labels.astype(np.int64)
        top = top_classes(probabilities, _KEPT)
        self._parts.append(
            (
                records.astype(np.int64),
                truth,
                ranks_of(probabilities, truth),
                top,
                np.take_along_axis(probabilities, top, 1).astype(np.float32),
            )
        )
        np.add.at(self.confusion, (truth, top[:, 0]), 1)

    def __len__(self) -> int:
        return sum(len(part[0]) for part in self._parts)

    def _column(self, number: int) -> NDArray[Any]:
        order = np.argsort(np.concatenate([part[0] for part in self._parts]), kind="stable")
        column: NDArray[Any] = np.concatenate([part[number] for part in self._parts])[order]
        return column

    @property
    def records(self) -> NDArray[np.int64]:
        """(n,), which images; all arrays are in their order."""
        return self._column(0)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,), the true classes."""
        return self._column(1)

    @property
    def ranks(self) -> NDArray[np.int64]:
        """(n,), the place of the true class among all; 1 is right. A tie counts against it, as for Accuracy."""
        return self._column(2)

    @property
    def top(self) -> NDArray[np.int64]:
        """(n, 5), the best classes, or fewer where there are fewer."""
        return self._column(3)

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """(n, 5), theirs."""
        return self._column(4)

    def accuracy(self, k: int) -> float:
        """The share of images whose class is among the best k; NaN without images."""
        return float((self.ranks <= k).mean()) if len(self) else float("nan")
