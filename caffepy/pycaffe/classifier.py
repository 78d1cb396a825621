"""pycaffe's Classifier: class probabilities of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.errors import NetError
from caffepy.proto import caffe_pb2
from caffepy.pycaffe import io
from caffepy.pycaffe.net import Net

__all__ = ["Classifier", "image_transformer"]


class Classifier(Net):
    """A net of one image input, with what images go through before it.

    Args:
        model_file: the net's prototxt.
        pretrained_file: its weights.
        image_dims: h and w that images are resized to before crops are taken; the input's size unless given, where the
            crop is the whole image.
        mean, input_scale, raw_scale, channel_swap: see `caffepy.io.Transformer`.
        arguments: as for `Net`, by keyword.

    Raises:
        CaffepyError: as `Net` and Transformer.
    """

    def __init__(
        self,
        model_file: str | os.PathLike[str],
        pretrained_file: str | os.PathLike[str] | None,
        image_dims: io.Size | None = None,
        mean: NDArray[Any] | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(model_file, caffe_pb2.TEST, weights=pretrained_file, **arguments)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = self.crop_dims if image_dims is None or not len(image_dims) else np.array(image_dims)

    def predict(self, inputs: Sequence[NDArray[Any]], oversample: bool = True) -> NDArray[np.float32]:
        """The net's first output for each image, (n, C).

        Args:
            inputs: images (H, W, K), as `caffepy.io.load_image` gives them.
            oversample: average over ten crops of each image, the corners, the centre and their mirror images; False
                takes the centre alone.

        Raises:
            ShapeError: images smaller than the crop, or none.
        """
        if not len(inputs):
            raise io.ShapeError("there are no images to classify.")
        images = np.stack([io.resize_image(image, self.image_dims) for image in inputs])
        if oversample:
            crops = io.oversample(list(images), self.crop_dims)
        else:
            # All of them would be as many numbers for one in ten.
            crops = np.stack([io.oversample([image], self.crop_dims)[4] for image in images])
        name = self.inputs[0]
        arrays = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        predictions: NDArray[np.float32] = self.forward_all(**{name: arrays})[self.outputs[0]]
        if oversample:
            predictions = predictions.reshape(len(predictions) // 10, 10, -1).mean(1)
        return predictions


def image_transformer(
    net: Net,
    mean: NDArray[Any] | None,
    input_scale: float | None,
    raw_scale: float | None,
    channel_swap: Sequence[int] | None,
) -> io.Transformer:
    """From images (H, W, K) to the first input of ``net``.

    Raises:
        NetError: the net has no input of images.
    """
    if not net.inputs or len(net.blobs[net.inputs[0]].shape) != 4:
        raise NetError(
            f"net '{net.name}' has no input of images (N, C, H, W). A deploy.prototxt begins with an Input layer "
            "of four dimensions."
        )
    name = net.inputs[0]
    transformer = io.Transformer({name: net.blobs[name].shape})
    transformer.set_transpose(name, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(name, mean)
    if input_scale is not None:
        transformer.set_input_scale(name, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(name, channel_swap)
    return transformer
