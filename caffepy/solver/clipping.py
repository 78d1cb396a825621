"""clip_gradients: gradients that are too long all together are shortened, on the device; the log tells of it."""

from __future__ import annotations

import logging
import math

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.solver.number import Number

__all__ = ["Clipping"]

_log = logging.getLogger("caffepy")


class Clipping:
    """What each gradient counts in an update: ``1 / iter_size``, times ``limit / norm`` where the norm is larger.

    The norm is that of all gradients together (Caffe's sgd_solver.cpp, ClipGradients).

    Args:
        backend: where the gradients are.
        count: how many there are.
        overflows: updates whose gradients are not finite are left out; that is no matter of clipping.
    """

    def __init__(self, backend: Backend, count: int, overflows: bool) -> None:
        self._overflows = overflows
        self._op = backend.ops.ClipGradients(backend)
        self._op.plan(count)
        self._share, self._clipped = Number(backend), backend.zeros((1,))
        self._norm = backend.zeros((1,), np.float64)
        self._rows = backend.fetch_every
        self._notes = backend.ops.Notes(backend)
        self._notes.plan(self._rows, 1)
        self._limit, self._passes = -1.0, 1
        # Of the updates whose norms are noted.
        self._limits: list[float] = []

    def set(self, limit: float, passes: int) -> None:
        """For the next updates: ``clip_gradients``, which is off where negative, and ``iter_size``."""
        self._limit, self._passes = limit, passes
        self._share.set(1.0 / passes)

    @property
    def scale(self) -> Array:
        """(1,): what `forward` found; where nothing is clipped, always the same."""
        return self._share.array if self._limit < 0 else self._clipped

    def forward(self, diff: Array) -> None:
        """A step before the update: look at the gradients."""
        if self._limit >= 0:
            self._op.forward(diff, self._limit, self._passes, self._norm, self._clipped)
            self._notes.forward(self._norm)

    def expect(self) -> None:
        """The host's part of `forward`, each time that it is asked for."""
        if self._limit >= 0:
            self._limits.append(self._limit)

    @property
    def full(self) -> bool:
        """Whether the next update has no room: `report` first. On the CPU that is so after each."""
        return len(self._limits) == self._rows

    def report(self) -> None:
        """Log the updates since the last call that were clipped; waits for the device if there were any updates."""
        limits, self._limits = self._limits, []
        if not limits:
            return
        for limit, (norm,) in zip(limits, self._notes.fetch(len(limits)), strict=True):
            if norm > limit and (math.isfinite(norm) or not self._overflows):
                _log.info(
                    "Gradient clipping: scaling down gradients (L2 norm %g > %g) by scale factor %g",
                    norm, limit, limit / norm,
                )  # fmt: skip
