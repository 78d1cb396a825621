"""Which way of convolving is the fastest for given shapes: an estimate, and so the same each time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from caffepy.cpu._winograd_matrices import MOST_POINTS, TAPS
from caffepy.cpu._winograd_tiles import Tiles, tiles_of

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["Convolution", "choose", "columns_cost", "winograd_cost"]

Shape = tuple[int, ...]

# What the parts of a convolution take, in multiply-adds of the products (of which a core of the machine they were
# measured on, see docs/performance.md, does 45 in a nanosecond): measured by tests/benchmarks/ops.py, batch 64.
_UNFOLDED = 20.0  # for each number of a column
_COLUMNS = 1.2  # a product of columns by BLAS, for each multiply-add: it lays out its operands anew
_NUMBER = 45.0  # transforming x, for each number of the result
_RESULT = 30.0  # transforming products to y, for each number that is transformed
_TAPS = 280.0  # reading the taps of a channel in a filter
_FILTER = 15.0  # transforming them, for each number of the result
_GRADIENT = 90.0  # transforming to filters' gradients, for each number that is transformed
_PASS = 2e6  # what any pass by Winograd takes


class Convolution(NamedTuple):
    """Shapes and window of a convolution."""

    x_shape: Shape
    y_shape: Shape
    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape
    group: int


def columns_cost(c: Convolution) -> float:
    """Of `Columns`, for all images."""
    depth = c.x_shape[1] * math.prod(c.kernel)
    columns = c.x_shape[0] * math.prod(c.y_shape[2:])
    return columns * depth * (_COLUMNS * c.y_shape[1] / c.group + _UNFOLDED)


def winograd_cost(t: Tiles, gradient: bool = False) -> float:
    """Of `Winograd`, for all images; ``gradient``: of the filters' gradient."""
    lanes, filters = 8 * t.panels, 8 * t.filter_panels
    values = t.images * t.group * t.products
    transform = _GRADIENT * t.points if gradient else _TAPS + _FILTER * t.points
    numbers = lanes * filters + lanes * _NUMBER + filters * _RESULT
    return values * numbers + t.group * lanes * filters * transform + _PASS


def _tiles(c: Convolution, gradient: bool = False) -> Tiles | None:
    """The cheapest tiles for a convolution, or None where `Columns` is cheaper or Winograd cannot do it."""
    kernel, stride = c.kernel[0], c.stride[0]
    taps = -(-kernel // stride)
    if taps not in TAPS or 0 in c.y_shape or 0 in c.x_shape:
        return None
    sizes = range(1, MOST_POINTS - taps + 2)
    pad = (c.pad[0], c.pad[1])
    all_tiles = (
        tiles_of(c.x_shape, c.y_shape, kernel, stride, pad, c.group, (rows, columns))
        for rows in sizes
        if rows <= c.y_shape[2]
        for columns in sizes
        if columns <= c.y_shape[3]
    )
    best = min(all_tiles, key=lambda tiles: winograd_cost(tiles, gradient))
    return best if winograd_cost(best, gradient) < columns_cost(c) else None


def choose(c: Convolution, backend: CpuBackend) -> tuple[Tiles | None, Tiles | None, Tiles | None]:
    """Tiles for forward, data gradient and filters' gradient; None for `Columns`.

    Only float32 is worth it: in float64, which is for checking gradients, a result should be as near as it can.
    """
    two = len(c.kernel) == 2 and c.kernel[0] == c.kernel[1] and c.stride[0] == c.stride[1] and c.dilation == (1, 1)
    if not two or backend.dtype != np.float32:
        return None, None, None
    forward = _tiles(c)
    pad = tuple(c.kernel[0] - 1 - p for p in c.pad)
    turned = Convolution(c.y_shape, c.x_shape, c.kernel, c.stride, pad, c.dilation, c.group)
    data = _tiles(turned) if c.stride == (1, 1) and min(pad) >= 0 else None
    return forward, data, _tiles(c, gradient=True)
