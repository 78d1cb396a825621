"""What the data layers have in common: batches that a reader makes ahead, shown by the number of the pass."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Array
from caffepy.blob import Blob
from caffepy.data.reader import Allocate
from caffepy.errors import DataError
from caffepy.layer import Layer

__all__ = ["BatchLayer", "Batches"]


class Batches(Protocol):
    """What makes the batches: a `caffepy.data.reader.RecordReader`, or another with the same methods."""

    @property
    def shapes(self) -> Sequence[tuple[int, ...]]: ...
    @property
    def depth(self) -> int: ...
    @property
    def held_bytes(self) -> int: ...
    @property
    def records(self) -> int | None: ...
    @property
    def wait_seconds(self) -> float: ...
    @property
    def bad_records(self) -> int: ...
    def get(self, step: int) -> Any: ...
    def close(self) -> None: ...


class BatchLayer(Layer):
    """A layer without bottoms whose tops are the batch of the pass.

    A subclass says in ``open`` what makes the batches, and in ``show`` how one gets into the tops, unless its ``tops``
    hold an array for each.
    """

    bottoms = (0, 0)

    @abstractmethod
    def open(self) -> Batches:
        """Open files, give ``self.resources`` what must be closed, and make the reader."""

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.reader: Batches | None = None
        #: What puts a batch into each top.
        self.uploads: list[Any] = [self.ops.Upload(self.backend) for _ in top]
        self.closed = False
        self.resources = ExitStack()
        try:
            self.reader = self.open()
            self.resources.callback(self.reader.close)
            for blob, shape in zip(top, self.reader.shapes, strict=False):
                blob.reshape(*shape)
            self.take_host_memory(self.reader.held_bytes, f"{self.reader.depth} batches made ahead")
        except BaseException:
            self.close()
            raise

    def batch_memory(self) -> Allocate:
        """Makes the arrays of batches, as long as there is memory; it does not hold on to this layer."""
        backend, where = self.backend, str(self.error(""))

        def make(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
            size = dtype.itemsize * math.prod(shape)
            if size > backend.available_host_memory():
                raise DataError(f"{where}out of memory: a batch of {' x '.join(map(str, shape))} is {size:,} bytes.")
            return backend.host_empty(shape, dtype)

        return make

    @property
    def records(self) -> int | None:
        """How many records there are to go through; None where batches are drawn without end."""
        return self.reader.records if self.reader else None

    @property
    def wait_seconds(self) -> float:
        """Seconds that passes have waited for data so far."""
        return self.reader.wait_seconds if self.reader else 0.0

    @property
    def bad_records(self) -> int:
        """How many different records were passed over so far."""
        return self.reader.bad_records if self.reader else 0

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing: forward knows the shapes."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        if self.reader is None or self.closed:
            raise self.error("the layer is closed; make the net anew to go on reading.")
        for upload in self.uploads:
            # The memory of the batch before is used again.
            upload.wait()
        self.show(self.reader.get(self.context.counter.value), top)

    def show(self, batch: Any, top: list[Blob]) -> None:
        """Put a batch into the tops."""
        for i, values in enumerate(batch.tops[: len(top)]):
            self.put(values, top, i)

    def put(self, values: NDArray[Any], top: list[Blob], index: int) -> None:
        """Put ``values`` into top ``index``, which takes their shape."""
        top[index].reshape(*values.shape)
        self.uploads[index].plan(values.shape)
        self.uploads[index].forward(values, top[index].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Nothing lies below."""

    def close(self) -> None:
        """End the threads and let go of files. Closing twice is harmless."""
        self.closed = True
        self.resources.close()
