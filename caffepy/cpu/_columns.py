"""Convolution as products of matrices: images become columns, and threads share the images."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._bias import finish_channels
from caffepy.cpu._grid import Grid
from caffepy.cpu._unfold import pack, unpack
from caffepy.cpu.gemm import InnerProduct

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["Columns"]

Shape = tuple[int, ...]

# Small images are unfolded side by side and share a product, up to this many bytes: larger ones gain nothing, and leave
# the L2 cache.
_COLS_BYTES = 1 << 20
# Filters whose gradients are computed, and then added, together: they stay in the cache in between.
_ROWS = 128


class Columns:
    """Cross-correlation of any kind, see `caffepy.cpu.conv.Conv`, by products of filters and columns.

    Each image becomes columns, one for each place of y, and is multiplied (Chellapilla, Puri, Simard, "High performance
    convolutional neural networks", 2006; Caffe's im2col.cpp). Where the columns would be the image itself (1 x 1)
    nothing is unfolded; where the image would be one column (a kernel as large as it) this is an inner product.
    """

    def __init__(
        self, backend: Backend, num_output: int, kernel: Shape, stride: Shape, pad: Shape, dilation: Shape, group: int
    ) -> None:
        self._backend = backend
        self._workers = cast("CpuBackend", backend).workers
        self._num_output = num_output
        self._group = group
        self._grid = Grid(kernel, stride, pad, dilation)
        self._taps = math.prod(kernel)
        # Images of this size are one column each.
        self._whole = tuple(kernel) if all(p == 0 and d == 1 for p, d in zip(pad, dilation, strict=True)) else None
        self._pointwise = all(k == s == 1 and p == 0 for k, s, p in zip(kernel, stride, pad, strict=True))
        self._ones, self._zeros = np.ones(num_output, backend.dtype), np.zeros(num_output, backend.dtype)
        self._shapes: tuple[Shape, Shape] = ((), ())

    def plan(self, x_shape: Shape, y_shape: Shape) -> None:
        """Choose how to go through images of ``x_shape``; reserves memory for columns."""
        if (x_shape, y_shape) == self._shapes:
            return
        self._shapes = (x_shape, y_shape)
        images, self._places = x_shape[0], math.prod(y_shape[2:])
        self._depth = x_shape[1] * self._taps
        self._product: InnerProduct | None = None
        if self._places == 1 and self._whole == x_shape[2:] and self._group == 1:
            self._product = InnerProduct(self._backend, transpose=False)
            self._product.plan((images, self._depth), (images, self._num_output))
            return
        self._grid.plan(x_shape, y_shape)
        column_bytes = max(self._depth * self._places * self._backend.dtype.itemsize, 1)
        self._together = max(1, min(_COLS_BYTES // column_bytes, -(-images // self._workers.threads)))
        self._span = self._together * self._places
        self._memory()

    def _carved(self) -> list[tuple[Array, Array, Array]]:
        """For each thread: columns, y or dy beside one another, and some filters' gradients by group."""
        cols, packed = self._depth * self._span, self._num_output * self._span
        return [
            (
                part[:cols].reshape(self._depth, self._span),
                part[cols : cols + packed].reshape(self._num_output, self._span),
                part[cols + packed :].reshape(self._group, -1, self._depth // self._group),
            )
            for part in self._memory()[0]
        ]

    def _memory(self) -> tuple[Array, Array]:
        """What `_carved` divides, and the whole gradient of w for each thread but the first."""
        threads = self._workers.threads
        size = self._span * (self._depth + self._num_output) + min(self._num_output, self._group * _ROWS) * self._depth
        weights = self._num_output * self._depth // self._group
        memory = self._backend.scratch((threads * size + (threads - 1) * weights,))
        return memory[: threads * size].reshape(threads, size), memory[threads * size :].reshape(threads - 1, weights)

    def _unfold(self, x: Array, first: int, last: int, cols: Array) -> None:
        """Images x (N, C, *plane) into columns (C * taps, images * places or more)."""
        if self._pointwise:
            pack(x.reshape(len(x), self._depth, self._places), first, last, cols)
        else:
            self._grid.unfold(x, first, last, cols)

    def _fold(self, cols: Array, first: int, last: int, x: Array) -> None:
        """The transpose of `_unfold`."""
        if self._pointwise:
            unpack(cols, first, last, x.reshape(len(x), self._depth, self._places))
        else:
            self._grid.fold(cols, first, last, x)

    def _grouped(self, rows: Array, span: int) -> Array:
        """Rows (channels or filters, columns) by group, of the first ``span`` columns."""
        return rows.reshape(self._group, len(rows) // self._group, -1)[..., :span]

    def _filters(self, w: Array) -> Array:
        return w.reshape(self._group, self._num_output // self._group, -1)

    def _share(self, images: int, task: Callable[[int, int, int], None]) -> None:
        """Call ``task(first, last, worker)`` for images that are multiplied together."""

        def part(first: int, last: int, worker: int) -> None:
            for begin in range(first, last, self._together):
                task(begin, min(begin + self._together, last), worker)

        self._workers.run(images, part)

    def forward(
        self, x: Array, w: Array, shift: Array | None, out: Array, scale: Array | None = None, slope: float = 1.0
    ) -> None:
        """``y = f(scale * (x * w) + shift)``, overwritten, f(v) = v where v > 0, else v * slope; ``out`` may not be x.

        ``shift`` and ``scale`` are (num_output,), or None for 0 and 1.
        """
        images, places = len(x), self._places
        y = out.reshape(images, self._num_output, places)
        plain = shift is None and scale is None and slope == 1.0
        numbers = (self._ones if scale is None else scale, self._zeros if shift is None else shift, y.dtype.type(slope))

        def finish(first: int, last: int, begin: int = 0, end: int = self._num_output) -> None:
            if not plain:
                finish_channels(first, last, begin, end, y, *numbers)

        if self._product is not None:
            matrices = x.reshape(images, self._depth), w.reshape(len(w), -1)
            self._product.forward(*matrices, None, out.reshape(images, self._num_output))
            finish(0, images)
            return
        planes, weights, memory = self._grid.planes(x), self._filters(w), self._carved()

        def columns(first: int, last: int, worker: int) -> Array:
            if self._pointwise and self._together == 1:
                return planes[first].reshape(self._group, -1, places)
            self._unfold(planes, first, last, memory[worker][0])
            return self._grouped(memory[worker][0], (last - first) * places)

        def some(first: int, last: int, worker: int) -> None:
            if self._together == 1:
                np.matmul(weights, columns(first, last, worker), out=self._grouped(y[first], places))
            else:
                product = memory[worker][1]
                span = (last - first) * places
                np.matmul(weights, columns(first, last, worker), out=self._grouped(product, span))
                unpack(product, first, last, y)
            finish(first, last)

        if images >= self._workers.threads:
            self._share(images, some)
            return
        # Too few images to share: the filters are.
        filters = weights.shape[1]
        for n in range(images):
            cols, product = columns(n, n + 1, 0), self._grouped(y[n], places)

            def rows(first: int, last: int, worker: int, n: int = n, cols: Array = cols, y: Array = product) -> None:
                np.matmul(weights[:, first:last], cols, out=y[:, first:last])
                for begin in range(0, self._num_output, filters):
                    finish(n, n + 1, begin + first, begin + last)

            self._workers.run(filters, rows)

    def backward_data(self, dy: Array, w: Array, out: Array) -> None:
        """``out`` (N, C, *spatial) is overwritten."""
        images, places = len(dy), self._places
        if self._product is not None:
            matrices = dy.reshape(images, self._num_output), w.reshape(len(w), -1)
            self._product.backward_data(*matrices, out.reshape(images, self._depth))
            return
        grads = dy.reshape(images, self._num_output, places)
        weights = self._filters(w).transpose(0, 2, 1)
        planes, memory = self._grid.planes(out), self._carved()

        def some(first: int, last: int, worker: int) -> None:
            cols, packed, _ = memory[worker]
            span = (last - first) * places
            if self._together == 1:
                grad = self._grouped(grads[first], places)
            else:
                pack(grads, first, last, packed)
                grad = self._grouped(packed, span)
            if self._pointwise and self._together == 1:
                np.matmul(weights, grad, out=planes[first].reshape(self._group, -1, places))
            else:
                np.matmul(weights, grad, out=self._grouped(cols, span))
                self._fold(cols, first, last, planes)

        self._share(images, some)

    def backward_filter(self, x: Array, dy: Array, out: Array) -> None:
        """Adds to ``out``, of w's shape."""
        images, places = len(x), self._places
        if self._product is not None:
            matrices = x.reshape(images, self._depth), dy.reshape(images, self._num_output)
            self._product.backward_filter(*matrices, out.reshape(len(out), -1))
            return
        grads = dy.reshape(images, self._num_output, places)
        planes, memory, sums = self._grid.planes(x), self._carved(), self._memory()[1]
        filters = self._filters(out)
        # The first thread adds to ``out`` itself.
        totals = [filters, *(self._filters(part) for part in sums[: max(images, 1) - 1])]
        sums[...] = 0

        def some(first: int, last: int, worker: int) -> None:
            cols, packed, products = memory[worker]
            span = (last - first) * places
            self._unfold(planes, first, last, cols)
            pack(grads, first, last, packed)
            left, right = self._grouped(packed, span), self._grouped(cols, span).transpose(0, 2, 1)
            for begin in range(0, left.shape[1], _ROWS):
                rows = slice(begin, begin + _ROWS)
                total, product = totals[worker][:, rows], products[:, : left[:, rows].shape[1]]
                np.matmul(left[:, rows], right, out=product)
                np.add(total, product, out=total)

        self._share(images, some)
        for total in totals[1:]:
            np.add(filters, total, out=filters)
