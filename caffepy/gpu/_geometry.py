"""Windows over images of any number of axes, as the kernels of im2col.cu take them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._kernels import THREADS, blocks_for

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["Geometry"]

Shape = tuple[int, ...]

# Of a grid's rows: each goes through some rows of columns.
_MOST_ROWS = 1024


class Geometry:
    """Images x (N, C, *spatial) and their columns, one for each place of a window.

    Args:
        backend: a GPU.
        kernel, stride, pad, dilation: one number for each spatial axis.
    """

    def __init__(self, backend: Backend, kernel: Shape, stride: Shape, pad: Shape, dilation: Shape) -> None:
        self._gpu = cast("GpuBackend", backend)
        self._kernels = self._gpu.kernels("im2col")
        self._window = kernel, stride, pad, dilation
        self.taps = math.prod(kernel)

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Note the shapes of x and y (N, anything, *output)."""
        numbers = np.array([x_shape[2:], y_shape[2:], *self._window], np.int32)
        # At least one number, so that there is an address.
        self._numbers = self._gpu.asarray(np.append(numbers.ravel(), 0), np.int32)
        self._axes = len(x_shape) - 2
        self._channels = x_shape[1]
        self._plane, self.places = math.prod(x_shape[2:]), math.prod(y_shape[2:])

    def unfold(self, x: Array, cols: Array, image_step: int, row_step: int) -> None:
        """Element (row, place) of image n goes to ``cols[n * image_step + row * row_step + place]``, both flat."""
        columns, rows = len(x) * self.places, self._channels * self.taps
        if columns and rows:
            blocks = (blocks_for(columns), min(rows, _MOST_ROWS))
            self._kernels.launch("im2col_unfold", blocks, (x, cols, *self._args(len(x), image_step, row_step)))

    def fold(self, cols: Array, x: Array, image_step: int, row_step: int) -> None:
        """The transpose of `unfold`: ``x`` is overwritten with the sums."""
        if x.size:
            self._kernels.launch(
                "im2col_fold", blocks_for(x.size), (cols, x, *self._args(len(x), image_step, row_step)), THREADS
            )

    def _args(self, images: int, image_step: int, row_step: int) -> tuple[object, ...]:
        numbers = (self._axes, images, self._channels, self._plane, self.places, self.taps)
        return (self._numbers, *(np.int32(number) for number in numbers), image_step, row_step)
