"""Data: images and labels from a database."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.data.colour_noise import ColourNoise, compute_colour_noise, read_colour_noise
from caffepy.data.reader import RecordReader
from caffepy.data.source import Source, open_source
from caffepy.data.transform import Transform
from caffepy.errors import DataError
from caffepy.layer import Layer, register_layer
from caffepy.proto import caffe_pb2

__all__ = ["Data"]


@register_layer("Data")
class Data(Layer):
    """Batches of Datum records, decoded and transformed (Caffe's data_layer.cpp).

    Tops: data, (N, C, h, w), N = data_param.batch_size, size as transform_param crops the first record; optionally
    labels, (N,). Pass ``p`` of the net gets records ``p * N`` to ``p * N + N - 1``, counted from the start of training
    and begun again at the database's end, whatever the threads do. `LayerContext.data` says what a prototxt cannot.

    Raises:
        DataError: no database, a record or setting that does not fit; in forward, more bad records than allowed.
    """

    bottoms = (0, 0)
    tops = (1, 2)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param, options = self.param.data_param, self.context.data
        if param.batch_size == 0:
            raise self.error("batch_size must be positive (Check failed: batch_size > 0). Set it in data_param.")
        backend = caffe_pb2.DataParameter.DB.Name(param.backend)
        self.source: Source | None = None
        self.reader: RecordReader | None = None
        self.closed = False
        train = self.phase == caffe_pb2.TRAIN
        shuffle = options.shuffle and train
        try:
            self.source = open_source(param.source, backend, readahead=not shuffle)
            noise = self._colour_noise(self.source) if train and options.colour_noise else None
        except DataError as error:
            self.close()
            raise DataError(str(self.error(str(error)))) from error
        try:
            transform_param = self.param.transform_param
            # The older field says the same of encoded records.
            transform_param.force_color |= param.force_encoded_color
            transform = Transform(
                transform_param, self.phase, self.context.seed, self.name, self.where, colour_noise=noise
            )
            apply = self.ops.Transform(self.backend, transform.crop_size, transform.mean, transform.scale)
            self.reader = RecordReader(
                self.source,
                transform,
                apply.record,
                batch_size=param.batch_size,
                seed=self.context.seed,
                layer_name=self.name,
                rand_skip=param.rand_skip,
                shuffle=shuffle,
                prefetch=param.prefetch,
                threads=options.threads or None,
                max_bad_records=options.max_bad_records,
            )
            ahead = max(param.prefetch, 1)
            self.take_memory(4 * ahead * math.prod(self.reader.shape), f"reading {ahead} batches ahead")
        except BaseException:
            self.close()
            raise
        top[0].reshape(*self.reader.shape)
        if len(top) > 1:
            top[1].reshape(param.batch_size)

    def _colour_noise(self, source: Source) -> ColourNoise:
        options = self.context.data
        if options.colour_pca:
            return read_colour_noise(options.colour_pca, options.colour_noise)
        return compute_colour_noise(source, sigma=options.colour_noise)

    @property
    def wait_seconds(self) -> float:
        """Seconds that passes have waited for data so far."""
        return self.reader.wait_seconds if self.reader else 0.0

    @property
    def bad_records(self) -> int:
        """How many different records were passed over so far."""
        return self.reader.bad_records if self.reader else 0

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing: shapes are set once."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        if self.reader is None or self.closed:
            raise self.error("the layer is closed; make the net anew to go on reading.")
        batch = self.reader.get(self.context.counter.value)
        top[0].data[...] = self.backend.asarray(batch.data)
        if len(top) > 1:
            top[1].data[...] = self.backend.asarray(batch.label)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Nothing lies below."""

    def close(self) -> None:
        """End the threads and let go of the database. Closing twice is harmless."""
        self.closed = True
        if self.reader is not None:
            self.reader.close()
        if self.source is not None:
            self.source.close()
