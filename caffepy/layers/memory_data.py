"""MemoryData: batches out of arrays that the caller gives."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from caffepy.backend import Array
from caffepy.blob import Blob
from caffepy.data.memory_images import CroppedImages, cropped
from caffepy.data.memory_rows import MemoryRows
from caffepy.data.transform import Transform
from caffepy.errors import DataError
from caffepy.layer import Layer, register_layer

__all__ = ["MemoryData"]

_log = logging.getLogger("caffepy")


@register_layer("MemoryData")
class MemoryData(Layer):
    """Rows of arrays in memory (Caffe's memory_data_layer.cpp).

    Tops: data, (N, C, H, W), as memory_data_param's batch_size, channels, height and width say; labels, (N,). The
    caller hands over rows by `reset`, or images by `add`, before the first pass::

        net.layers[0].reset(data, labels)

    Passes show them N at a time and begin again at the end. Which rows a pass shows goes by its number: those of the
    pass that the net was in at `reset` come first.

    Raises:
        LayerError: no size, in forward no rows; from `reset` and `add`, arrays that do not fit.
    """

    bottoms = (0, 0)
    tops = (2, 2)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.memory_data_param
        shape = (param.channels, param.height, param.width)
        if not (param.batch_size and all(shape)):
            raise self.error(
                "batch_size, channels, height, and width must be specified and positive in memory_data_param; "
                f"got {param.batch_size}, {', '.join(map(str, shape))}."
            )
        self.uploads = [self.ops.Upload(self.backend) for _ in top]
        self.rows = MemoryRows(param.batch_size, shape, self.backend.dtype)
        self.transform = Transform(self.param.transform_param, self.phase, self.context.seed, self.name, self.where)
        self.reshape(bottom, top)

    def reset(self, data: Array, labels: Array) -> None:
        """Show these rows from the next pass on; they are not transformed. pycaffe's ``net.set_input_arrays``.

        Args:
            data: NumPy array (n, C, H, W), float32, C-contiguous; n is a multiple of the batch size. Kept, not copied.
            labels: (n,) or (n, 1, 1, 1), likewise.
        """
        if self.param.HasField("transform_param"):
            _log.warning("layer '%s': %s does not transform array data on reset().", self.name, self.type)
        with self._own_errors():
            self.rows.reset(data, labels, self.context.counter.value)

    def add(self, images: Sequence[Any], labels: Sequence[float] | None = None) -> None:
        """Show these images from the next pass on, transformed as transform_param says (AddDatumVector, AddMatVector).

        Args:
            images: arrays (C, H, W) of bytes or float32, blue first; or Datum messages.
            labels: one for each image; those of the Datums unless given.
        """
        step = self.context.counter.value
        with self._own_errors():
            self.rows.check_consumed("Can't add data until current data has been consumed.")
            made = cropped(images, labels, self.transform, step * self.rows.batch_size, self.rows.shape)
            self.rows.add(self._transformed(made), made.labels, step)

    def _transformed(self, images: CroppedImages) -> list[Array]:
        op = self.ops.Transform(self.backend, self.transform.mean, self.transform.scale)
        out = self.backend.empty((1, *self.rows.shape))
        op.plan(out.shape)
        rows = []
        for i, crop in enumerate(images.crops):
            h_off, w_off, mirror = (part[i : i + 1] for part in images.placement)
            op.forward(crop[None], h_off, w_off, mirror, None, out)
            rows.append(self.backend.to_host(out)[0].copy())
        return rows

    def set_batch_size(self, size: int) -> None:
        """Show so many rows in each pass to come; only while nothing added waits to be shown."""
        with self._own_errors():
            self.rows.check_consumed("Can't change batch_size until current data has been consumed.")
        if size < 1:
            raise self.error(f"batch_size must be at least 1, got {size}.")
        self.rows.set_batch_size(size, self.context.counter.value)

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        """What is wrong with given arrays is an error of this layer: no database is."""
        try:
            yield
        except DataError as error:
            raise self.error(str(error)) from error

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(self.rows.batch_size, *self.rows.shape)
        top[1].reshape(self.rows.batch_size)
        for upload, blob in zip(self.uploads, top, strict=True):
            upload.plan(blob.shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        with self._own_errors():
            batch = self.rows.batch(self.context.counter.value)
        for upload, blob, values in zip(self.uploads, top, batch, strict=True):
            upload.forward(values, blob.data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Nothing lies below."""
