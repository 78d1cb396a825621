"""Data: images and labels from a database."""

from __future__ import annotations

from caffepy.data.colour_noise import ColourNoise, compute_colour_noise, read_colour_noise
from caffepy.data.images import RecordImages
from caffepy.data.reader import RecordReader
from caffepy.data.source import Source, open_source
from caffepy.data.transform import Transform
from caffepy.errors import DataError
from caffepy.layer import register_layer
from caffepy.layers._image_batches import ImageBatchLayer
from caffepy.proto import caffe_pb2

__all__ = ["Data"]


@register_layer("Data")
class Data(ImageBatchLayer):
    """Batches of Datum records, decoded and transformed (Caffe's data_layer.cpp).

    Tops: data, (N, C, h, w), N = data_param.batch_size, size as transform_param crops the first record; optionally
    labels, (N,). Without crop_size a batch has the size of its own first record, as in Caffe. Pass ``p`` of the net
    gets records ``p * N`` to ``p * N + N - 1``, counted from the start of training and begun again at the database's
    end, whatever the threads do. `LayerContext.data` says what a prototxt cannot.

    Raises:
        DataError: no database, a record or setting that does not fit; in forward, more bad records than allowed.
    """

    tops = (1, 2)

    def open(self) -> RecordReader:
        param, options = self.param.data_param, self.context.data
        if param.batch_size == 0:
            raise self.error("batch_size must be positive (Check failed: batch_size > 0). Set it in data_param.")
        backend = caffe_pb2.DataParameter.DB.Name(param.backend)
        train = self.phase == caffe_pb2.TRAIN
        shuffle = options.shuffle and train
        with self.named(DataError):
            source = open_source(param.source, backend, readahead=not shuffle)
            self.resources.callback(source.close)
            noise = self._colour_noise(source) if train and options.colour_noise else None
        transform_param = self.param.transform_param
        # The older field says the same of encoded records.
        transform_param.force_color |= param.force_encoded_color
        transform = Transform(transform_param, self.phase, self.context.seed, self.name, self.where, colour_noise=noise)
        return self.read(
            RecordImages(source, transform.color),
            transform,
            batch_size=param.batch_size,
            rand_skip=param.rand_skip,
            shuffle=shuffle,
        )

    def _colour_noise(self, source: Source) -> ColourNoise:
        options = self.context.data
        if options.colour_pca:
            return read_colour_noise(options.colour_pca, options.colour_noise)
        return compute_colour_noise(source, sigma=options.colour_noise)
