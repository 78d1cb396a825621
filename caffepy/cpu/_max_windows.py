"""The first greatest value of windows of pooling, and gradients sent back to it; see _pool_planes.py."""

from __future__ import annotations

import numpy as np

from caffepy.backend import Array
from caffepy.cpu._jit import kernel
from caffepy.cpu._pool_planes import stage
from caffepy.cpu._pool_vectors import given8, greatest8
from caffepy.cpu._simd import LANES

__all__ = ["max_backward", "max_backward_by_ones", "max_forward", "max_places"]


@kernel
def max_forward(
    first: int, last: int, x: Array, sizes: Array, memory: Array, number: Array, y: Array, chosen: Array
) -> None:
    """The first greatest value of each window of some planes into y, its number in the window into ``chosen``.

    Numbers count row by row; the greatest of ``chosen``'s type is none, where no value is above -FLT_MAX. ``memory``
    and ``number`` (8) are to work in.
    """
    rows, columns, sh, sw, pitch = sizes[2], sizes[3], sizes[6], sizes[7], sizes[10]
    staged, kind, area = sizes[11] != 0, sizes[12], sizes[0] * sizes[1]
    results = memory.size - LANES
    memory[:] = x.dtype.type(-np.finfo(np.float32).max)
    for plane in range(first, last):
        if staged:
            stage(x, plane, sizes, memory)
        source, base = (memory, 0) if staged else (x, plane * area)
        for i in range(rows):
            start, to = base + i * sh * pitch, (plane * rows + i) * columns
            if kind == 0:
                _greatest(source, start, sizes, to, y, chosen)
            elif columns < LANES:
                _greatest8(kind, source, start, pitch, memory, results, number, 0)
                for j in range(columns):
                    y[to + j] = memory[results + j]
                    chosen[to + j] = number[j]
            else:
                for j in range(0, columns - LANES, LANES):
                    _greatest8(kind, source, start + j * sw, pitch, y, to + j, chosen, to + j)
                j = columns - LANES
                _greatest8(kind, source, start + j * sw, pitch, y, to + j, chosen, to + j)


@kernel
def _greatest8(kind: int, source: Array, start: int, pitch: int, y: Array, to: int, chosen: Array, at: int) -> None:
    if kind == 1:
        greatest8(2, 2, 2, source, start, pitch, y, to, chosen, at)
    elif kind == 2:
        greatest8(3, 3, 2, source, start, pitch, y, to, chosen, at)
    else:
        greatest8(3, 3, 1, source, start, pitch, y, to, chosen, at)


@kernel
def _greatest(source: Array, start: int, sizes: Array, to: int, y: Array, chosen: Array) -> None:
    """A row of windows of any kind."""
    for j in range(sizes[3]):
        best, number = source.dtype.type(-np.finfo(np.float32).max), -1
        for a in range(sizes[4]):
            corner = np.uintp(start + a * sizes[10] + j * sizes[7])
            for b in range(np.uintp(sizes[5])):
                value = source[corner + b]
                if value > best:
                    best, number = value, a * sizes[5] + np.int64(b)
        y[to + j] = best
        chosen[to + j] = number


@kernel
def max_backward(first: int, last: int, dy: Array, chosen: Array, sizes: Array, steps: Array, dx: Array) -> None:
    """Some planes of dx get each dy at the place that ``chosen`` has for it."""
    width, rows, columns, area = sizes[1], sizes[2], sizes[3], sizes[0] * sizes[1]
    sh, sw, ph, pw = sizes[6], sizes[7], sizes[8], sizes[9]
    none = (1 << (8 * chosen.itemsize)) - 1
    source = np.uintp(first * rows * columns)
    for plane in range(first, last):
        dx[plane * area : (plane + 1) * area] = 0
        for i in range(rows):
            corner = plane * area + (i * sh - ph) * width - pw
            for _ in range(columns):
                if chosen[source] != none:
                    dx[np.uintp(corner + steps[chosen[source]])] += dy[source]
                corner += sw
                source += np.uintp(1)


@kernel
def max_backward_by_ones(
    first: int, last: int, dy: Array, chosen: Array, sizes: Array, memory: Array, numbers: Array, dx: Array
) -> None:
    """The same for windows of 3 x 3 by 1, by `reverse_sizes`; ``memory`` and ``numbers`` are to stage planes in."""
    rows, columns, pitch = sizes[2], sizes[3], sizes[10]
    results = memory.size - LANES
    memory[:] = 0
    for plane in range(first, last):
        stage(dy, plane, sizes, memory)
        stage(chosen, plane, sizes, numbers)
        for i in range(rows):
            to = (plane * rows + i) * columns
            if columns < LANES:
                given8(3, 3, memory, numbers, i * pitch, pitch, memory, results)
                for j in range(columns):
                    dx[to + j] = memory[results + j]
            else:
                for j in range(0, columns - LANES, LANES):
                    given8(3, 3, memory, numbers, i * pitch + j, pitch, dx, to + j)
                j = columns - LANES
                given8(3, 3, memory, numbers, i * pitch + j, pitch, dx, to + j)


@kernel
def max_places(first: int, last: int, chosen: Array, sizes: Array, steps: Array, places: Array) -> None:
    """The index in its plane of each value chosen; -1 for none."""
    rows, columns = sizes[2], sizes[3]
    none = (1 << (8 * chosen.itemsize)) - 1
    for row in range(first * rows, last * rows):
        corner = (row % rows * sizes[6] - sizes[8]) * sizes[1] - sizes[9]
        for j in range(columns):
            number = np.int64(chosen[row * columns + j])
            places[row * columns + j] = -1 if number == none else corner + j * sizes[7] + steps[number]
