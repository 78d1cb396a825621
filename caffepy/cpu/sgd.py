"""The update of stochastic gradient descent with momentum, for all parameters at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._chunks import CHUNK, chunks_of
from caffepy.cpu._jit import kernel

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["SGD"]


class SGD:
    """One pass over the flat buffers of all parameters (Caffe's sgd_solver.cpp, Normalize to ComputeUpdateValue)::

        g       = scale * dw + weight_decay * decay_mult * (w, or sign(w) for L1)
        history = momentum * history + rate * lr_mult * g
        w      -= history
        dw      = history

    Args:
        backend: the CPU.
        momentum: share of the previous step.
    """

    def __init__(self, backend: Backend, momentum: float) -> None:
        self._workers = cast("CpuBackend", backend).workers
        self._type = backend.dtype.type
        self._momentum = self._type(momentum)
        self._bounds: tuple[tuple[int, int, float, float], ...] = ()
        self._begins = self._ends = np.empty(0, np.int64)
        self._mults = np.empty((0, 2), backend.dtype)
        self._squares = np.empty(0)

    def plan(self, bounds: Sequence[tuple[int, int, float, float]]) -> None:
        """Take the parameters, each ``(begin, end, lr_mult, decay_mult)`` in the flat buffers; gaps are left alone."""
        if tuple(bounds) == self._bounds:
            return
        self._bounds = tuple(bounds)
        pieces = [
            (start, min(start + CHUNK, end), lr_mult, decay_mult)
            for begin, end, lr_mult, decay_mult in self._bounds
            for start in range(begin, end, CHUNK)
        ]
        self._begins = np.array([piece[0] for piece in pieces], np.int64)
        self._ends = np.array([piece[1] for piece in pieces], np.int64)
        self._mults = np.array([piece[2:] for piece in pieces], self._mults.dtype).reshape(-1, 2)

    def update(
        self, w: Array, dw: Array, history: Array, rate: float, weight_decay: float, l1: bool, scale: float
    ) -> None:
        """Change ``w``, ``dw`` and ``history``, flat and of equal size, in place.

        Args:
            w: parameters.
            dw: their gradients; afterwards the step that was taken, as in Caffe.
            history: the last step; zeros before the first.
            rate: learning rate.
            weight_decay: factor of the penalty's gradient.
            l1: the penalty is the sum of ``|w|`` rather than half that of ``w^2``.
            scale: factor of gradients: of clipping and of ``1 / iter_size``.
        """
        rate, weight_decay, scale = self._type(rate), self._type(weight_decay), self._type(scale)

        def part(first: int, last: int, worker: int) -> None:
            begins, ends, mults = self._begins[first:last], self._ends[first:last], self._mults[first:last]
            _update(begins, ends, mults, self._momentum, rate, weight_decay, scale, l1, w, dw, history)

        self._workers.run(len(self._begins), part)

    def sum_of_squares(self, dw: Array) -> float:
        """``sum(dw^2)``, for clip_gradients; added in float64, the same for any threads. Waits for the device."""
        chunks = chunks_of(dw.size)
        if len(self._squares) != chunks:
            self._squares = np.empty(chunks)

        def part(first: int, last: int, worker: int) -> None:
            _sum_of_squares(first, last, CHUNK, dw, self._squares)

        self._workers.run(chunks, part)
        return float(self._squares.sum())


# An unsigned index cannot be negative, so numba adds no test for wrapping round and the loops vectorise.
@kernel
def _update(
    begins: Array,
    ends: Array,
    mults: Array,
    momentum: float,
    rate: float,
    weight_decay: float,
    scale: float,
    l1: bool,
    w: Array,
    dw: Array,
    history: Array,
) -> None:
    for piece in range(begins.size):
        local_rate = rate * mults[piece, 0]
        local_decay = weight_decay * mults[piece, 1]
        for i in range(np.uintp(begins[piece]), np.uintp(ends[piece])):
            value = w[i]
            penalty = np.sign(value) if l1 else value
            step = momentum * history[i] + local_rate * (scale * dw[i] + local_decay * penalty)
            history[i] = step
            dw[i] = step
            w[i] = value - step


@kernel
def _sum_of_squares(first: int, last: int, size: int, x: Array, out: Array) -> None:
    for chunk in range(first, last):
        total = 0.0
        for i in range(np.uintp(chunk * size), np.uintp(min((chunk + 1) * size, x.size))):
            total += np.float64(x[i]) * np.float64(x[i])
        out[chunk] = total
