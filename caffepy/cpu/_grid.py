"""Places of a window over images of any number of axes, as the kernels that unfold and fold images take them."""

from __future__ import annotations

import math

import numpy as np

from caffepy.backend import Array
from caffepy.cpu._unfold import fold_images_2d, fold_images_nd, pack, unfold_images_2d, unfold_images_nd, unpack

__all__ = ["Grid"]

Shape = tuple[int, ...]

# Kernel, stride, pad and dilation of an axis that is not there.
_NEUTRAL = ((1,), (1,), (0,), (1,))


class Grid:
    """Images x (N, C, *spatial) and the columns of a window's places; up to two axes take the kernels for two.

    Attributes:
        pointwise: whether an image's columns are the image itself.

    Args:
        kernel, stride, pad, dilation: one number for each spatial axis.
    """

    def __init__(self, kernel: Shape, stride: Shape, pad: Shape, dilation: Shape) -> None:
        window = np.array([kernel, stride, pad, dilation], np.int64).reshape(4, -1)
        self._missing = max(2 - window.shape[1], 0)
        neutral = np.array(_NEUTRAL, np.int64).repeat(self._missing, axis=1)
        self._window = np.ascontiguousarray(np.concatenate([neutral, window], axis=1))
        self._flat = self._window.shape[1] == 2
        self.pointwise = all(k == s == 1 and p == 0 for k, s, p in zip(kernel, stride, pad, strict=True))

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Note the shapes of x and y (N, anything, *output)."""
        x, y = ((1,) * self._missing + shape[2:] for shape in (x_shape, y_shape))
        plane = x if self._flat else (math.prod(x),)
        self._planes: Shape = (*x_shape[:2], *plane)
        self._x, self._y = np.array(x, np.int64), np.array(y, np.int64)
        self._places = math.prod(y)

    def planes(self, x: Array) -> Array:
        """x as the kernels take it."""
        return x.reshape(self._planes)

    def unfold(self, planes: Array, first: int, last: int, cols: Array) -> None:
        """Images ``first`` to ``last`` side by side into ``cols`` (C * taps, images * places or more)."""
        if self.pointwise:
            pack(planes.reshape(*planes.shape[:2], self._places), first, last, cols)
        elif self._flat:
            height, width = self._y
            unfold_images_2d(planes, first, last, self._window, height, width, cols)
        else:
            unfold_images_nd(planes, first, last, self._x, self._y, self._window, self._places, cols)

    def fold(self, cols: Array, first: int, last: int, planes: Array) -> None:
        """The transpose of `unfold`: those images are overwritten with the sums."""
        if self.pointwise:
            unpack(cols, first, last, planes.reshape(*planes.shape[:2], self._places))
        elif self._flat:
            height, width = self._y
            fold_images_2d(cols, first, last, self._window, height, width, planes)
        else:
            fold_images_nd(cols, first, last, self._x, self._y, self._window, self._places, planes)
