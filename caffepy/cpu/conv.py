"""Convolution as products of matrices, images shared over threads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel
from caffepy.cpu._unfold import fold_2d, fold_nd, unfold_2d, unfold_nd

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["Conv"]

Shape = tuple[int, ...]

# Unfolded images that one product of the weights' gradient reads: larger products are faster, as long as they stay in
# the last cache.
_COLS_BYTES = 4 << 20


class Conv:
    """Cross-correlation with groups, in any number of spatial axes; x (N, C, *spatial), y (N, num_output, *output)::

        y[n, m, p] = b[m] + sum over c, k of w[m, c, k] * x[n, c, p * stride - pad + k * dilation]

    with c over the channels of m's group; w is (num_output, C / group, *kernel). Each image becomes columns and is
    multiplied (Chellapilla, Puri, Simard, "High performance convolutional neural networks", 2006; Caffe's im2col.cpp);
    where the columns would be the image itself (1 x 1), or the image one column (a kernel as large as it), nothing is
    unfolded.

    Args:
        backend: the CPU.
        num_output: channels of y.
        kernel, stride, pad, dilation: one number for each spatial axis.
        group: channels of x and y fall into this many groups, convolved by themselves.
    """

    def __init__(
        self, backend: Backend, num_output: int, kernel: Shape, stride: Shape, pad: Shape, dilation: Shape, group: int
    ) -> None:
        self._backend = backend
        self._workers = cast("CpuBackend", backend).workers
        self._num_output = num_output
        self._group = group
        self._window = np.array([kernel, stride, pad, dilation], np.int64).reshape(4, -1)
        self._pointwise = all(k == s == 1 and p == 0 for k, s, p in zip(kernel, stride, pad, strict=True))
        self._shapes: tuple[Shape, Shape] = ((), ())

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Choose how to go through images of ``x_shape``; reserves memory for columns."""
        if (x_shape, y_shape) == self._shapes:
            return
        self._shapes = (x_shape, y_shape)
        kernel = tuple(int(k) for k in self._window[0])
        self._places = math.prod(y_shape[2:])
        self._depth = x_shape[1] * math.prod(kernel)
        # One place, no padding, no dilation: the image is its own column, and all images make one matrix.
        plain = not self._window[2].any() and (self._window[3] == 1).all()
        self._whole = self._places == 1 and kernel == x_shape[2:] and plain
        self._lay_out(x_shape, y_shape)
        images, threads = x_shape[0], self._workers.threads
        column_bytes = max(self._depth * self._places * self._backend.dtype.itemsize, 1)
        self._together = max(1, min(_COLS_BYTES // column_bytes, -(-images // threads)))
        self._cols_size = 0 if self._pointwise or self._whole else self._depth * self._places
        self._weights = self._num_output * self._depth // self._group
        self._filter_size = self._together * (self._depth + self._num_output) * self._places + 2 * self._weights
        self._memory(max(self._cols_size, self._filter_size))

    def _lay_out(self, x_shape: Shape, y_shape: Shape) -> None:
        """Spatial shapes and window as the kernels take them: two axes, or as many as there are beyond two."""
        axes = len(x_shape) - 2
        self._flat = axes <= 2
        if not self._flat:
            self._x_spatial = np.array(x_shape[2:], np.int64)
            self._y_spatial = np.array(y_shape[2:], np.int64)
            self._plane: Shape = (math.prod(x_shape[2:]),)
            return
        missing = 2 - axes
        neutral = np.array([[1], [1], [0], [1]], np.int64).repeat(missing, axis=1)
        self._window2 = np.ascontiguousarray(np.concatenate([neutral, self._window], axis=1))
        self._plane = (1,) * missing + x_shape[2:]
        self._out = (1,) * missing + y_shape[2:]

    def _memory(self, size: int) -> Array:
        return self._backend.scratch((self._workers.threads, size))

    def _unfold(self, image: Array, cols: Array, offset: int = 0) -> None:
        """One image (C, *plane) into columns (C * taps, places or more), from column ``offset`` on."""
        if self._flat:
            unfold_2d(image, self._window2, self._out[0], self._out[1], offset, cols)
        else:
            unfold_nd(image, self._x_spatial, self._y_spatial, self._window, offset, cols)

    def _fold(self, cols: Array, image: Array) -> None:
        if self._flat:
            fold_2d(cols, self._window2, self._out[0], self._out[1], image)
        else:
            fold_nd(cols, self._x_spatial, self._y_spatial, self._window, image)

    def _grouped(self, w: Array) -> Array:
        return w.reshape(self._group, self._num_output // self._group, self._depth // self._group)

    def forward(self, x: Array, w: Array, b: Array | None, out: Array) -> None:
        """``out`` is overwritten and may not be ``x``; ``b`` (num_output,) or None."""
        images, group, depth, places = len(x), self._group, self._depth, self._places
        y = out.reshape(images, group, -1, places)
        weights = self._grouped(w)
        if self._whole:
            self._forward_whole(x, weights, y)
            if b is not None:
                np.add(out.reshape(images, -1), b, out=out.reshape(images, -1))
            return
        planes = x.reshape(images, -1, *self._plane)
        memory = self._memory(self._cols_size)

        def columns(n: int, worker: int) -> Array:
            if self._pointwise:
                return planes[n].reshape(group, depth // group, places)
            cols = memory[worker].reshape(group, depth // group, places)
            self._unfold(planes[n], cols.reshape(depth, places))
            return cols

        def part(first: int, last: int, worker: int) -> None:
            for n in range(first, last):
                np.matmul(weights, columns(n, worker), out=y[n])

        if images >= self._workers.threads:
            self._workers.run(images, part)
        else:
            # Too few images to share: the rows of each product are.
            for n in range(images):
                self._forward_rows(weights, columns(n, 0), y[n])
        if b is not None:
            self._add_bias(out.reshape(images, -1, places), b)

    def _forward_rows(self, weights: Array, cols: Array, y: Array) -> None:
        def rows(first: int, last: int, worker: int) -> None:
            np.matmul(weights[:, first:last], cols, out=y[:, first:last])

        self._workers.run(weights.shape[1], rows)

    def _add_bias(self, y: Array, b: Array) -> None:
        self._workers.run(len(y), lambda first, last, worker: _add_bias(first, last, y, b))

    def _forward_whole(self, x: Array, weights: Array, y: Array) -> None:
        columns = x.reshape(len(x), self._group, -1)
        for g in range(self._group):
            np.matmul(columns[:, g], weights[g].T, out=y[:, g, :, 0])

    def backward_data(self, dy: Array, w: Array, out: Array) -> None:
        """``out`` (N, C, *spatial) is overwritten."""
        images, group, depth, places = len(dy), self._group, self._depth, self._places
        grads = dy.reshape(images, group, -1, places)
        weights = self._grouped(w).transpose(0, 2, 1)
        if self._whole:
            dx = out.reshape(images, group, -1)
            for g in range(group):
                np.matmul(grads[:, g, :, 0], weights[g].T, out=dx[:, g])
            return
        planes = out.reshape(images, -1, *self._plane)
        memory = self._memory(self._cols_size)

        def part(first: int, last: int, worker: int) -> None:
            cols = memory[worker].reshape(group, depth // group, -1)
            for n in range(first, last):
                if self._pointwise:
                    np.matmul(weights, grads[n], out=planes[n].reshape(group, depth // group, places))
                else:
                    np.matmul(weights, grads[n], out=cols)
                    self._fold(cols.reshape(depth, places), planes[n])

        self._workers.run(images, part)

    def backward_filter(self, x: Array, dy: Array, out: Array) -> None:
        """Adds to ``out``, of w's shape."""
        images, group, depth, places = len(x), self._group, self._depth, self._places
        planes = x.reshape(images, -1, *self._plane)
        grads = dy.reshape(images, self._num_output, places)
        memory = self._memory(self._filter_size)
        together = self._together

        def part(first: int, last: int, worker: int) -> None:
            cols, packed, product, total = self._carve(memory[worker])
            total[...] = 0
            for n in range(first, last, together):
                count = min(together, last - n)
                for i in range(count):
                    if self._pointwise or self._whole:
                        cols[:, i * places : (i + 1) * places] = planes[n + i].reshape(depth, places)
                    else:
                        self._unfold(planes[n + i], cols, i * places)
                    packed[:, i * places : (i + 1) * places] = grads[n + i]
                span = count * places
                np.matmul(
                    packed.reshape(group, -1, together * places)[..., :span],
                    cols.reshape(group, depth // group, -1)[..., :span].transpose(0, 2, 1),
                    out=product,
                )
                total += product

        grad = self._grouped(out)
        for worker in range(self._workers.run(images, part)):
            grad += self._carve(memory[worker])[3]

    def _carve(self, memory: Array) -> tuple[Array, Array, Array, Array]:
        """A worker's memory as columns, packed dy, a product and the sum of products."""
        span = self._together * self._places
        cols_end = self._depth * span
        packed_end = cols_end + self._num_output * span
        product_end = packed_end + self._weights
        return (
            memory[:cols_end].reshape(self._depth, span),
            memory[cols_end:packed_end].reshape(self._num_output, span),
            self._grouped(memory[packed_end:product_end]),
            self._grouped(memory[product_end : product_end + self._weights]),
        )

    def backward_bias(self, dy: Array, out: Array) -> None:
        """Adds to ``out`` (num_output,)."""
        grads = dy.reshape(len(dy), self._num_output, -1)
        self._workers.run(self._num_output, lambda first, last, worker: _sum_bias(first, last, grads, out))


@kernel
def _add_bias(first: int, last: int, y: Array, b: Array) -> None:
    for n in range(first, last):
        for m in range(y.shape[1]):
            value = b[m]
            for p in range(y.shape[2]):
                y[n, m, p] += value


@kernel
def _sum_bias(first: int, last: int, dy: Array, out: Array) -> None:
    for m in range(first, last):
        total = 0.0
        for n in range(dy.shape[0]):
            part = dy.dtype.type(0)
            for p in range(dy.shape[2]):
                part += dy[n, m, p]
            total += part
        out[m] += total
