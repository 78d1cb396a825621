"""Classes of image files as Caffe's python/classify.py finds them: by a deploy.prototxt, told how to prepare images."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Backend
from caffepy.data.mean import read_mean
from caffepy.data.npy import read_npy
from caffepy.errors import DataError
from caffepy.evaluation.classes import Classes, average_text, output_kind
from caffepy.evaluation.preprocessing import crop_text
from caffepy.pycaffe import io
from caffepy.pycaffe.classifier import Classifier, image_transformer

__all__ = ["Flags", "classify_by_flags"]

_log = logging.getLogger("caffepy")

#: Input sizes that are crops of images of 256 x 256, unless something else is said.
_IMAGENET = range(200, 257)


@dataclass(frozen=True)
class Flags:
    """What classify.py and detect.py of Caffe are told of images; None is what the net's input suggests.

    Attributes:
        mean_file: a .npy or .binaryproto of a mean image or values, blue first; empty for none.
        input_scale: factor after subtracting the mean.
        raw_scale: factor before it, from 0..1.
        channel_swap: the order of channels, from RGB.
        images_dim: height and width that images are resized to before they are cropped.
    """

    mean_file: str = ""
    input_scale: float | None = None
    raw_scale: float = 255.0
    channel_swap: tuple[int, ...] | None = None
    images_dim: tuple[int, int] | None = None

    def keywords(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Arguments of Classifier and Detector for a net whose input is ``shape`` (N, C, H, W)."""
        return {
            "mean": read_mean(self.mean_file) if self.mean_file else None,
            "input_scale": self.input_scale,
            "raw_scale": self.raw_scale,
            "channel_swap": self._swap(shape),
        }

    def _swap(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        return self.channel_swap if self.channel_swap is not None else (2, 1, 0) if shape[1] == 3 else None

    def dims(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """What images are resized to for an input of ``shape``."""
        height, width = shape[2:]
        if self.images_dim is not None:
            return self.images_dim
        return (256, 256) if height in _IMAGENET and width in _IMAGENET else (height, width)

    def describe(self, shape: tuple[int, ...]) -> dict[str, str]:
        """Channels, mean and scale in words."""
        order = self._swap(shape)
        colours = "gray" if shape[1] == 1 else "".join("RGB"[i] for i in order or (0, 1, 2)) if shape[1] == 3 else "all"
        return {
            "from": "options, as Caffe's python/classify.py",
            "channels": f"{colours}, 0 to {self.raw_scale:g}",
            "mean": self.mean_file or "none",
            "scale": f"{1 if self.input_scale is None else self.input_scale:g}",
        }


def classify_by_flags(
    files: Sequence[str],
    model: str,
    weights: Sequence[str],
    flags: Flags,
    *,
    backend: Backend,
    oversample: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Classes:
    """Classes of ``files`` by the net for prediction ``model``, as Caffe's python/classify.py finds them.

    A file that ends in .npy holds images already: (N, H, W, K) or (H, W, K), RGB, from 0 to 1.

    Args:
        oversample: average over ten crops; else the centre alone.

    Raises:
        CaffepyError: as Classifier; no image that can be read.
    """
    if not files:
        raise DataError("there are no images to classify.")
    with Classifier(model, None, backend=backend) as net:
        if weights:
            _log.info("%s", net.copy_from(*weights))
        blob = net.blobs[net.inputs[0]]
        shape = blob.shape
        dims = flags.dims(shape)
        net.transformer = image_transformer(net, **flags.keywords(shape))
        net.image_dims = np.array(dims)
        crops = 10 if oversample else 1
        # A batch is filled up with zeros, which cost as much as images.
        blob.reshape(min(shape[0], crops * len(files)), *shape[1:])
        good: list[str] = []
        bad: list[tuple[str, str]] = []
        rows = []
        # Of ten crops each, as many as make a few batches.
        for begin in range(0, len(files), 10):
            images: list[NDArray[np.float32]] = []
            for file in files[begin : begin + 10]:
                try:
                    for name, image in _images(file, color=shape[1] != 1):
                        images.append(image)
                        good.append(name)
                except DataError as error:
                    bad.append((file, str(error)))
            if images:
                rows.append(net.predict(images, oversample=oversample))
            if progress is not None:
                progress(min(begin + 10, len(files)), len(files))
        if not rows:
            raise DataError(f"none of {len(files)} images can be read; the first: {bad[0][1]}")
        about = flags.describe(shape)
        about["resize"] = f"{dims[0]} x {dims[1]}"
        about["crop"] = crop_text((shape[2], shape[3]), crops)
        kind = output_kind(net.engine, net.outputs[0])
    if oversample:
        about["average"] = average_text(kind)
    return Classes(good, np.concatenate(rows).reshape(len(good), -1), kind, about, bad)


def _images(file: str, *, color: bool) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The image in a file, or the images in a .npy file, with what to call each."""
    if not file.endswith(".npy"):
        yield file, io.load_image(file, color)
        return
    try:
        with open(file, "rb") as opened:
            images = read_npy(opened, os.fstat(opened.fileno()).st_size)
    except (OSError, ValueError) as error:
        raise DataError(f"'{file}' holds no array of images: {error}") from error
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or images.shape[3] != (3 if color else 1):
        raise DataError(
            f"'{file}' holds an array of shape {images.shape}; expected images (N, H, W, {3 if color else 1}), RGB, "
            "from 0 to 1."
        )
    for number, image in enumerate(images):
        yield f"{file}[{number}]", image.astype(np.float32)
