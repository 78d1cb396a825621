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
# Places of an image that stay in one thread: two cache lines.
_PLACES = 32


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

        def finish(first: int, last: int, channels: Shape = (0, self._num_output), part: Shape = (0, places)) -> None:
            if not plain:
                finish_channels(first, last, channels, part, y, *numbers)

        if self._product is not None:
            matrices = x.reshape(images, self._depth), w.reshape(len(w), -1)
            self._product.forward(*matrices, None, out.reshape(images, self._num_output))
            finish(0, images)
            return
        planes, weights = self._grid.planes(x), self._filters(w)
        if images < self._workers.threads:
            for n in range(images):
                self._forward_one(n, planes, weights, y, finish)
            return
        memory = self._carved()

        def some(first: int, last: int, worker: int) -> None:
            cols, product, _ = memory[worker]
            span = (last - first) * places
            if self._grid.pointwise and self._together == 1:
                columns = planes[first].reshape(self._group, -1, places)
            else:
                self._grid.unfold(planes, first, last, cols)
                columns = self._grouped(cols, span)
            if self._together == 1:
                np.matmul(weights, columns, out=self._grouped(y[first], places))
            else:
                np.matmul(weights, columns, out=self._grouped(product, span))
                unpack(product, first, last, y)
            finish(first, last)

        self._share(images, some)

    def _forward_one(self, n: int, planes: Array, weights: Array, y: Array, finish: Callable[..., None]) -> None:
        """Image ``n`` in all threads: they share its channels to unfold it, and to multiply, filters or places."""
        filters = weights.shape[1]
        if self._grid.pointwise:
            cols = planes[n].reshape(self._group, -1, self._places)
        else:
            rows, taps = self._carved()[0][0], self._taps

            def unfold(first: int, last: int, worker: int) -> None:
                self._grid.unfold(planes[n : n + 1, first:last], 0, 1, rows[first * taps : last * taps])

            self._workers.run(planes.shape[1], unfold)
            cols = self._grouped(rows, self._places)
        product = self._grouped(y[n], self._places)

        def by_filters(first: int, last: int, worker: int) -> None:
            np.matmul(weights[:, first:last], cols, out=product[:, first:last])
            for begin in range(0, self._num_output, filters):
                finish(n, n + 1, (begin + first, begin + last))

        def by_places(first: int, last: int, worker: int) -> None:
            part = slice(first * _PLACES, min(last * _PLACES, self._places))
            np.matmul(weights, cols[..., part], out=product[..., part])
            finish(n, n + 1, part=(part.start, part.stop))

        # A product lays out the whole of what is not divided, in each thread.
        if self._places > 2 * filters:
            self._workers.run(-(-self._places // _PLACES), by_places)
        else:
            self._workers.run(filters, by_filters)

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
            if self._grid.pointwise and self._together == 1:
                np.matmul(weights, grad, out=planes[first].reshape(self._group, -1, places))
            else:
                np.matmul(weights, grad, out=self._grouped(cols, span))
                self._grid.fold(cols, first, last, planes)

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
            self._grid.unfold(planes, first, last, cols)
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
