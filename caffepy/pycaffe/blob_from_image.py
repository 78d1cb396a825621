"""Images as OpenCV's ``cv2.dnn.blobFromImage`` makes blobs of them, without OpenCV and with its very numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.data.resize import resize
from caffepy.errors import DataError

__all__ = ["ImageBlobError", "blob_from_image", "blob_from_images"]


class ImageBlobError(DataError, ValueError):
    """An image or an argument that no blob can be made of."""


def blob_from_image(
    image: NDArray[Any],
    scalefactor: float = 1.0,
    size: Sequence[int] | None = None,
    mean: float | Sequence[float] = (0, 0, 0),
    swapRB: bool = False,
    crop: bool = False,
) -> NDArray[np.float32]:
    """``scalefactor * (image - mean)`` as (1, C, H, W), equal to ``cv2.dnn.blobFromImage`` bit for bit.

    Args:
        image: (H, W, 3) as ``cv2.imread`` gives it, blue first, from 0 to 255; or (H, W), (H, W, 1), (H, W, 4).
        scalefactor: what is multiplied by, after the mean is subtracted.
        size: (width, height), in this order; the image's own where it is None or (0, 0).
        mean: one value for each channel, in the order that the blob's channels have; those that are missing are 0, so
            that a lone number is subtracted from the first channel only.
        swapRB: exchange the first and the third channel: BGR becomes RGB.
        crop: keep the image's proportions: resize it until it covers ``size``, and take the middle. False stretches it.

    Raises:
        ImageBlobError: no image, another number of channels, a size below 1; it is a ValueError too. Resizing is for
            pixels of bytes (uint8).
    """
    return blob_from_images([image], scalefactor, size, mean, swapRB, crop)


def blob_from_images(
    images: Sequence[NDArray[Any]],
    scalefactor: float = 1.0,
    size: Sequence[int] | None = None,
    mean: float | Sequence[float] = (0, 0, 0),
    swapRB: bool = False,
    crop: bool = False,
) -> NDArray[np.float32]:
    """The same for several images, (N, C, H, W), as ``cv2.dnn.blobFromImages``; without ``size`` that of the first.

    Args:
        images: of one number of channels.
        scalefactor, size, mean, swapRB, crop: see `blob_from_image`.

    Raises:
        ImageBlobError: as `blob_from_image`, or no images.
    """
    if not len(images):
        raise ImageBlobError("there are no images to make a blob of.")
    planes = [_planes(image) for image in images]
    channels, height, width = planes[0].shape
    if size is not None and tuple(size) != (0, 0):
        width, height = (int(number) for number in size)
        if width < 1 or height < 1:
            raise ImageBlobError(f"size is (width, height), both at least 1; got {tuple(size)}.")
    blob = np.empty((len(images), channels, height, width), np.float32)
    for own, image in zip(blob, planes, strict=True):
        if len(image) != channels:
            raise ImageBlobError(f"the images of a blob have as many channels; got {channels} and {len(image)}.")
        own[...] = _sized(image, width, height, crop)
    if swapRB and channels > 2:
        blob[:, [0, 2]] = blob[:, [2, 0]]
    blob -= _means(mean, channels)
    blob *= np.float32(scalefactor)
    return blob


def _planes(image: NDArray[Any]) -> NDArray[Any]:
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.size == 0 or image.shape[2] not in (1, 3, 4) or image.dtype.kind not in "iuf":
        raise ImageBlobError(
            f"an image is an array of numbers (H, W, C), C of 1, 3 or 4, or (H, W); got {image.shape}, {image.dtype}."
        )
    return image.transpose(2, 0, 1)


def _means(mean: float | Sequence[float], channels: int) -> NDArray[np.float32]:
    given = np.atleast_1d(np.asarray(mean, np.float32))
    if given.ndim != 1 or len(given) > 4:
        raise ImageBlobError(f"mean is up to four values, one for each channel; got {mean!r}.")
    means = np.zeros((max(channels, len(given)), 1, 1), np.float32)
    means[: len(given), 0, 0] = given
    return means[:channels]


def _sized(image: NDArray[Any], width: int, height: int, crop: bool) -> NDArray[Any]:
    _, old_height, old_width = image.shape
    if (old_height, old_width) == (height, width):
        return image
    if image.dtype != np.uint8:
        raise ImageBlobError(
            f"resizing {old_width} x {old_height} to {width} x {height} (width x height) is for pixels of bytes "
            f"(uint8); got {image.dtype}. Resize before converting, or give an image of that size."
        )
    if not crop:
        return resize(image, height, width)
    # OpenCV holds the factor in a float32 and lays out pixels by it, not by the ratio of the rounded sizes.
    factor = float(max(np.float32(width) / np.float32(old_width), np.float32(height) / np.float32(old_height)))
    covering = resize(image, round(old_height * factor), round(old_width * factor), step=1 / factor)
    top, left = (covering.shape[1] - height) // 2, (covering.shape[2] - width) // 2
    return covering[:, top : top + height, left : left + width]
