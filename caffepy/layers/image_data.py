"""ImageData: images and labels that a list file names."""

from __future__ import annotations

from caffepy.data.colour_noise import ColourNoise, read_colour_noise
from caffepy.data.image_files import ImageFiles
from caffepy.data.image_list import read_list
from caffepy.data.reader import RecordReader
from caffepy.data.transform import Transform
from caffepy.errors import DataError
from caffepy.layer import register_layer
from caffepy.layers._image_batches import ImageBatchLayer
from caffepy.proto import caffe_pb2

__all__ = ["ImageData"]


@register_layer("ImageData")
class ImageData(ImageBatchLayer):
    """Batches of image files, decoded, resized and transformed (Caffe's image_data_layer.cpp).

    ``source`` names a list of lines ``file label``; ``root_folder`` is put before each file. Tops: data, (N, C, h, w),
    N = batch_size, C = 3, or 1 where is_color is false, resized to new_height x new_width where both are given, then
    transformed by transform_param; and labels, (N,). Without a size or a crop_size a batch has the size of its own
    first image: with batch_size 1 images may differ in size.

    Pass ``p`` of the net gets the images ``p * N`` to ``p * N + N - 1``, counted from the start of training; with
    ``shuffle`` in another order each time through the list, in both phases. ``rand_skip`` leaves out up to so many
    at the beginning. Fields of image_data_param that transform_param replaced (scale, mean_file, crop_size, mirror)
    are ignored, as Caffe 1.0 ignores them.

    Raises:
        DataError: no list, none or a wrong line in it, an image or setting that does not fit; in forward, more bad
            images than allowed.
    """

    tops = (2, 2)

    def open(self) -> RecordReader:
        param, options = self.param.image_data_param, self.context.data
        if (param.new_height == 0) != (param.new_width == 0):
            raise self.error(
                f"new_height {param.new_height} and new_width {param.new_width}: Current implementation requires "
                "new_height and new_width to be set at the same time."
            )
        if param.batch_size == 0:
            raise self.error("Positive batch size required (Check failed: batch_size > 0). Set it in image_data_param.")
        train = self.phase == caffe_pb2.TRAIN
        with self.named(DataError):
            noise = self._colour_noise() if train and options.colour_noise else None
            images = ImageFiles(
                read_list(param.source),
                param.root_folder,
                param.source,
                new_height=param.new_height,
                new_width=param.new_width,
                is_color=param.is_color,
            )
        transform = Transform(
            self.param.transform_param, self.phase, self.context.seed, self.name, self.where, colour_noise=noise
        )
        return self.read(
            images,
            transform,
            batch_size=param.batch_size,
            rand_skip=param.rand_skip,
            shuffle=param.shuffle or (options.shuffle and train),
        )

    def _colour_noise(self) -> ColourNoise:
        options = self.context.data
        if not options.colour_pca:
            raise DataError("colour noise of a list of images needs its directions: give them by --colour-pca FILE.")
        return read_colour_noise(options.colour_pca, options.colour_noise)
