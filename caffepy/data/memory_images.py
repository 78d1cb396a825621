"""Images that a program hands over, transformed as those of a database are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.data.datum import decode
from caffepy.data.transform import Apply, Transform
from caffepy.errors import DataError
from caffepy.proto import caffe_pb2

__all__ = ["transformed"]


def transformed(
    images: Sequence[Any],
    labels: Sequence[float] | None,
    transform: Transform,
    apply: Apply,
    ordinal: int,
    shape: tuple[int, int, int],
) -> tuple[list[NDArray[np.float32]], list[float]]:
    """``images`` transformed to ``shape``, and their labels.

    Args:
        images: arrays (C, H, W) of bytes or float32, blue first; or Datum messages.
        labels: one for each image; None takes those of the Datums.
        transform: crop, mirror, mean and scale.
        apply: the backend's arithmetic.
        ordinal: what the random draws of the first image go by; those after it follow.
        shape: (C, h, w) that all must come to.

    Raises:
        DataError: something else than an image, a shape that does not come to ``shape``, labels that are missing.
    """
    if not len(images):
        raise DataError("There is no datum to add.")
    arrays, own = [], []
    for number, image in enumerate(images):
        array, label = _image(image, f"image {number}", transform)
        transform.check(array.shape, f"image {number}")
        if transform.output_shape(array.shape) != shape:
            raise DataError(
                f"image {number} of shape {array.shape} becomes {transform.output_shape(array.shape)}; "
                f"memory_data_param says channels, height and width {shape}."
            )
        arrays.append(array)
        own.append(label)
    given = own if labels is None else [float(label) for label in labels]
    if len(given) != len(arrays) or None in given:
        raise DataError(f"{len(arrays)} images need a label each; got {sum(label is not None for label in given)}.")
    placed = transform.draw(np.arange(ordinal, ordinal + len(arrays), dtype=np.int64))
    made = [np.empty(shape, np.float32) for _ in arrays]
    for array, words, out in zip(arrays, placed, made, strict=True):
        place = transform.place(words, *array.shape[1:])
        apply(array, int(place.h_off), int(place.w_off), bool(place.mirror), None, out)
    return made, [label for label in given if label is not None]


def _image(image: Any, name: str, transform: Transform) -> tuple[NDArray[Any], float | None]:
    if isinstance(image, caffe_pb2.Datum):
        decoded = decode(image.SerializeToString(), name.encode(), color=transform.color)
        return decoded.array, decoded.label
    array = np.asarray(image)
    if array.ndim != 3 or array.dtype not in (np.uint8, np.float32):
        raise DataError(
            f"{name} must be an array (channels, height, width) of uint8 or float32, or a Datum; "
            f"got {type(image).__name__} of shape {array.shape}, {array.dtype}."
        )
    return array, None
