"""What the pooling ops share: windows over the planes of images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from caffepy.backend import Backend

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["Pair", "Planes", "Shape"]

Pair = tuple[int, int]
Shape = tuple[int, ...]

_FIELDS = "height width rows columns kernel_h kernel_w stride_h stride_w pad_h pad_w shift"
#: `Window` of _window.cuh.
_WINDOW = np.dtype([(name, np.int32) for name in _FIELDS.split()])

# From so many values on threads of a warp share a window: one thread after the other would each read far apart.
_LARGE = 32
_WARP = 32


class Planes:
    """Windows over planes of x (N, C, H, W) and y (N, C, h, w)."""

    def __init__(self, backend: Backend, kernel: Pair, stride: Pair, pad: Pair) -> None:
        self._backend = backend
        self._kernels = cast("GpuBackend", backend).kernels("pool")
        self._kernel, self._stride, self._pad = kernel, stride, pad
        self._shapes: tuple[Shape, Shape] = ((), ())

    def _changed(self, x_shape: Shape, y_shape: Shape) -> bool:
        """Whether the shapes are others than before; then ``_window`` and ``_threads`` are those of the new ones."""
        if (x_shape, y_shape) == self._shapes:
            return False
        self._shapes = (x_shape, y_shape)
        shared = math.prod(self._kernel) >= _LARGE
        shift = min((self._kernel[1] - 1).bit_length(), 5) if shared else 0
        numbers = (*x_shape[2:], *y_shape[2:], *self._kernel, *self._stride, *self._pad, shift)
        self._window: Any = np.array([numbers], _WINDOW)[0]
        # Whole warps, whose threads exchange what they found.
        self._threads = -(-(math.prod(y_shape) << shift) // _WARP) * _WARP
        return True
