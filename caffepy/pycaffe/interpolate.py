"""Resizing as scikit-image and SciPy did it for pycaffe's ``resize_image``, in NumPy.

scikit-image before 0.15, which pycaffe's users had, does not smooth before it shrinks an image. Today's does unless it
is told ``anti_aliasing=False``, and then gives these numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["resize", "zoom"]


def resize(image: NDArray[Any], shape: tuple[int, int], order: int = 1) -> NDArray[Any]:
    """``skimage.transform.resize(image, shape, order, mode="constant")`` for floats (H, W, K); order 0 or 1.

    Pixels are squares: output x reads at ``(x + 1/2) * W / w - 1/2``, where what lies outside of the image is 0. So an
    image that is enlarged is darker at its edges.
    """
    return _separable(image, [_at_centres(old, new) for old, new in zip(image.shape[:2], shape, strict=True)], order)


def zoom(image: NDArray[Any], shape: tuple[int, int], order: int = 1) -> NDArray[Any]:
    """``scipy.ndimage.zoom(image, (h / H, w / W, 1), order=order)`` for (H, W, K); order 0 or 1.

    Pixels are points: the corners of both images lie upon each other, output x reads at ``x * (W - 1) / (w - 1)``.
    """
    return _separable(image, [_at_corners(old, new) for old, new in zip(image.shape[:2], shape, strict=True)], order)


def _at_centres(old: int, new: int) -> NDArray[Any]:
    at: NDArray[Any] = (np.arange(new) + 0.5) * (old / new) - 0.5
    return at


def _at_corners(old: int, new: int) -> NDArray[Any]:
    return np.arange(new) * ((old - 1) / (new - 1)) if new > 1 else np.zeros(1)


def _separable(image: NDArray[Any], places: list[NDArray[Any]], order: int) -> NDArray[Any]:
    result = np.asarray(image, np.float64)
    for axis, at in enumerate(places):
        size = result.shape[axis]
        if order == 0:
            result = result.take(np.clip(np.floor(at + 0.5).astype(np.int64), 0, size - 1), axis)
            continue
        first = np.floor(at).astype(np.int64)
        second = at - first
        weights = [(first, 1 - second), (first + 1, second)]
        result = sum(
            result.take(np.clip(index, 0, size - 1), axis)
            * np.expand_dims(np.where((index >= 0) & (index < size), weight, 0), (1, 2) if axis == 0 else (0, 2))
            for index, weight in weights
        )
    return result
