"""What the layers have in common that show images of a database or a list."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Array
from caffepy.blob import Blob
from caffepy.data.images import Images
from caffepy.data.reader import Batch, RecordReader
from caffepy.data.transform import Transform
from caffepy.layers._batches import BatchLayer

__all__ = ["ImageBatchLayer"]


class ImageBatchLayer(BatchLayer):
    """Batches of images, cropped by the threads that decode them.

    The same threads transform them where the backend's ``Transform`` can ``finish`` single images; the top then lies
    where the batch does. Otherwise they are transformed on their way into the top.
    """

    @abstractmethod
    def open(self) -> RecordReader:
        """Call `read`."""

    def read(
        self, images: Images, transform: Transform, *, batch_size: int, rand_skip: int, shuffle: bool
    ) -> RecordReader:
        """Make the reader, and the op that finishes its batches."""
        options = self.context.data
        self.images, self.transform = images, transform
        #: Which images the last pass showed, by number.
        self.shown: NDArray[np.int64] = np.empty(0, np.int64)
        op = self.uploads[0] = self.ops.Transform(self.backend, transform.mean, transform.scale)
        return RecordReader(
            images,
            transform,
            batch_size=batch_size,
            seed=self.context.seed,
            layer_name=self.name,
            rand_skip=rand_skip,
            shuffle=shuffle,
            prefetch=self.param.data_param.prefetch,
            threads=options.threads or None,
            max_bad_records=options.max_bad_records,
            allocate=self.batch_memory(),
            finish=op.finish,
            dtype=self.backend.dtype,
        )

    def show(self, batch: Batch, top: list[Blob]) -> None:
        self.shown = batch.records
        top[0].reshape(*batch.shape)
        if batch.finished:
            top[0].place(data=batch.pixels.reshape(-1))
        else:
            self._transform(batch, top[0].data)
        if len(top) > 1:
            self.put(batch.label, top, 1)

    def _transform(self, batch: Batch, out: Array) -> None:
        pixels = self.uploads[0]
        pixels.plan(batch.pixels.shape)
        pixels.forward(batch.pixels, batch.h_off, batch.w_off, batch.mirror, batch.shift, out)
        for position, crop in batch.others.items():
            one = slice(position, position + 1)
            shift = None if batch.shift is None else batch.shift[one]
            pixels.forward(crop[None], batch.h_off[one], batch.w_off[one], batch.mirror[one], shift, out[one])
