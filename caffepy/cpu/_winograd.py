"""Convolution with fewer multiplications."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from caffepy.backend import Array
from caffepy.cpu._winograd_products import multiply_gradients, multiply_tiles
from caffepy.cpu._winograd_tiles import Tiles
from caffepy.cpu._winograd_transforms import (
    filters_to_points,
    gradients_to_points,
    images_to_points,
    points_to_filters,
    points_to_images,
    work_size,
)

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["Winograd"]

# A cache line, in numbers.
_LINE = 16
# Numbers of memory for transformed images, gradients and filters, unless a strip takes more.
_MOST = 14 << 20
# Those of a block of a filters' gradient: they stay in the L3 cache.
_LONG = 5 << 19


def _step(count: int) -> int:
    """Numbers from one point's values to the next's: such that a tile's points do not share a set of a cache."""
    lines = -(-count // _LINE)
    return _LINE * (lines + (1 - lines) % 64)


class _Memory:
    """Hands out parts of one array, each beginning at a cache line."""

    def __init__(self, memory: Array) -> None:
        self._memory = memory
        self._next = -(memory.ctypes.data // memory.itemsize) % _LINE

    def take(self, count: int) -> Array:
        part = self._memory[self._next : self._next + count]
        self._next += -(-count // _LINE) * _LINE
        return part


class Winograd:
    """Forward and filters' gradient of the convolution that ``tiles`` describes, by the algorithm of that name.

    All in float32. Strips of tiles are transformed in blocks whose values and products stay in the L3 cache; threads
    share the strips, and in `backward_filter` the points of a tile.
    """

    def __init__(self, backend: CpuBackend, tiles: Tiles) -> None:
        self._backend = backend
        self._workers = backend.workers
        self._tiles = tiles
        t = tiles
        self._rows, self._filters = 8 * t.panels * t.group, 8 * t.filter_panels * t.group
        self._u_size = 8 * t.panels * self._filters
        self._u_step = _step(self._u_size)
        strips, threads = t.images * t.rows, self._workers.threads
        strip = t.points * t.columns * (self._rows + self._filters)
        most = max(1, (_MOST - t.points * self._u_step) // strip)
        share = -(-strips // min(threads, max(strips, 1)))
        self._block = max(1, min(share, -(-self._wanted_tiles() // t.columns), most // threads))
        self._long_block = max(1, min(strips, most, max(self._block, _LONG // strip)))
        self._chunk = t.filter_panels
        self._memory()

    def _wanted_tiles(self) -> int:
        """Of a block: transformed filters are read once for each, values and products once for each tile."""
        return max(48, round(0.6 * self._u_size / (self._rows + self._filters)))

    def _sizes(self, length: int) -> tuple[int, int]:
        """From point to point, of the values of x and of y, for ``length`` tiles."""
        return _step(length * self._rows), _step(length * self._filters)

    def _memory(self) -> _Memory:
        t, threads = self._tiles, self._workers.threads
        work = threads * work_size(t) + 2 * self._filters
        v_step, p_step = self._block * t.columns * self._rows, _step(self._block * t.columns * 8 * self._chunk)
        v_step = _step(v_step)
        forward = threads * t.points * (v_step + p_step)
        backward = t.points * sum(self._sizes(self._long_block * t.columns))
        most = t.points * self._u_step + work + max(forward, backward) + _LINE * (4 * threads + 5)
        return _Memory(self._backend.scratch((most,)))

    def _blocks(self, first: int, last: int, most: int) -> Iterator[tuple[int, int]]:
        """Even parts of a range, none longer than ``most``."""
        parts = -(-(last - first) // most)
        for part in range(parts):
            yield first + (last - first) * part // parts, first + (last - first) * (part + 1) // parts

    def forward(
        self,
        x: Array,
        w: Array,
        turned: bool,
        shift: Array | None,
        out: Array,
        scale: Array | None = None,
        slope: float = 1.0,
    ) -> None:
        """y = f(scale * (x * w) + shift), overwritten; f(v) = v where v > 0, else v * slope.

        w is (num_output, channels / group, ...), or where ``turned`` the w of the convolution whose data gradient
        this is; ``shift`` and ``scale`` are (num_output,), or None for 0 and 1.
        """
        t, threads, memory = self._tiles, self._workers.threads, self._memory()
        flat_x, flat_w, flat_y = x.reshape(-1), w.reshape(-1), out.reshape(-1)
        u, bias, factors = (memory.take(count) for count in (t.points * self._u_step, self._filters, self._filters))
        work = [memory.take(work_size(t)) for _ in range(threads)]
        length = self._block * t.columns
        v_step, p_step = _step(length * self._rows), _step(length * 8 * self._chunk)
        values = [memory.take(t.points * v_step) for _ in range(threads)]
        products = [memory.take(t.points * p_step) for _ in range(threads)]
        bias[:] = 0
        factors[:] = 1
        for padded, given in ((bias, shift), (factors, scale)):
            if given is not None:
                padded.reshape(t.group, -1)[:, : t.filters] = given.reshape(t.group, -1)
        slope = x.dtype.type(slope)

        def strips(first: int, last: int, worker: int) -> None:
            v, p = values[worker], products[worker]
            for block in self._blocks(first, last, self._block):
                images_to_points(*block, flat_x, t, *block, v, v_step, length, work[worker])
                for group in range(t.group):
                    begin, end = group * t.filter_panels, (group + 1) * t.filter_panels
                    for panel in range(begin, end, self._chunk):
                        panels = panel, min(panel + self._chunk, end)
                        multiply_tiles(t, *block, v, v_step, u, self._u_step, p, p_step, length, *panels)
                        points_to_images(p, t, *block, p_step, length, *panels, bias, slope, flat_y, work[worker])

        self._workers.run(
            t.group * t.filter_panels,
            lambda first, last, worker: filters_to_points(
                flat_w, factors, t, turned, first, last, u, self._u_step, work[worker]
            ),
        )
        self._workers.run(t.images * t.rows, strips)

    def backward_filter(self, x: Array, dy: Array, out: Array) -> None:
        """Adds to ``out``, of w's shape."""
        t, threads, memory = self._tiles, self._workers.threads, self._memory()
        flat_x, flat_dy, flat_dw = x.reshape(-1), dy.reshape(-1), out.reshape(-1)
        u = memory.take(t.points * self._u_step)
        work = [memory.take(work_size(t)) for _ in range(threads)]
        length = self._long_block * t.columns
        v_step, y_step = self._sizes(length)
        values, grads = memory.take(t.points * v_step), memory.take(t.points * y_step)
        for block in self._blocks(0, t.images * t.rows, self._long_block):

            def transform(first: int, last: int, worker: int, block: tuple[int, int] = block) -> None:
                part = block[0] + first, block[0] + last
                images_to_points(*part, flat_x, t, *block, values, v_step, length, work[worker])
                gradients_to_points(*part, flat_dy, t, *block, grads, y_step, length, work[worker])

            def multiply(first: int, last: int, worker: int, block: tuple[int, int] = block) -> None:
                for part in range(first, last):
                    arrays = values, v_step, grads, y_step, length, u, self._u_step
                    multiply_gradients(t, *block, block[0] > 0, part, threads, *arrays)

            self._workers.run(block[1] - block[0], transform)
            self._workers.run(threads, multiply)
        self._workers.run(
            t.group * t.filter_panels,
            lambda first, last, worker: points_to_filters(u, t, first, last, self._u_step, flat_dw, work[worker]),
        )
