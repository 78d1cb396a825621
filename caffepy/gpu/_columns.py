"""Convolution by kernels of our own and cuBLAS: images become columns side by side, and are multiplied together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._blas import product
from caffepy.gpu._geometry import Geometry
from caffepy.gpu._kernels import blocks_for

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["Columns"]

Shape = tuple[int, ...]

# So many bytes of columns at a time: more than fill a GPU, and bounded whatever the batch.
_COLS_BYTES = 128 << 20


class _Part(NamedTuple):
    """Memory for some images that are multiplied together.

    Attributes:
        cols: (group, C / group * taps, images * places).
        packed: (group, num_output / group, images * places).
    """

    cols: Array
    packed: Array


class Columns:
    """Cross-correlation of any kind, see `caffepy.gpu.conv.Conv`, by products of filters and columns.

    Some images at a time, as many as memory is set aside for, become columns beside one another, (C * taps, images *
    places), and each group takes one product (Chellapilla, Puri, Simard, "High performance convolutional neural
    networks", 2006; Caffe's im2col.cu).
    """

    def __init__(
        self, backend: Backend, num_output: int, kernel: Shape, stride: Shape, pad: Shape, dilation: Shape, group: int
    ) -> None:
        self._gpu = cast("GpuBackend", backend)
        self._kernels = self._gpu.kernels("conv")
        self._num_output = num_output
        self._group = group
        self._geometry = Geometry(backend, kernel, stride, pad, dilation)
        self._shapes: tuple[Shape, Shape] = ((), ())

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Choose how many images to go through at a time; reserves memory for their columns."""
        if (x_shape, y_shape) == self._shapes:
            return
        self._shapes = (x_shape, y_shape)
        self._geometry.plan(x_shape, y_shape)
        self._images, self._places = x_shape[0], math.prod(y_shape[2:])
        self._depth = x_shape[1] * self._geometry.taps
        # Filters in float16, where x is.
        self._rounded = self._num_output * self._depth // self._group if self._gpu.dtype == np.float16 else 0
        image_bytes = max((self._depth + self._num_output) * self._places * self._gpu.dtype.itemsize, 1)
        self._together = max(1, min(_COLS_BYTES // image_bytes, self._images))
        self._memory()

    def _memory(self) -> Array:
        return self._gpu.scratch(((self._depth + self._num_output) * self._together * self._places + self._rounded,))

    def _part(self, memory: Array, images: int) -> _Part:
        span = images * self._places
        cols, packed = self._depth * span, self._num_output * span
        return _Part(
            memory[:cols].reshape(self._group, self._depth // self._group, span),
            memory[cols : cols + packed].reshape(self._group, self._num_output // self._group, span),
        )

    def _parts(self, memory: Array) -> list[tuple[slice, _Part]]:
        """Which images are multiplied together, and where in ``memory``."""
        ends = [min(begin + self._together, self._images) for begin in range(0, self._images, self._together)]
        begins = range(0, self._images, self._together)
        return [(slice(begin, end), self._part(memory, end - begin)) for begin, end in zip(begins, ends, strict=True)]

    def _filters(self, w: Array) -> Array:
        return w.reshape(self._group, self._num_output // self._group, self._depth // self._group)

    def _factors(self, w: Array, memory: Array) -> Array:
        """`_filters`, or for products of float16 a copy rounded to it, behind the images' memory."""
        if not self._rounded:
            return self._filters(w)
        rounded = memory[memory.size - self._rounded :]
        self._gpu.kernels("gemm").elements("gemm_round", w.size, w, rounded)
        return self._filters(rounded)

    def _unfold(self, x: Array, cols: Array) -> None:
        self._geometry.unfold(x, cols, self._places, len(x) * self._places)

    def _pack(self, dy: Array, packed: Array) -> Array:
        """``packed`` with images side by side; of one image ``dy`` itself."""
        if len(dy) == 1:
            return dy.reshape(packed.shape)
        self._kernels.launch("conv_pack", blocks_for(dy.size), (dy, packed, *self._sizes(dy)))
        return packed

    def _sizes(self, y: Array) -> tuple[np.int32, np.int32, np.int32]:
        return np.int32(len(y)), np.int32(self._num_output), np.int32(self._places)

    def forward(
        self, x: Array, w: Array, shift: Array | None, out: Array, scale: Array | None = None, slope: float = 1.0
    ) -> None:
        """``y = f(scale * (x * w) + shift)``, overwritten, f(v) = v where v > 0, else v * slope; ``out`` may not be x.

        scale and shift are (num_output,), and 1 and 0 where they are None.
        """
        if not out.size:
            return
        plain = shift is None and scale is None and slope == 1.0
        numbers = [np.uintp(0) if each is None else each for each in (scale, shift)]
        memory = self._memory()
        filters = self._factors(w, memory)
        for some, (cols, packed) in self._parts(memory):
            y = out[some]
            self._unfold(x[some], cols)
            result = y.reshape(packed.shape) if len(y) == 1 else packed
            product(filters, cols, result, tf32=self._gpu.tf32)
            if not plain or len(y) > 1:
                args = (result, *numbers, y, self._gpu.number(slope), *self._sizes(y))
                self._kernels.launch("conv_unpack", blocks_for(y.size), args)

    def backward_data(self, dy: Array, w: Array, out: Array) -> None:
        """``out`` (N, C, *spatial) is overwritten."""
        if not dy.size:
            out.fill(0)
            return
        memory = self._memory()
        filters = self._factors(w, memory)
        for some, (cols, packed) in self._parts(memory):
            product(filters, self._pack(dy[some], packed), cols, left_t=True, tf32=self._gpu.tf32)
            self._geometry.fold(cols, out[some], self._places, len(dy[some]) * self._places)

    def backward_filter(self, x: Array, dy: Array, out: Array) -> None:
        """Adds to ``out``, of w's shape."""
        if not dy.size:
            return
        filters = self._filters(out)
        for some, (cols, packed) in self._parts(self._memory()):
            self._unfold(x[some], cols)
            product(self._pack(dy[some], packed), cols, filters, right_t=True, add=True, tf32=self._gpu.tf32)
