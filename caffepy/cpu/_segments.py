"""Where the parameters lie in the flat buffers of all of them, and how threads share an update of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._chunks import CHUNK

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["Segments"]


class Segments:
    """The segments of the flat buffers, cut into pieces that do not depend on the number of threads."""

    def __init__(self, backend: Backend) -> None:
        self._workers = cast("CpuBackend", backend).workers
        self._type = backend.dtype.type
        self._bounds: tuple[tuple[int, int, float, float], ...] = ()
        self._begins = self._ends = np.empty(0, np.int64)
        self._mults = np.empty((0, 2), backend.dtype)

    def plan(self, bounds: Sequence[tuple[int, int, float, float]]) -> None:
        """Take the parameters, each ``(begin, end, lr_mult, decay_mult)``; what lies between them is left alone."""
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
        self,
        kernel: Callable[..., None],
        rate: Array,
        weight_decay: float,
        l1: bool,
        scale: Array,
        numbers: tuple[float, ...],
        *arrays: Array,
    ) -> None:
        """Call ``kernel(begins, ends, mults, rate, weight_decay, scale, l1, *numbers, *arrays)`` for shares of all.

        ``mults[piece]`` is ``(lr_mult, decay_mult)``; numbers come in the backend's dtype, in which Caffe computes too.
        """
        arguments: list[Any] = [rate[0], self._type(weight_decay), scale[0], l1]
        arguments += [self._type(number) for number in numbers]

        def part(first: int, last: int, worker: int) -> None:
            kernel(self._begins[first:last], self._ends[first:last], self._mults[first:last], *arguments, *arrays)

        self._workers.run(len(self._begins), part)
