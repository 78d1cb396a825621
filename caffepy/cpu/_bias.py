"""Biases added to outputs, and their gradients: sums in float64, for a float32 one loses digits in long columns."""

from __future__ import annotations

import numpy as np

from caffepy.backend import Array
from caffepy.cpu._jit import kernel

__all__ = ["add_to_rows", "finish_channels", "sum_channels", "sum_rows"]


@kernel
def finish_channels(
    first: int,
    last: int,
    channels: tuple[int, ...],
    places: tuple[int, ...],
    y: Array,
    scale: Array,
    shift: Array,
    slope: float,
) -> None:
    """``y[n, m, p] = f(y[n, m, p] * scale[m] + shift[m])``, f(v) = v where v > 0, else v * slope.

    For images ``first`` to ``last`` of y (N, M, places), from the first of ``channels`` and ``places`` to the second.
    """
    for n in range(first, last):
        for m in range(channels[0], channels[1]):
            factor, offset = scale[m], shift[m]
            for p in range(np.uintp(places[0]), np.uintp(places[1])):
                value = y[n, m, p] * factor + offset
                y[n, m, p] = value if value > 0 else value * slope


@kernel
def sum_channels(first: int, last: int, dy: Array, out: Array) -> None:
    """``out[m] += sum over n, p of dy[n, m, p]`` for channels ``first`` to ``last``."""
    for m in range(first, last):
        total = 0.0
        for n in range(dy.shape[0]):
            part = dy.dtype.type(0)
            for p in range(np.uintp(dy.shape[2])):
                part += dy[n, m, p]
            total += part
        out[m] += total


@kernel
def add_to_rows(first: int, last: int, b: Array, y: Array) -> None:
    """``y[i, n] += b[n]`` for rows ``first`` to ``last``."""
    for i in range(first, last):
        row = y[i]
        for n in range(row.size):
            row[n] += b[n]


@kernel
def sum_rows(first: int, last: int, dy: Array, total: Array, out: Array) -> None:
    """``out[n] += sum over i of dy[i, n]`` for columns ``first`` to ``last``; ``total``: some float64 to sum in."""
    for begin in range(first, last, total.size):
        count = min(total.size, last - begin)
        total[:] = 0
        for i in range(dy.shape[0]):
            row = dy[i, begin : begin + count]
            for n in range(count):
                total[n] += row[n]
        for n in range(count):
            out[begin + n] += total[n]
