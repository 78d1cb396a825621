"""Pooling by the maximum or the mean of each window."""

from __future__ import annotations

import numpy as np

from caffepy.backend import Array
from caffepy.cpu._ave_windows import ave_backward, ave_backward_by_ones, ave_forward
from caffepy.cpu._max_windows import max_backward, max_backward_by_ones, max_forward, max_places
from caffepy.cpu._planes import Planes, Shape
from caffepy.cpu._pool_planes import Sizes, reverse_sizes

__all__ = ["AvePool", "MaxPool"]


class MaxPool(Planes):
    """``y = max of x over the window``; padding is no value. The first of equal maxima gets the gradient.

    Caffe's pooling_layer.cpp. A window of nothing above -FLT_MAX, or of NaN only, gives -FLT_MAX and has no gradient,
    as there.

    Args:
        backend: the CPU.
        kernel, stride, pad: height and width.
    """

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Make room for the numbers of the maxima in their windows, a byte each where these have less than 255."""
        if not self._changed(x_shape, y_shape):
            return
        self._sizes = Sizes(x_shape, y_shape, self._window)
        self._reverse = reverse_sizes(x_shape, y_shape, self._window)
        # The greatest number stands for no maximum.
        kind = next(kind for kind in (np.uint8, np.uint16, np.uint32) if len(self._sizes.steps) <= np.iinfo(kind).max)
        self._chosen = self._backend.empty(y_shape, kind)
        # Read where there is no gradient too; what stands there does not matter.
        size = max(8, self._reverse.memory if self._reverse else 0)
        self._numbers = np.zeros((self._workers.threads, size), kind)
        self._memory(self._sizes)
        self._memory(self._reverse or self._sizes)

    def _memory(self, sizes: Sizes) -> Array:
        return self._backend.scratch((self._workers.threads, sizes.memory))

    def forward(self, x: Array, out: Array, mask: Array | None = None) -> None:
        """``mask``, of y's shape, gets the index of each maximum in its plane."""
        values, y, chosen, memory = x.reshape(-1), out.reshape(-1), self._chosen.reshape(-1), self._memory(self._sizes)
        sizes, steps = self._sizes.numbers, self._sizes.steps
        self._each_plane(
            lambda first, last, worker: max_forward(
                first, last, values, sizes, memory[worker], self._numbers[worker], y, chosen
            )
        )
        if mask is not None:
            places = mask.reshape(-1)
            self._each_plane(lambda first, last, worker: max_places(first, last, chosen, sizes, steps, places))

    def backward(self, dy: Array, out: Array) -> None:
        """``out``, of x's shape, is overwritten."""
        grads, dx, chosen = dy.reshape(-1), out.reshape(-1), self._chosen.reshape(-1)
        if self._reverse is not None:
            memory, reverse = self._memory(self._reverse), self._reverse.numbers
            self._each_plane(
                lambda first, last, worker: max_backward_by_ones(
                    first, last, grads, chosen, reverse, memory[worker], self._numbers[worker], dx
                )
            )
            return
        sizes, steps = self._sizes.numbers, self._sizes.steps
        self._each_plane(lambda first, last, worker: max_backward(first, last, grads, chosen, sizes, steps, dx))


class AvePool(Planes):
    """``y = sum of x over the window / size of the window``, the size clipped to the padded image (Caffe's rule).

    Args:
        backend: the CPU.
        kernel, stride, pad: height and width.
    """

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Count the columns of each window; reserve room to add in."""
        if self._changed(x_shape, y_shape):
            self._sizes = Sizes(x_shape, y_shape, self._window)
            self._reverse = reverse_sizes(x_shape, y_shape, self._window)
            self._widths = self._sizes.widths.astype(self._backend.dtype)
            # To stage a plane, or a row of the image. Not scratch: LRNWithin has that while it calls this op.
            size = max(self._sizes.memory, self._reverse.memory if self._reverse else int(self._sizes.numbers[1]))
            self._memory = self._backend.empty((self._workers.threads, size))

    def forward(self, x: Array, out: Array) -> None:
        """``out`` is overwritten."""
        values, y, memory = x.reshape(-1), out.reshape(-1), self._memory
        sizes, widths = self._sizes.numbers, self._widths
        self._each_plane(lambda first, last, worker: ave_forward(first, last, values, sizes, widths, memory[worker], y))

    def backward(self, dy: Array, out: Array) -> None:
        """``out``, of x's shape, is overwritten."""
        grads, dx, memory = dy.reshape(-1), out.reshape(-1), self._memory
        sizes, widths = self._sizes.numbers, self._widths
        if self._reverse is not None:
            reverse, clip = self._reverse.numbers, int(sizes[8])
            self._each_plane(
                lambda first, last, worker: ave_backward_by_ones(
                    first, last, grads, reverse, widths, clip, memory[worker], dx
                )
            )
            return
        self._each_plane(
            lambda first, last, worker: ave_backward(first, last, grads, sizes, widths, memory[worker], dx)
        )
