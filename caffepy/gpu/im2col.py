"""Images laid out in columns, one for each place of a window."""

from __future__ import annotations

from caffepy.backend import Array, Backend
from caffepy.gpu._geometry import Geometry

__all__ = ["Im2col"]

Shape = tuple[int, ...]


class Im2col:
    """``y[n, (c, k), p] = x[n, c, p * stride - pad + k * dilation]``, 0 outside the image.

    x (N, C, *spatial), y (N, C * prod(kernel), *output), any number of spatial axes, at least one; channels of y run
    over channels of x and, fastest, taps k. Source: Caffe's im2col.cu.

    Args:
        backend: a GPU.
        kernel, stride, pad, dilation: one number for each spatial axis.
    """

    def __init__(self, backend: Backend, kernel: Shape, stride: Shape, pad: Shape, dilation: Shape) -> None:
        self._geometry = Geometry(backend, kernel, stride, pad, dilation)
        self._shapes: tuple[Shape, Shape] = ((), ())

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Note the shapes."""
        if (x_shape, y_shape) == self._shapes:
            return
        self._shapes = (x_shape, y_shape)
        self._geometry.plan(x_shape, y_shape)
        places = self._geometry.places
        self._steps = y_shape[1] * places, places

    def forward(self, x: Array, out: Array) -> None:
        """``out`` is overwritten and may not be ``x``; both may have any shapes of as many elements."""
        self._geometry.unfold(x.reshape(self._shapes[0]), out, *self._steps)

    def backward(self, dy: Array, out: Array) -> None:
        """``out``, of x's shape, is overwritten with the sums of what came from each element."""
        self._geometry.fold(dy, out.reshape(self._shapes[0]), *self._steps)
