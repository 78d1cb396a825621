"""Rows in memory, shown a batch at a time and again from the beginning."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.errors import DataError

__all__ = ["MemoryRows"]


class MemoryRows:
    """Data (n, C, H, W) and labels (n,) for passes of ``batch_size`` rows.

    The arrays are kept, not copied, as Caffe keeps them: what is written into them shows in the next pass.

    Args:
        batch_size: N.
        shape: (C, H, W).
        dtype: of the net; float32 is always taken.
    """

    def __init__(self, batch_size: int, shape: tuple[int, int, int], dtype: Any = np.float32) -> None:
        self.batch_size = batch_size
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._data: NDArray[Any] | None = None
        self._labels: NDArray[Any] | None = None
        self._begin = self._offset = 0
        self._unread = False

    def reset(self, data: Any, labels: Any, step: int) -> None:
        """Show these rows from pass ``step`` on.

        Args:
            data: (n, C, H, W), C-contiguous float32, n a multiple of the batch size.
            labels: (n,) or (n, 1, 1, 1), likewise.
            step: the pass that shows the first batch.

        Raises:
            DataError: other arrays.
        """
        data, labels = np.asanyarray(data), np.asanyarray(labels)
        self._check(data, "data array", self.shape)
        if labels.ndim != 1:
            self._check(labels, "labels array", (1, 1, 1))
        else:
            self._check_kind(labels, "labels array")
        if len(data) != len(labels):
            raise DataError(
                f"data and labels must have the same first dimension; got {len(data)} rows and {len(labels)} labels."
            )
        if not len(data) or len(data) % self.batch_size:
            raise DataError(
                "first dimensions of input arrays must be a multiple of batch size (n must be a multiple of batch "
                f"size); got {len(data)} rows for a batch size of {self.batch_size}."
            )
        self._data, self._labels = data, labels.reshape(-1)
        self._begin, self._offset, self._unread = step, 0, False

    def add(self, images: list[NDArray[Any]], labels: list[float], step: int) -> None:
        """The same for images that are made for this layer: they must all be shown before others may come.

        Raises:
            DataError: the rows of the last `add` are not all shown, or the images are no multiple of the batch size.
        """
        self.check_consumed("Can't add data until current data has been consumed.")
        if len(images) % self.batch_size:
            raise DataError(
                f"The added data must be a multiple of the batch size; got {len(images)} images for a batch size of "
                f"{self.batch_size}."
            )
        self.reset(np.stack(images), np.asarray(labels, np.float32), step)
        self._unread = True

    def check_consumed(self, said: str) -> None:
        """Raise a DataError that says ``said`` unless what was added has been shown."""
        if self._unread:
            raise DataError(f"{said} Run the passes that show it first.")

    def batch(self, step: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """The rows of pass ``step``: (N, C, H, W) and (N,).

        Raises:
            DataError: there are none.
        """
        if self._data is None or self._labels is None:
            raise DataError(
                "MemoryDataLayer needs to be initialized by calling Reset: give it arrays by its reset(data, labels)."
            )
        count = len(self._data)
        begin = self._place(step, count)
        # After set_batch_size the rest may be shorter than a batch.
        rows = np.arange(begin, begin + self.batch_size) % count
        self._unread &= begin + self.batch_size < count
        whole = begin + self.batch_size <= count
        chosen: Any = slice(begin, begin + self.batch_size) if whole else rows
        return self._data[chosen], self._labels[chosen]

    def set_batch_size(self, size: int, step: int) -> None:
        """Show so many rows a pass from pass ``step`` on, which begins where the one before it ended."""
        if self._data is not None:
            self._offset = self._place(step, len(self._data))
        self._begin, self.batch_size = step, size

    def _place(self, step: int, count: int) -> int:
        return (self._offset + (step - self._begin) * self.batch_size) % count

    def _check(self, array: NDArray[Any], name: str, shape: tuple[int, int, int]) -> None:
        self._check_kind(array, name)
        if array.ndim != 4:
            raise DataError(f"{name} must be 4-d; got shape {array.shape}.")
        for what, got, expected in zip(("number of channels", "height", "width"), array.shape[1:], shape, strict=True):
            if got != expected:
                raise DataError(f"{name} has wrong {what}: got shape {array.shape}, expected (n, *{shape}).")

    def _check_kind(self, array: NDArray[Any], name: str) -> None:
        if array.dtype not in (np.float32, self.dtype):
            raise DataError(f"{name} must be float32; got {array.dtype}. Convert it by .astype(numpy.float32).")
        if not array.flags.c_contiguous:
            raise DataError(f"{name} must be C contiguous. Convert it by numpy.ascontiguousarray.")
