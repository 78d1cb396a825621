"""Convolution with fewer multiplications."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from caffepy.backend import Array
from caffepy.cpu._winograd_filters import filters_to_points, points_to_filters
from caffepy.cpu._winograd_products import multiply_gradients, multiply_tiles
from caffepy.cpu._winograd_tiles import Tiles
from caffepy.cpu._winograd_transforms import (
    gradients_to_points,
    images_to_points,
    points_to_images,
    work_size,
)

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["Winograd"]

# As `filters_to_points` and `points_to_images` take them.
_Filters = tuple[Array, Array, Tiles, bool]
_Ending = tuple[Array, float, Array]

# A cache line, in numbers.
_LINE = 16
# Numbers of memory for transformed images, gradients and filters, unless a strip takes more.
_MOST = 14 << 20
# Those of a block of a filters' gradient: they stay in the L3 cache.
_LONG = 5 << 19
# Panels of filters that are transformed and multiplied together where tiles are few: as many as a block of registers.
_PANELS = 3


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
    share the strips, and in `backward_filter` the points of a tile. Where tiles are few all are transformed first, and
    threads share the filters, whose values then stay in the L2 cache; sums are the same.
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
        self._chunk = _PANELS
        self._few = self._are_few(strips, -(-share // self._block) * threads)
        self._memory()

    def _are_few(self, strips: int, blocks: int) -> bool:
        """Whether values of all tiles, read for each chunk of filters, are less to read than filters for each block."""
        t, panels = self._tiles, self._filters // 8
        values = strips * t.columns * self._rows
        if t.points * values > _MOST or panels < 2 * self._workers.threads:
            return False
        return values * -(-panels // self._chunk) < self._u_size * (blocks + 1)

    def _wanted_tiles(self) -> int:
        """Of a block: transformed filters are read once for each, values and products once for each tile."""
        return max(48, round(0.6 * self._u_size / (self._rows + self._filters)))

    def _sizes(self, length: int) -> tuple[int, int]:
        """From point to point, of the values of x and of y, for ``length`` tiles."""
        return _step(length * self._rows), _step(length * self._filters)

    def _memory(self) -> _Memory:
        t, threads = self._tiles, self._workers.threads
        sizes = t.points * (self._u_step + threads * sum(self._block_steps()))
        if self._few:
            v_step, u_step, p_step = self._few_steps()
            sizes = t.points * (v_step + threads * (u_step + p_step))
        backward = t.points * (self._u_step + sum(self._sizes(self._long_block * t.columns)))
        work = threads * work_size(t) + 2 * self._filters
        return _Memory(self._backend.scratch((work + max(sizes, backward) + _LINE * (4 * threads + 5),)))

    def _block_steps(self) -> tuple[int, int]:
        """From point to point, of the values of x and of y, for a block of strips."""
        length = self._block * self._tiles.columns
        return _step(length * self._rows), _step(length * 8 * self._tiles.filter_panels)

    def _few_steps(self) -> tuple[int, int, int]:
        """From point to point, of the values of x, and of filters and y of a chunk of filters, for all strips."""
        t = self._tiles
        length = t.images * t.rows * t.columns
        return _step(length * self._rows), _step(64 * t.panels * self._chunk), _step(length * 8 * self._chunk)

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
        t, memory = self._tiles, self._memory()
        bias, factors = memory.take(self._filters), memory.take(self._filters)
        bias[:] = 0
        factors[:] = 1
        for padded, given in ((bias, shift), (factors, scale)):
            if given is not None:
                padded.reshape(t.group, -1)[:, : t.filters] = given.reshape(t.group, -1)
        arrays = x.reshape(-1), (w.reshape(-1), factors, t, turned), (bias, x.dtype.type(slope), out.reshape(-1))
        (self._by_filters if self._few else self._by_strips)(memory, *arrays)

    def _by_strips(self, memory: _Memory, x: Array, filters: _Filters, ending: _Ending) -> None:
        """`forward`, of many tiles."""
        t, threads = self._tiles, self._workers.threads
        work = [memory.take(work_size(t)) for _ in range(threads)]
        length, (v_step, p_step) = self._block * t.columns, self._block_steps()
        u = memory.take(t.points * self._u_step)
        own = [(memory.take(t.points * v_step), memory.take(t.points * p_step)) for _ in range(threads)]

        def transform(first: int, last: int, worker: int) -> None:
            filters_to_points(*filters, first, last, 0, u, self._u_step, work[worker])

        def strips(first: int, last: int, worker: int) -> None:
            v, p = own[worker]
            for block in self._blocks(first, last, self._block):
                images_to_points(*block, x, t, *block, v, v_step, length, work[worker])
                for begin in range(0, t.group * t.filter_panels, t.filter_panels):
                    panels = begin, begin + t.filter_panels
                    multiply_tiles(t, *block, v, v_step, 0, u, self._u_step, p, p_step, length, *panels)
                    points_to_images(p, t, *block, p_step, length, *panels, *ending, work[worker])

        self._workers.run(t.group * t.filter_panels, transform)
        self._workers.run(t.images * t.rows, strips)

    def _by_filters(self, memory: _Memory, x: Array, filters: _Filters, ending: _Ending) -> None:
        """`forward`, of few tiles."""
        t, threads = self._tiles, self._workers.threads
        work = [memory.take(work_size(t)) for _ in range(threads)]
        strips, (v_step, u_step, p_step) = t.images * t.rows, self._few_steps()
        length = strips * t.columns
        v = memory.take(t.points * v_step)
        own = [(memory.take(t.points * u_step), memory.take(t.points * p_step)) for _ in range(threads)]

        def transform(first: int, last: int, worker: int) -> None:
            images_to_points(first, last, x, t, 0, strips, v, v_step, length, work[worker])

        def multiply(first: int, last: int, worker: int) -> None:
            u, p = own[worker]
            while first < last:
                # Of one group.
                panels = first, min(first + self._chunk, last, (first // t.filter_panels + 1) * t.filter_panels)
                filters_to_points(*filters, *panels, first, u, u_step, work[worker])
                multiply_tiles(t, 0, strips, v, v_step, first, u, u_step, p, p_step, length, *panels)
                points_to_images(p, t, 0, strips, p_step, length, *panels, *ending, work[worker])
                first = panels[1]

        self._workers.run(strips, transform)
        self._workers.run(t.group * t.filter_panels, multiply)

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
