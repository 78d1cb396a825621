"""Images that a program hands over, cropped as those of a database are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffepy.data.datum import decode
from caffepy.data.transform import Placement, Transform
from caffepy.errors import DataError
from caffepy.proto import caffe_pb2

__all__ = ["CroppedImages", "cropped"]


class CroppedImages(NamedTuple):
    """``crops`` (C, h, w), where they lie in their images and which are to be mirrored, and their labels."""

    crops: list[NDArray[Any]]
    placement: Placement
    labels: list[float]


def cropped(
    images: Sequence[Any],
    labels: Sequence[float] | None,
    transform: Transform,
    ordinal: int,
    shape: tuple[int, int, int],
) -> CroppedImages:
    """``images`` cropped to ``shape``, and their labels.

    Args:
        images: arrays (C, H, W) of bytes or float32, blue first; or Datum messages.
        labels: one for each image; None takes those of the Datums.
        transform: crop and mirror.
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
    ordinals = np.arange(ordinal, ordinal + len(arrays), dtype=np.int64)
    sizes = np.array([array.shape[1:] for array in arrays], np.int64)
    placed = transform.placements(ordinals, sizes[:, 0], sizes[:, 1])
    _, height, width = shape
    crops = [
        array[:, top : top + height, left : left + width]
        for array, top, left in zip(arrays, placed.h_off.tolist(), placed.w_off.tolist(), strict=True)
    ]
    return CroppedImages(crops, placed, [label for label in given if label is not None])


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
