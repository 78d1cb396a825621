"""Resizing as OpenCV's ``cv::resize`` does it by default: bilinear, without smoothing first, in 11-bit fixed point.

Caffe's tools resize so. Pillow's ``resize`` averages over all pixels that a shrunken one covers: other values.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from caffepy.errors import DataError

__all__ = ["resize", "resize_shorter_side"]

_BITS = 11


def resize(image: NDArray[np.uint8], height: int, width: int, *, step: float | None = None) -> NDArray[np.uint8]:
    """``image`` (C, H, W) at (C, height, width), equal to OpenCV's INTER_LINEAR.

    Pixel centres are at halves: output column x reads between the two columns at ``(x + 0.5) * W / width - 0.5``.
    With ``step``, as OpenCV has it where it is told factors and no size, ``(x + 0.5) * step - 0.5``, and rows alike.

    Raises:
        DataError: a size below 1.
    """
    if height < 1 or width < 1:
        raise DataError(f"cannot resize to {height} x {width}: both must be at least 1.")
    _, old_height, old_width = image.shape
    if (old_height, old_width) == (height, width):
        return image
    down, along = step or old_height / height, step or old_width / width
    if (old_height, old_width) == (2 * height, 2 * width) and down == along == 2:
        # OpenCV averages here, which it takes for bilinear at exactly one half.
        quads = image.astype(np.uint16)
        rows = quads[:, 0::2] + quads[:, 1::2]
        return ((rows[:, :, 0::2] + rows[:, :, 1::2] + 2) >> 2).astype(np.uint8)
    left, right_weight = _positions(old_width, width, along, clamp=True)
    top, bottom_weight = _positions(old_height, height, down, clamp=False)
    above, below = np.clip(top, 0, old_height - 1), np.clip(top + 1, 0, old_height - 1)
    needed, place = np.unique(np.concatenate([above, below]), return_inverse=True)
    lines = image[:, needed].astype(np.int32)
    right = np.minimum(left + 1, old_width - 1)
    across = lines[:, :, left] * _weights(1 - right_weight) + lines[:, :, right] * _weights(right_weight)
    across >>= 4
    upper = across[:, place[:height]] * _weights(1 - bottom_weight)[:, None] >> 16
    lower = across[:, place[height:]] * _weights(bottom_weight)[:, None] >> 16
    return ((upper + lower + 2) >> 2).astype(np.uint8)


def resize_shorter_side(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """``image`` (C, H, W) with its shorter side ``side`` pixels long, the longer one in proportion, cut to whole.

    Raises:
        DataError: a size below 1.
    """
    _, height, width = image.shape
    if height > width:
        return resize(image, side * height // width, side)
    return resize(image, side, side * width // height)


def _positions(old: int, new: int, step: float, *, clamp: bool) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The first of the two input pixels of each output pixel, and the weight of the second."""
    exact = ((np.arange(new) + 0.5) * step - 0.5).astype(np.float32)
    first = np.floor(exact).astype(np.int64)
    weight = exact - first.astype(np.float32)
    if clamp:
        weight[(first < 0) | (first >= old - 1)] = 0
        first = np.clip(first, 0, old - 1)
    return first, weight


def _weights(share: NDArray[np.float32]) -> NDArray[np.int32]:
    fixed: NDArray[np.int32] = np.rint(share * np.float32(1 << _BITS)).astype(np.int32)
    return fixed
