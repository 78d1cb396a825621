"""The mean of windows of pooling, and gradients shared over them; see _pool_planes.py."""

from __future__ import annotations

import numpy as np

from caffepy.backend import Array
from caffepy.cpu._jit import kernel
from caffepy.cpu._pool_planes import stage
from caffepy.cpu._pool_vectors import sum8
from caffepy.cpu._simd import LANES

__all__ = ["ave_backward", "ave_backward_by_ones", "ave_forward"]


@kernel
def ave_forward(first: int, last: int, x: Array, sizes: Array, widths: Array, memory: Array, y: Array) -> None:
    """The mean of each window of some planes into y."""
    height, rows, columns, sh, sw, pitch = sizes[0], sizes[2], sizes[3], sizes[6], sizes[7], sizes[10]
    staged, kind, area = sizes[11] != 0, sizes[12], sizes[0] * sizes[1]
    results = memory.size - LANES
    memory[:] = 0
    for plane in range(first, last):
        if staged:
            stage(x, plane, sizes, memory)
        source, base = (memory, 0) if staged else (x, plane * area)
        for i in range(rows):
            start, to = base + i * sh * pitch, (plane * rows + i) * columns
            if kind == 0:
                _sum(source, start, sizes, to, y)
            elif columns < LANES:
                _sum8(kind, source, start, pitch, memory, results)
                for j in range(columns):
                    y[to + j] = memory[results + j]
            else:
                for j in range(0, columns - LANES, LANES):
                    _sum8(kind, source, start + j * sw, pitch, y, to + j)
                j = columns - LANES
                _sum8(kind, source, start + j * sw, pitch, y, to + j)
            top = i * sh - sizes[8]
            tall = x.dtype.type(min(top + sizes[4], height + sizes[8]) - top)
            for j in range(np.uintp(columns)):
                y[np.uintp(to) + j] /= tall * widths[j]


@kernel
def _sum8(kind: int, source: Array, start: int, pitch: int, y: Array, to: int) -> None:
    if kind == 1:
        sum8(2, 2, 2, source, start, pitch, y, to)
    elif kind == 2:
        sum8(3, 3, 2, source, start, pitch, y, to)
    else:
        sum8(3, 3, 1, source, start, pitch, y, to)


@kernel
def _sum(source: Array, start: int, sizes: Array, to: int, y: Array) -> None:
    """A row of windows of any kind."""
    for j in range(sizes[3]):
        total = source.dtype.type(0)
        for a in range(sizes[4]):
            corner = np.uintp(start + a * sizes[10] + j * sizes[7])
            for b in range(np.uintp(sizes[5])):
                total += source[corner + b]
        y[to + j] = total


@kernel
def ave_backward(first: int, last: int, dy: Array, sizes: Array, widths: Array, memory: Array, dx: Array) -> None:
    """Each dy of some planes shared evenly over its window; ``memory``: a row of the image, to add in."""
    height, width, rows, columns = sizes[0], sizes[1], sizes[2], sizes[3]
    kh, kw, sh, sw, ph, pw = sizes[4], sizes[5], sizes[6], sizes[7], sizes[8], sizes[9]
    zero, wide = dx.dtype.type(0), np.uintp(width)
    for plane in range(first, last):
        base = plane * height * width
        dx[base : base + height * width] = 0
        for i in range(rows):
            top = i * sh - ph
            tall = dx.dtype.type(min(top + kh, height + ph) - top)
            for c in range(wide):
                memory[c] = zero
            for j in range(columns):
                share = dy[(plane * rows + i) * columns + j] / (tall * widths[j])
                left = j * sw - pw
                for c in range(np.uintp(max(left, 0)), np.uintp(max(min(left + kw, width), 0))):
                    memory[c] += share
            for row in range(max(top, 0), min(top + kh, height)):
                to = np.uintp(base + row * width)
                for c in range(wide):
                    dx[to + c] += memory[c]


@kernel
def ave_backward_by_ones(
    first: int, last: int, dy: Array, sizes: Array, widths: Array, clip: int, memory: Array, dx: Array
) -> None:
    """The same for windows of 3 x 3 by 1, by `reverse_sizes`; ``clip``: padding of windows, ``memory``: to stage in."""
    rows, columns, pitch = sizes[2], sizes[3], sizes[10]
    results = memory.size - LANES
    memory[:] = 0
    for plane in range(first, last):
        stage(dy, plane, sizes, memory)
        for i in range(min(sizes[0], (rows - 1) + 3 - sizes[8])):
            tall = dx.dtype.type(min(i - clip + 3, rows + clip) - (i - clip))
            to = np.uintp((i + sizes[8]) * pitch + sizes[9])
            for j in range(np.uintp(min(sizes[1], pitch - sizes[9]))):
                memory[to + j] /= tall * widths[j]
        for i in range(rows):
            to = (plane * rows + i) * columns
            if columns < LANES:
                sum8(3, 3, 1, memory, i * pitch, pitch, memory, results)
                for j in range(columns):
                    dx[to + j] = memory[results + j]
            else:
                for j in range(0, columns - LANES, LANES):
                    sum8(3, 3, 1, memory, i * pitch + j, pitch, dx, to + j)
                j = columns - LANES
                sum8(3, 3, 1, memory, i * pitch + j, pitch, dx, to + j)
